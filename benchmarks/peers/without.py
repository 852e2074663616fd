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
from twisted.web.http_headers import Headers

#: Function that chooses between a speedup and its plain implementation, by the name of the speedup.
CHOICES = {
    "body": "sseserver.delivery.body.chooseBody",
    "channel": "sseserver.web.site.chooseConnection",
    "connecting": "sseserver.client.agent.chooseConnecting",
    "direct": "sseserver.web.site.chooseDirect",
    "readpath": "sseserver.client.response.chooseReadPath",
    "tls": "sseserver.command.tlsport.chooseTLS",
}

#: Name that stands for a speedup and the object in its place, by the name of a speedup that has no such function.
OTHERS: dict[str, tuple[str, Any]] = {
    "garbage": ("sseserver.speedups.garbage.RareCollections", Service),
    "headers": ("sseserver.speedups.headers.HEADERS", Headers),
    "heads": ("sseserver.speedups.channel.readsHeads", bool),
    "intake": ("sseserver.speedups.intake.makeIntake", lambda *_: None),
    "polling": ("sseserver.speedups.polling.limitTurns", lambda *_: None),
    "transports": ("sseserver.speedups.transports.quicken", lambda *_: None),
}


def replace(path: str, makeOther: Any) -> None:
    """Replace an object in its module, and in every module that has imported it."""
    module, _, name = path.rpartition(".")
    known = getattr(import_module(module), name)
    other = makeOther(known)
    for importer in list(sys.modules.values()):
        if getattr(importer, name, None) is known:
            setattr(importer, name, other)


def alwaysPlain(choose: Any) -> Any:
    """Return a function like this one that chooses the plain implementation."""

    def choosePlain(*arguments: Any, **keywords: Any) -> Any:
        bound = signature(choose).bind_partial(*arguments, **keywords)
        bound.arguments["plain"] = True
        return choose(*bound.args, **bound.kwargs)

    return choosePlain


import_module("sseserver.tap")
for speedup in filter(None, os.environ["WITHOUT"].split(",")):
    if speedup in CHOICES:
        replace(CHOICES[speedup], alwaysPlain)
    elif speedup == "request":
        import_module("sseserver.speedups.request").FastRequest.isShort = False
    elif speedup == "accesslog":
        site: Any = import_module("sseserver.web.site")
        site.accessLine = site.plainLine
    else:
        path, other = OTHERS[speedup]
        replace(path, lambda _, other=other: other)
run()
