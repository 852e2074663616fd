"""
The log of the process: its level, and its lines as text or as JSON objects.

twistd writes its own log if it is told to use syslog or a logger of its own.

`sseserver.tap` uses it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any

from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from sseserver.jsontext import toJSON
from sseserver.redaction import escapeControls, escapeJSON

#: Namespace of the events of the access log. They have members of their own.
_ACCESS = "sseserver.access"

#: Members that Twisted's older observers add to the events that they see.
_LEGACY = frozenset({"format", "isError", "logLevel", "message", "system", "time"})


@implementer(ILogObserver)
class ProcessLog:
    """
    Writes the events of the process, each in a line without control characters.

    Args:
        file: Takes the lines.
        asJSON: Whether a line is a JSON object.
        level: Name of the lowest level that is written: `debug`, `info`, `warn`, `error` or `critical`.
        worker: Number of this worker, which each line names; `None` for a process that is none.
    """

    def __init__(self, file: IO[str] | LogFile, asJSON: bool, level: str, worker: int | None = None) -> None:
        self._file: Any = file
        self._write: Callable[[LogEvent], str | None] = writeJSON if asJSON else writeText
        if worker is not None:
            self._write = partial(writeJSON, worker=worker) if asJSON else partial(writeText, worker=worker)
        self._level = LogLevel.levelWithName(level)

    def __call__(self, event: LogEvent) -> None:
        """See `ILogObserver.__call__`."""
        if event.get("log_level", LogLevel.info) < self._level:
            return
        line = self._write(event)
        if line:
            self._file.write(line)
            self._file.flush()

    def relay(self, line: str) -> None:
        """Write a line of a worker, which is complete but for its end."""
        self._file.write(f"{line}\n")
        self._file.flush()


def makeProcessLog(reactor: Any, runner: Mapping[str, Any] | None, form: str, level: str) -> ProcessLog | None:
    """
    Make the log of the process. As with twistd's own, SIGUSR1 rotates a file.

    Args:
        reactor: Rotates the file.
        runner: Options of twistd, which name the destination. `None` for another runner.
        form: `text` or `json`.
        level: See `ProcessLog`.

    Returns:
        `None` if the runner writes a log of its own.
    """
    if runner is None or runner.get("syslog") or runner.get("logger") or "nodaemon" not in runner:
        return None
    if isShown(runner):
        return ProcessLog(sys.stdout, form == "json", level)
    file = LogFile.fromFullPath(runner.get("logfile") or "twistd.log")
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
    return ProcessLog(file, form == "json", level)


def isShown(runner: Mapping[str, Any] | None) -> bool:
    """
    Return whether the log of the process is its standard output.

    Args:
        runner: Options of twistd; `None` for another runner.
    """
    if runner is None or runner.get("syslog") or runner.get("logger") or "nodaemon" not in runner:
        return False
    name = runner.get("logfile")
    return bool(name == "-" or (not name and runner["nodaemon"]))


def writeText(event: LogEvent, worker: int | None = None) -> str | None:
    """
    Return an event as a line of text. Further lines of it begin with TAB.

    Args:
        event: The event.
        worker: Number of this worker, if it is one; the line has it behind the time.
    """
    line = formatEventAsClassicLogText(event)
    if line is not None and worker is not None:
        time, _, rest = line.partition(" ")
        line = f"{time} [worker {worker}] {rest}"
    return None if line is None else escapeControls(line)


def writeJSON(event: LogEvent, worker: int | None = None) -> str:
    """
    Return an event as a JSON object in a line.

    Args:
        event: The event.
        worker: Number of this worker, if it is one, for the member `worker`.
    """
    time = datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds")
    level: Any = event.get("log_level", LogLevel.info)
    namespace = event.get("log_namespace")
    members: dict[str, object] = {"time": time, "level": level.name, "logger": namespace}
    if worker is not None:
        members["worker"] = worker
    if namespace == _ACCESS and "target" in event:
        members |= {name: event[name] for name in event if not (name.startswith("log_") or name in _LEGACY)}
    else:
        members["message"] = formatEvent(event)
        if "log_failure" in event:
            members["traceback"] = event["log_failure"].getTraceback()
    return escapeJSON(toJSON(members).decode("utf-8")) + "\n"
