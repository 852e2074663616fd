"""
Programs: the processes that `--exec` starts, scripted by the seed.

A program has real pipes, but no process. It writes its text in pieces that are cut at any byte, may leave its input
unread, ignore SIGTERM, leave a child that holds its output, and ends by itself or by a signal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from random import Random
from unittest.mock import patch

from tests.simulation.facts import Work
from tests.simulation.sources import Script, Scripts
from tests.simulation.world import World

#: Bytes of a pipe: the least that Linux has.
PIPE = 4096

#: Seconds between two looks of a program at a full pipe, or at its input.
_LOOK = 0.02

#: Bytes that a program writes at once, at most, if its tokens are shorter.
_PIECES = (3, 40, 2000)


class Programs:
    """
    The processes of a machine. Patches `subprocess` and `os`: a context manager.

    Args:
        world: Schedules what the programs do.
        scripts: Writes their texts.
        chance: Decides what they do.
    """

    def __init__(self, world: World, scripts: Scripts, chance: Random) -> None:
        self.world = world
        self.scripts = scripts
        self.chance = chance
        self._living: dict[int, Program] = {}
        # Programs by the descriptors that tell of their ends.
        self._watched: dict[int, Program] = {}
        self._count = 1000
        self._patches = [
            patch.object(subprocess, "Popen", self._start),
            patch.object(os, "pidfd_open", self._watch),
            patch.object(os, "killpg", self._signal),
            patch("sseserver.sources.launch.FileIO", self._openEnd),
        ]

    def __enter__(self) -> Programs:
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()
        self.abandon()

    @property
    def left(self) -> list[str]:
        """Programs that were not reaped, and those whose pipes are open at the server's side."""
        return [str(program.pid) for program in self._living.values() if not program.reaped or program.open]

    def abandon(self) -> None:
        """Close the server's side of all pipes, as the end of its process does."""
        for program in self._living.values():
            program.abandon()
        self._living.clear()

    def _start(self, command: Sequence[bytes], **_: object) -> Program:
        self.scripts.truth.asked[os.fsdecode(command[-1])] += 1
        if self.chance.random() < 0.03:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self._living = {pid: one for pid, one in self._living.items() if not one.reaped or one.open}
        self._count += 1
        script = self.scripts.write(os.fsdecode(command[-1]), "x")
        program = Program(self, self._count, command, script, self.scripts.truth.works[script.run])
        self._living[program.pid] = program
        return program

    def _watch(self, pid: int) -> int:
        if pid == os.getpid():
            # The server looks whether it can watch processes at all.
            return os.open(os.devnull, os.O_RDONLY)
        if self.chance.random() < 0.02:
            raise OSError(errno.EMFILE, "Too many open files")
        program = self._living[pid]
        number = program.watch()
        self._watched[number] = program
        return number

    def _openEnd(self, number: int) -> FileIO:
        """Open the descriptor that tells of the end of a program, which is closed with the program's pipes."""
        file = self._watched[number].end = FileIO(number)
        return file

    def _signal(self, pid: int, number: int) -> None:
        program = self._living.get(pid)
        if program is None or program.reaped:
            # The process number may be another one's by now.
            raise AssertionError(f"a signal to the process {pid}, which was reaped")
        program.signal(number)


