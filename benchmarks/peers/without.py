"""
`twistd` with single speedups of sseserver off, which the variable WITHOUT names: `WITHOUT=body,garbage`.
"""

import os
import sys
from importlib import import_module
from inspect import signature
from typing import Any

from twisted.application.service import Service
from twisted.scripts.twistd import run

#: Function that chooses between a speedup and its plain implementation, by the name of the speedup.
CHOICES = {
    "body": "sseserver.delivery.body.chooseBody",
    "channel": "sseserver.web.site.chooseConnection",
    "readpath": "sseserver.client.response.chooseReadPath",
    "connecting": "sseserver.client.agent.chooseConnecting",
}


def turnOff(module: str, name: str) -> None:
    """Let a function choose the plain implementation, in every module that has imported it."""
    choose = getattr(import_module(module), name)

    def choosePlain(*arguments: Any, **keywords: Any) -> Any:
        bound = signature(choose).bind_partial(*arguments, **keywords)
        bound.arguments["plain"] = True
        return choose(*bound.args, **bound.kwargs)

    for importer in list(sys.modules.values()):
        if getattr(importer, name, None) is choose:
            setattr(importer, name, choosePlain)


tap: Any = import_module("sseserver.tap")
for speedup in os.environ["WITHOUT"].split(","):
    if speedup == "garbage":
        tap.RareCollections = Service
    else:
        turnOff(*CHOICES[speedup].rsplit(".", 1))
run()
