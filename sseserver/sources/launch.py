"""
Launch of programs: their environment and signals, and the descriptors of a running one.

`ProcessSource` launches each run's program here. Needs Linux 5.3 or newer.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from typing import NamedTuple

from twisted.logger import Logger

from sseserver.errors import SourceError
from sseserver.values import Reason

log = Logger(__name__)

#: Variables that a program gets if the server has them, and the prefix of further ones.
_VARIABLES = frozenset({"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"})
_LOCALE = "LC_"

#: Errors of a temporary shortage, of processes, descriptors or memory.
_SHORTAGES = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Launched(NamedTuple):
    """
    A running program.

    Attributes:
        process: The process, with three pipes.
        end: Its `pidfd`, which becomes readable when the process ends.
    """

    process: subprocess.Popen[bytes]
    end: FileIO


def checkSystem() -> None:
    """
    Check that the end of programs can be watched on this system.

    Raises:
        RuntimeError: It cannot.
    """
    if not hasattr(os, "pidfd_open"):
        raise RuntimeError("programs need `os.pidfd_open` (Linux 5.3 or newer), which this Python does not have")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        raise RuntimeError(f"programs need `pidfd_open` of Linux 5.3 or newer: {error.strerror}") from None


def readEnvironment(names: Sequence[str]) -> dict[str, str]:
    """
    Read the environment of programs: a short list of the server's variables, so that no secret is among them.

    Args:
        names: Further variables.

    Raises:
        ValueError: A further variable is not set.
    """
    for name in names:
        if name not in os.environ:
            raise ValueError(f"{name!r} is not a variable of the environment")
    chosen = _VARIABLES.union(names)
    return {name: value for name, value in os.environ.items() if name in chosen or name.startswith(_LOCALE)}


def launch(command: Sequence[bytes], environment: Mapping[str, str]) -> Launched:
    """
    Start a program in its own session, with three pipes and no other descriptors.

    `subprocess` starts it with `vfork`, which takes no longer in a large server.

    Args:
        command: The program and its arguments.
        environment: All variables of the program.

    Raises:
        SourceError: The program cannot be started. The message has no path; the log has it.
    """
    try:
        with resetSignals():
            process = subprocess.Popen(  # noqa: S603  (the operator's command; a prompt is an argument at most)
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=environment,
            )
    except ValueError:
        raise SourceError(
            "The prompt contains a NUL, which the argument of a program cannot.", Reason.PROMPT, 400
        ) from None
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise SourceError("The prompt is too long for the argument of a program.", Reason.PROMPT, 400) from None
        raise _cannotStart(error, command[0]) from None
    try:
        return Launched(process, FileIO(os.pidfd_open(process.pid)))
    except OSError as error:
        with process:
            os.killpg(process.pid, signal.SIGKILL)
        raise _cannotStart(error, command[0]) from None


@contextmanager
def resetSignals() -> Iterator[None]:
    """
    Give programs that are started inside the block the default actions of all signals.

    A shell lets its background jobs ignore SIGINT, and a program inherits every signal that is ignored, but none that
    has a handler. So ignored signals get a handler that does nothing. Python allows that in the main thread only; in
    any other one the program ignores what the server ignores.
    """
    ignored: list[signal.Signals] = []
    try:
        if threading.current_thread() is threading.main_thread():
            for number in signal.Signals:
                if signal.getsignal(number) is signal.SIG_IGN:
                    ignored.append(number)
                    signal.signal(number, _pass)
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _pass(number: int, frame: object) -> None:
    """Handle a signal by doing nothing."""


def _cannotStart(error: OSError, program: bytes) -> SourceError:
    log.error("{program} cannot be started: {reason}", program=os.fsdecode(program), reason=error.strerror)
    message = f"The program that writes this text cannot be started: {error.strerror}."
    return SourceError(message, Reason.START, 503 if error.errno in _SHORTAGES else 500)
