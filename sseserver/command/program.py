"""
The options of `--exec`: their checks, and the token source that they describe.

`sseserver.tap` uses it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.python import usage

from sseserver.options.types import PLACE
from sseserver.options.variables import SECRETS
from sseserver.sources.launch import checkSystem, readEnvironment
from sseserver.sources.process import ProcessSource
from sseserver.values import MODEL

#: A variable and its value, as a shell takes them before a program.
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def checkCommand(parts: list[str]) -> list[str]:
    """
    Return the command of `--exec` unchanged if its program is fixed.

    Raises:
        ValueError: The prompt would be the program.
    """
    if PLACE in parts[0]:
        raise ValueError("the prompt can be an argument, but not the program")
    return parts


def checkProgram(options: Mapping[str, Any], folder: str | None = None) -> None:
    """
    Check the options of a program, and that it can be started.

    Args:
        options: The options.
        folder: Working directory of the server, where a relative path begins; `None` for the present one.

    Raises:
        usage.UsageError: There is no such program, a variable is not set or has a secret, or this system cannot run
            programs.
    """
    if options["exec"] is None:
        return
    for name in options["exec-env"]:
        if name in SECRETS:
            raise usage.UsageError(f"--exec-env: {name} has a secret of the server")
    try:
        checkSystem()
        environment = readEnvironment(options["exec-env"])
    except RuntimeError as error:
        raise usage.UsageError(f"--exec: {error}") from None
    except ValueError as error:
        raise usage.UsageError(f"--exec-env: {error}") from None
    program = options["exec"][0]
    if _ASSIGNMENT.match(program):
        # The value may be a secret.
        raise usage.UsageError(
            "--exec: the command begins with a variable; variables are set by: env NAME=VALUE PROGRAM"
        )
    # A relative path is one from the working directory; a bare name is looked up.
    place = Path(folder or "", program).absolute() if "/" in program else program
    if shutil.which(place, path=environment.get("PATH")) is None:
        raise usage.UsageError(f"--exec: {_explain(place, environment.get('PATH') or os.defpath)} {program!r}")


def _explain(place: Path | str, path: str) -> str:
    """
    Return why a program cannot be executed, as a text that its name follows.

    Args:
        place: The absolute path, or a bare name.
        path: The folders in which a bare name is looked up.
    """
    places = [place] if isinstance(place, Path) else [Path(folder, place) for folder in path.split(os.pathsep)]
    reason = "there is no program"
    for each in places:
        try:
            isFolder = stat.S_ISDIR(each.stat().st_mode)
        except PermissionError:
            # A closed folder of PATH tells nothing about the name.
            if each is place:
                return "this user may not look into the folder of the program"
        except (OSError, ValueError):
            continue
        else:
            reason = "this is a folder, no program:" if isFolder else "this user may not execute the program"
    return reason


def makeProgram(reactor: Any, options: Mapping[str, Any]) -> ProcessSource:
    """
    Return the token source that the options describe.

    Args:
        reactor: Starts the programs.
        options: The options, checked.
    """
    takesPrompt = True if options["asks"] else None
    return ProcessSource(reactor, options["exec"], takesPrompt, options["model"] or MODEL, options["exec-env"])
