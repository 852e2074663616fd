"""
ProcessSource: the standard output of a program as a token source (`--exec`).

Each run is one process, the leader of its own session and process group. A `pidfd` signals its end,
so SIGCHLD and the reactor's handling of it play no part. Needs Linux 5.3 or newer.
"""

from __future__ import annotations

import os
import signal
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from fcntl import ioctl
from io import FileIO
from struct import unpack
from termios import FIONREAD
from typing import Any, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.options.types import PLACE
from sseserver.sources.launch import Launched, checkSystem, launch, readEnvironment
from sseserver.sources.pipes import READ, ErrorLog, PipeReader, PipeWriter
from sseserver.values import MODEL, Prompt, Reason

log = Logger(__name__)

T = TypeVar("T")

#: Seconds between SIGTERM and SIGKILL.
KILL_AFTER = 2.5

#: Seconds after the end of a program in which other processes that hold its pipes may still write.
GRACE = 1.0


@implementer(ITokenSource)
class ProcessSource:
    """
    Starts a program for each run. Each read of its standard output is a token.

    The program has the server's working directory and rights, and a few variables of its environment:
    `HOME`, `LANG`, `LANGUAGE`, `LC_*`, `LOGNAME`, `PATH`, `SHELL`, `TMPDIR`, `TZ`, `USER`. It is
    started without a shell. Its standard input is the prompt, or empty in a run without one.

    Args:
        reactor: Watches the pipes.
        command: The program and its arguments. `{prompt}` in an argument stands for the prompt.
        takesPrompt: Whether a run needs a prompt; `None`: if the command has a placeholder. A
            program gets a prompt that it does not need, too.
        model: Name of the source as a model.
        variables: Names of further variables that the program gets.

    Raises:
        ValueError: The command is empty, its program is a placeholder, or a variable is not set.
        RuntimeError: This system cannot watch programs: it has no `pidfd_open`.
    """

    def __init__(
        self,
        reactor: Any,
        command: Sequence[str],
        takesPrompt: bool | None = None,
        model: str = MODEL,
        variables: Sequence[str] = (),
    ) -> None:
        if not command or not command[0]:
            raise ValueError("The command is empty: its first word is the program.")
        if PLACE in command[0]:
            raise ValueError(f"{PLACE} can stand in an argument, not in the name of the program.")
        checkSystem()
        self.takesPrompt = any(PLACE in argument for argument in command) if takesPrompt is None else takesPrompt
        self.model = model
        self._reactor = reactor
        self._command = [os.fsencode(part) for part in command]
        self._environment = readEnvironment(variables)
        self._programs: set[_Program] = set()

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        """
        See `ITokenSource.produce`.

        After a cancellation the Deferred fires when the process is gone.

        Raises:
            SourceError: The program cannot be started, or cannot take this prompt.
        """
        text = _encode(prompt)
        command = [part.replace(PLACE.encode("ascii"), text) for part in self._command]
        program = _Program(self._reactor, sink, launch(command, self._environment), text)
        self._programs.add(program)
        return program.start().addBoth(self._forget, program)

    def kill(self) -> None:
        """Kill the process groups of all programs at once. Their runs end as those of any program that is killed."""
        for program in tuple(self._programs):
            program.kill()

    def _forget(self, result: T, program: _Program) -> T:
        self._programs.remove(program)
        return result


def _encode(prompt: Prompt | None) -> bytes:
    try:
        return b"" if prompt is None else prompt.text.encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(
            "The prompt contains half of a surrogate pair, which is no character.", Reason.PROMPT, 400
        ) from None


def _failed(status: int) -> SourceError:
    if status < 0:
        return SourceError(f"The program was ended by signal {-status} ({signal.strsignal(-status)}).", Reason.SIGNAL)
    return SourceError(f"The program ended with exit status {status}.", Reason.EXIT)


