"""
ProcessSource: what a program writes to its standard output.

Each run is one process, the leader of a session and of a process group of its own. It is started with C{vfork} (as
L{subprocess} does on Linux), so it costs a large server no more than a small one; its end is read off a C{pidfd}, so
neither SIGCHLD nor what the reactor does about it matters. Needs Linux 5.3 or newer.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from fcntl import ioctl
from io import FileIO
from struct import unpack
from termios import FIONREAD
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.sources.pipes import READ, ErrorLog, Reader, Writer
from sseserver.values import MODEL, Prompt

log = Logger()

#: What stands for the prompt in a command.
PLACE = "{prompt}"

#: Seconds between TERM and KILL.
KILL_AFTER = 5.0

#: Seconds in which those to whom a program has left its pipes when it ended may write what they still have.
GRACE = 1.0

#: What there is too little of now; later there may be enough.
_SCARCE = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@implementer(ITokenSource)
class ProcessSource:
    """
    Starts a program for each run; what it writes to its standard output is
    the text, one token for each piece that comes.

    The program inherits the server's environment, working directory and
    rights. It is started as it stands: there is no shell. Its standard input
    holds the prompt, and nothing in a run without one.

    Args:
        reactor: Reads and writes the pipes.
        command: The program and its arguments. C{"{prompt}"} in an argument
            stands for the prompt.
        takesPrompt: Whether a run needs a prompt; C{None}: if the command
            has a place for it. One that is not needed is given all the same.
        model: What it is called as a model.

    Raises:
        ValueError: There is no program, or the prompt would be one.
    """

    def __init__(
        self, reactor: Any, command: Sequence[str], takesPrompt: bool | None = None, model: str = MODEL
    ) -> None:
        if not command or not command[0]:
            raise ValueError("There is no program in this command.")
        if PLACE in command[0]:
            raise ValueError("A prompt can be an argument of a program, but not the program.")
        self.takesPrompt = any(PLACE in argument for argument in command) if takesPrompt is None else takesPrompt
        self.model = model
        self._reactor = reactor
        self._command = [os.fsencode(part) for part in command]

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        """
        See L{ITokenSource.produce}. When the run is cancelled the Deferred
        fires only when the process is gone.

        Raises:
            SourceError: The program cannot be started, or cannot be given
                this prompt.
        """
        text = _encode(prompt)
        process = _spawn([part.replace(PLACE.encode("ascii"), text) for part in self._command])
        return _Program(self._reactor, sink, process, _watch(process), text).start()


def _encode(prompt: Prompt | None) -> bytes:
    try:
        return b"" if prompt is None else prompt.text.encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError("This prompt holds what is no character.", "prompt", 400) from None


def _spawn(command: list[bytes]) -> subprocess.Popen[bytes]:
    """
    Start a program: in a session of its own, with no other descriptors than
    three pipes, and with the default action for SIGPIPE, which Python ignores.

    Raises:
        SourceError: It cannot be. Tells viewers no path; the log has it.
    """
    try:
        return subprocess.Popen(  # noqa: S603  (the operator's command; a prompt is an argument at most)
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except ValueError:
        raise SourceError("This prompt holds a NUL, which no argument of a program can.", "prompt", 400) from None
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise SourceError("This prompt is too long for an argument of a program.", "prompt", 400) from None
        raise _cannotStart(error, command[0]) from None


def _watch(process: subprocess.Popen[bytes]) -> FileIO:
    """
    Open the descriptor that can be read when a process has ended.

    Raises:
        SourceError: There are no descriptors left; the process is ended.
    """
    try:
        return FileIO(os.pidfd_open(process.pid))
    except OSError as error:
        with process:
            os.killpg(process.pid, signal.SIGKILL)
        raise _cannotStart(error, cast(list[bytes], process.args)[0]) from None


def _cannotStart(error: OSError, program: bytes) -> SourceError:
    log.error("{program} cannot be started: {reason}", program=os.fsdecode(program), reason=error.strerror)
    message = f"The program that writes this text cannot be started: {error.strerror}."
    return SourceError(message, "start", 503 if error.errno in _SCARCE else 500)


def _failed(status: int) -> SourceError:
    if status < 0:
        return SourceError(f"The program was ended by signal {-status} ({signal.strsignal(-status)}).", "signal")
    return SourceError(f"The program ended with exit status {status}.", "exit")


@implementer(IPushProducer)
class _Program:
    """
    One run: a process, until it is reaped and what it wrote is read.

    It is not reaped before its whole group was killed: so long its number,
    which is also the group's, stands for nobody else.

    A sink may pause, resume or stop it inside a write.
    """

    def __init__(
        self, reactor: Any, sink: ITokenSink, process: subprocess.Popen[bytes], end: FileIO, prompt: bytes
    ) -> None:
        self._reactor = reactor
        self._sink = sink
        self._process = process
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._input = Writer(reactor, cast(FileIO, process.stdin), prompt)
        self._output = Reader(reactor, cast(FileIO, process.stdout), self._read, self._outputClosed)
        self._errors = ErrorLog(reactor, cast(FileIO, process.stderr), process.pid, self._look)
        self._exit = Reader(reactor, end, lambda: False, self._exited)
        # Bytes still to be read of a pipe when all whom we can end were ended.
        self._left: int | None = None
        self._stopping = False
        self._finished = False
        self._broken: Failure | None = None
        self._deadline: IDelayedCall | None = None
        self._waiting: Deferred[None]

    def start(self) -> Deferred[None]:
        done = self._wait()
        self._exit.start()
        # Going before it is registered: a sink that is paused says so while it registers.
        self.resumeProducing()
        self._sink.registerProducer(self, True)
        return done

    def pauseProducing(self) -> None:
        self._output.stop()

    def resumeProducing(self) -> None:
        self._output.start()

    def stopProducing(self) -> None:
        """TERM to the whole group; KILL to those who are still there after L{KILL_AFTER}."""
        if self._stopping:
            return
        self._stopping = True
        if self._process.returncode is None:
            self._schedule(KILL_AFTER, self._kill)
            self._signal(signal.SIGTERM)
        # Nobody reads it any more; one that goes on writing is told so by SIGPIPE.
        self._output.close()

    def _wait(self) -> Deferred[None]:
        """
        Give what fires when the process is gone. L{Deferred.cancel} fires a Deferred at once, whatever its canceller
        does; so it goes on to wait for another one.
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
        except Exception:
            self._broken = Failure()
            self.stopProducing()

    def _outputClosed(self) -> None:
        self._write(self._decoder.decode(b"", True))
        if self._process.returncode is None:
            self._look()
        else:
            self._finish()

    def _exited(self) -> None:
        self._errors.goOn()
        self._look()

    def _look(self) -> None:
        """See whether this is the end: the program has ended, and nobody can write to its pipes any more."""
        if self._exit.open or self._process.returncode is not None:
            return
        if not self._output.open and not self._errors.open:
            self._end()
        elif self._deadline is None:
            self._schedule(GRACE, self._end)

    def _kill(self) -> None:
        self._deadline = None
        if self._exit.open:
            log.info("Program {pid} does not end for TERM, and gets KILL", pid=self._process.pid)
            self._signal(signal.SIGKILL)
        else:
            self._end()

    def _end(self) -> None:
        """Kill those whom the program has left behind, and reap it."""
        self._unschedule()
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._input.close()
        self._errors.close()
        if not self._output.open:
            self._finish()
            return
        # Paused; or somebody who has left the group holds the pipe. What is in it by now is still read.
        (self._left,) = unpack("i", ioctl(self._output.file, FIONREAD, bytes(4)))
        if not self._left:
            self._output.close()

    def _finish(self) -> None:
        self._finished = True
        status = self._process.returncode
        if not self._stopping:
            self._sink.unregisterProducer()
        if self._broken is not None:
            self._waiting.errback(self._broken)
        elif self._stopping:
            self._waiting.errback(CancelledError())
        elif status:
            log.info("Program {pid} failed with status {status}", pid=self._process.pid, status=status)
            self._waiting.errback(_failed(status))
        else:
            self._waiting.callback(None)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except PermissionError:
            log.error("Program {pid} runs as somebody else, and cannot be ended", pid=self._process.pid)

    def _schedule(self, seconds: float, call: Callable[[], None]) -> None:
        self._unschedule()
        self._deadline = self._reactor.callLater(seconds, call)

    def _unschedule(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