class Program:
    """
    One process with its group, as `subprocess.Popen` shows it.

    Args:
        programs: Of the machine.
        pid: Its number.
        command: Its arguments.
        script: What it writes.
        work: Takes how it ended.

    Attributes:
        reaped: Whether the server has waited for it.
        end: Open descriptor that tells of its end; `None` before.
    """

    def __init__(self, programs: Programs, pid: int, command: Sequence[bytes], script: Script, work: Work) -> None:
        chance = programs.chance
        self.pid = pid
        self.args = command
        self.returncode: int | None = None
        self.reaped = False
        self.end: FileIO | None = None
        self.stdin, self._in = _turn(*_pipe())
        self._out, self.stdout = _pipe()
        self._errors, self.stderr = _pipe()
        self._programs = programs
        self._work = work
        self._fails = script.fails
        self._data = "".join(script.tokens).encode()
        self._pauses = script.pauses or [0.0]
        # Twice as many pieces as tokens at most, so that the pauses between them have the length of a run.
        self._piece = max(chance.choice(_PIECES), len(self._data) // (len(script.tokens) or 1))
        self._ignores = chance.random() < 0.1
        self._readsInput = chance.random() < 0.8
        # A child of the program holds its output so long; one in another group is not killed with it.
        self._child = chance.choice((0.0, 0.0, 0.0, 0.3, 3.0))
        self._escaped = chance.random() < 0.3
        self._tells: int | None = None
        self._status: int | None = None
        programs.world.after(self._pause(), self._go)

    @property
    def open(self) -> bool:
        """Whether the server has one of its pipes open."""
        return any(pipe is not None and not pipe.closed for pipe in self._pipes())

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()
        self.wait()

    def wait(self) -> int:
        """Reap the process; it must have ended, or nothing would ever happen again."""
        assert self._status is not None, f"the server waits for the program {self.pid}, which runs"
        self.reaped = True
        self.returncode = self._status
        return self._status

    def watch(self) -> int:
        """Return a descriptor that becomes readable when the process has ended."""
        end, self._tells = os.pipe()
        if self._status is not None:
            self._tellEnd()
        return end

    def signal(self, number: int) -> None:
        """Take a signal to the group."""
        if number == signal.SIGKILL:
            if not self._escaped:
                self._out.close()
            self._finish(-number)
        elif not self._ignores:
            self._programs.world.after(round(self._programs.chance.random() * 0.2, 3), lambda: self._finish(-number))

    def abandon(self) -> None:
        """Close the server's side of the pipes."""
        for pipe in self._pipes():
            if pipe is not None:
                pipe.close()
        self._finish(-signal.SIGPIPE)
        self._out.close()

    def _pipes(self) -> tuple[FileIO | None, ...]:
        """Return the server's side of all pipes."""
        return self.stdin, self.stdout, self.stderr, self.end

    def _pause(self) -> float:
        return self._programs.chance.choice(self._pauses)

    def _go(self) -> None:
        """Read and write what can be; end after that."""
        if self._status is not None:
            return
        if self._readsInput:
            _drain(self._in)
        if self._data:
            self._write()
        else:
            self._work.end = "fail" if self._fails else "ok"
            self._finish(1 if self._fails else 0)

    def _write(self) -> None:
        chance = self._programs.chance
        try:
            size = os.write(self._out.fileno(), self._data[: chance.randint(1, self._piece)])
        except BlockingIOError:
            self._programs.world.after(_LOOK, self._go)
            return
        except BrokenPipeError:
            self._finish(-signal.SIGPIPE)
            return
        self._data = self._data[size:]
        if chance.random() < 0.05:
            with suppress(OSError):
                os.write(self._errors.fileno(), b"a note\n")
        self._programs.world.after(self._pause(), self._go)

    def _finish(self, status: int) -> None:
        """End the process; its child may hold the output for some time."""
        if self._status is not None:
            return
        self._status = status
        self._in.close()
        self._errors.close()
        if self._child:
            self._programs.world.after(self._child, self._out.close)
        else:
            self._out.close()
        self._tellEnd()

    def _tellEnd(self) -> None:
        if self._tells is not None:
            os.close(self._tells)
            self._tells = None


def _pipe() -> tuple[FileIO, FileIO]:
    """Make a small pipe; return the end that is written, which blocks nobody, and the one that is read."""
    into, out = os.pipe()
    fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, PIPE)
    os.set_blocking(out, False)
    return FileIO(out, "wb"), FileIO(into)


def _turn(out: FileIO, into: FileIO) -> tuple[FileIO, FileIO]:
    """Prepare a pipe from the server to a program."""
    os.set_blocking(into.fileno(), False)
    return out, into


def _drain(pipe: FileIO) -> None:
    """Read what is there."""
    if not pipe.closed:
        while pipe.read(PIPE):
            pass