@implementer(IPushProducer)
class _Program:
    """
    One run: a process, until it is reaped and its output is read.

    It is reaped after its whole group is killed: until then the process number, which is also the
    group's, cannot be reused.

    A sink may pause, resume or stop it inside a write.

    Args:
        reactor: Watches the pipes.
        sink: Takes the tokens.
        launched: The running program.
        prompt: Its standard input.
    """

    def __init__(self, reactor: Any, sink: ITokenSink, launched: Launched, prompt: bytes) -> None:
        self._reactor = reactor
        self._sink = sink
        self._process = process = launched.process
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._input = PipeWriter(reactor, cast(FileIO, process.stdin), prompt)
        self._output = PipeReader(reactor, cast(FileIO, process.stdout), self._read, self._outputClosed)
        self._errors = ErrorLog(reactor, cast(FileIO, process.stderr), process.pid, self._look)
        self._exit = PipeReader(reactor, launched.end, lambda: False, self._exited)
        # Bytes in the pipe that are still to be read, once the whole group is killed.
        self._left: int | None = None
        self._stopping = False
        self._finished = False
        self._broken: Failure | None = None
        self._deadline: IDelayedCall | None = None
        self._waiting: Deferred[None]

    def start(self) -> Deferred[None]:
        """
        Read the output.

        Returns:
            A Deferred that fires when the process is gone and its output is read.
        """
        done = self._wait()
        self._exit.start()
        # Read first: a paused sink pauses the producer while it is registered.
        self.resumeProducing()
        self._sink.registerProducer(self, True)
        return done

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""
        self._output.stop()

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self._output.start()

    def stopProducing(self) -> None:
        """Send SIGTERM to the whole group, and SIGKILL to the rest of it after `KILL_AFTER`."""
        if self._stopping:
            return
        self._stopping = True
        if self._process.returncode is None:
            self._schedule(KILL_AFTER, self._kill)
            self._signal(signal.SIGTERM)
        # SIGPIPE tells a program that continues to write.
        self._output.close()

    def kill(self) -> None:
        """Send SIGKILL to the whole group, whether or not it was stopped."""
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)

    def _wait(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the process is gone.

        `Deferred.cancel` fires a Deferred at once, whatever its canceller does; so the errback
        waits for a second one.
        """
        self._waiting = Deferred(lambda _: self.stopProducing())
        self._waiting.addErrback(self._waitOn)
        return self._waiting

    def _waitOn(self, failure: Failure) -> Any:
        return failure if self._finished else self._wait()

    def _read(self) -> bool:
        data = self._output.file.read(READ)
        if data == b"":
            return False
        if data:
            self._write(self._decoder.decode(data))
            if self._left is not None:
                self._left -= len(data)
        return self._left is None or self._left > 0

    def _write(self, token: str) -> None:
        if not token or self._stopping:
            return
        try:
            self._sink.write(token)
        except BaseException:
            self._broken = Failure()
            self.stopProducing()

    def _outputClosed(self) -> None:
        self._write(self._decoder.decode(b"", True))
        if self._process.returncode is None:
            self._look()
        else:
            self._finish()

    def _exited(self) -> None:
        self._errors.flush()
        self._look()

    def _look(self) -> None:
        """
        End the run if the program has ended and its pipes are closed; give other writers `GRACE`.
        """
        if self._exit.open or self._process.returncode is not None:
            return
        if not self._output.open and not self._errors.open:
            self._end()
        elif self._deadline is None:
            self._schedule(GRACE, self._end)

    def _kill(self) -> None:
        self._deadline = None
        if self._exit.open:
            log.info("Program {pid} ignores SIGTERM and gets SIGKILL", pid=self._process.pid)
            self._signal(signal.SIGKILL)
        else:
            self._end()

    def _end(self) -> None:
        """Kill the processes that the program has left behind, and reap it."""
        self._unschedule()
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._input.close()
        self._errors.close()
        if not self._output.open:
            self._finish()
            return
        # The sink is paused, or a process outside the group holds the pipe. Its present content is
        # still read.
        (self._left,) = unpack("i", ioctl(self._output.file, FIONREAD, bytes(4)))
        if not self._left:
            self._output.close()

    def _finish(self) -> None:
        self._finished = True
        waiting = self._waiting
        # Its canceller calls this object, which would keep both.
        del self._waiting
        status = self._process.returncode
        if not self._stopping:
            self._sink.unregisterProducer()
        if self._broken is not None:
            waiting.errback(self._broken)
        elif self._stopping:
            waiting.errback(CancelledError())
        elif status:
            log.info("Program {pid} failed with status {status}", pid=self._process.pid, status=status)
            waiting.errback(_failed(status))
        else:
            waiting.callback(None)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except PermissionError:
            log.error("Program {pid} runs as another user and cannot be killed", pid=self._process.pid)

    def _schedule(self, seconds: float, call: Callable[[], None]) -> None:
        self._unschedule()
        self._deadline = self._reactor.callLater(seconds, call)

    def _unschedule(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
