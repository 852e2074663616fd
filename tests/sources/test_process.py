"""
Tests for L{sseserver.sources.process}: real programs, with a clock of the tests' own.

What they do behind a server is in tests/integration/test_process.py.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSource
from sseserver.service.runqueue import RELEASE_LIMIT, RunQueue
from sseserver.settings import Settings
from sseserver.sources import process
from sseserver.sources.pipes import ERROR_INTERVAL, ERROR_KEPT, READ
from sseserver.sources.process import GRACE, KILL_AFTER, ProcessSource
from sseserver.stores.memory import MemoryStore
from sseserver.streams.terminal import packCancelled
from sseserver.testing import RecordingSink, SourceContract
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, Prompt, Reason
from tests.fakes import logged
from tests.programs import PipeReactor, Started, waitFor


def shell(script: str, *arguments: str) -> list[str]:
    """Give the command that runs a shell's script."""
    return ["sh", "-c", script, "sh", *arguments]


def python(script: str, *arguments: str) -> list[str]:
    """Give the command that runs a script in Python."""
    return [sys.executable, "-S", "-E", "-c", script, *arguments]


#: Ignores TERM, and tells so; ends some day, should the tests be killed.
STUBBORN = "trap '' TERM; echo ready; while [ $((i += 1)) -lt 3000 ]; do sleep 0.1; done"


class ContractTests(SourceContract, SynchronousTestCase):
    """What every token source must do."""

    clock: Any

    def makeSource(self) -> ITokenSource:
        """A program that writes some words, with rests between them."""
        self.clock = PipeReactor()
        return ProcessSource(self.clock, shell("for i in 1 2 3 4 5; do echo $i; sleep 0.05; done"))

    def step(self) -> None:
        """Wait a little."""
        self.clock.turn(0.05)

    def finish(self) -> None:
        """Wait until all is over."""
        self.clock.until(lambda: self.clock.idle)


class PromptContractTests(ContractTests):
    """The same of a program that takes a prompt."""

    prompt = Prompt("one two three")

    def makeSource(self) -> ITokenSource:
        """A program that writes the words that it is asked, with rests between them."""
        self.clock = PipeReactor()
        return ProcessSource(self.clock, shell('for word in $1; do echo "$word"; sleep 0.05; done', "{prompt}"))


class ProgramTestCase(SynchronousTestCase):
    """
    Starts programs; in the end nobody may be left of them, and nothing may wait.
    """

    def setUp(self) -> None:
        """Make the reactor; watch who is started, and which descriptors there are."""
        self.reactor = PipeReactor()
        self.started = Started()
        self.addCleanup(self.started.end)
        self.patch(process, "subprocess", SimpleNamespace(Popen=self.started, PIPE=subprocess.PIPE))
        self.descriptors = self.openDescriptors()

    def tearDown(self) -> None:
        """Look around."""
        self.assertTrue(self.reactor.idle, (self.reactor.readers, self.reactor.writers, self.reactor.calls))
        self.assertEqual(self.openDescriptors(), self.descriptors)
        waitFor(self.started.gone, "The end of all programs")

    def openDescriptors(self) -> set[str]:
        """Find which descriptors of this process are open."""
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    def start(self, command: list[str], prompt: str | None = None, sink: RecordingSink | None = None) -> RecordingSink:
        """Start a program."""
        sink = sink or RecordingSink()
        sink.start(ProcessSource(self.reactor, command), None if prompt is None else Prompt(prompt))
        return sink

    def run_(self, command: list[str], prompt: str | None = None) -> RecordingSink:
        """Start a program, and wait for its end."""
        sink = self.start(command, prompt)
        self.reactor.until(lambda: sink.ended)
        self.drain()
        return sink

    def drain(self) -> None:
        """Wait for whatever is still open, but for no timer."""
        self.reactor.until(lambda: self.reactor.idle)

    def text(self, command: list[str], prompt: str | None = None) -> str:
        """Run a program that ends well; give what it wrote."""
        sink = self.run_(command, prompt)
        self.assertIsNone(sink.result)
        self.assertIsNone(sink.producer)
        return "".join(sink.tokens)

    def failed(self, command: list[str], prompt: str | None = None) -> tuple[str, str]:
        """Run a program that fails; give reason and message."""
        error = self.problem(self.run_(command, prompt))
        return error.reason, str(error)

    def problem(self, sink: RecordingSink) -> SourceError:
        """Give what a run failed with."""
        self.assertIsInstance(sink.result, Failure)
        self.assertIsInstance(sink.result.value, SourceError)
        return sink.result.value  # type: ignore[no-any-return]

    def cancel(self, sink: RecordingSink) -> None:
        """Cancel a run whose program goes when it is told to; wait until it is gone."""
        sink.cancel()
        self.reactor.until(lambda: sink.result is not None)
        self.drain()
        sink.result.trap(CancelledError)
        self.assertEqual(sink.late, [])


class CommandTests(ProgramTestCase):
    """What is started, and what it is given."""

    def test_takesPrompt(self) -> None:
        """
        A prompt is needed where the command has a place for it, unless it is said otherwise.
        """
        for command, given, takes in (
            (["cat"], None, False),
            (["echo", "{prompt}"], None, True),
            (["echo", "--say={prompt}!"], None, True),
            (["cat"], True, True),
            (["echo", "{prompt}"], False, False),
        ):
            self.assertIs(ProcessSource(self.reactor, command, given).takesPrompt, takes, command)

    def test_model(self) -> None:
        """
        It is called as it was told to be.
        """
        self.assertEqual(ProcessSource(self.reactor, ["cat"]).model, "sseserver")
        self.assertEqual(ProcessSource(self.reactor, ["cat"], model="tom").model, "tom")

    def test_noProgram(self) -> None:
        """
        A command without a program is refused, and one whose program would be the visitor's choice.
        """
        for command in ([], [""], ["{prompt}"], ["/bin/{prompt}", "x"]):
            self.assertRaises(ValueError, ProcessSource, self.reactor, command)

    def test_arguments(self) -> None:
        """
        Arguments arrive as they are, whatever a shell would make of them.
        """
        arguments = ["", "a b", "$HOME", "*", "'", '"', "\\", ";", "`id`", "ä\n", "-x"]
        self.assertEqual(self.text(["printf", "%s|", *arguments]), "".join(f"{one}|" for one in arguments))

    def test_promptAsArgument(self) -> None:
        """
        The prompt is one argument, or part of one, wherever the command has a place for it.
        """
        prompt = "a b; $(id) 'c' \"d\" {prompt} ü\n"
        command = ["printf", "%s|", "{prompt}", "--say={prompt}!", "last"]
        self.assertEqual(self.text(command, prompt), f"{prompt}|--say={prompt}!|last|")

    def test_promptOnStandardInput(self) -> None:
        """
        The prompt is what is on standard input, also where it is an argument.
        """
        self.assertEqual(self.text(["cat"], "Grüße\n"), "Grüße\n")
        self.assertEqual(self.text(shell('printf %s "$1"; cat', "{prompt}"), "ab"), "abab")

    def test_noPrompt(self) -> None:
        """
        A run without a prompt has an empty standard input, and nothing in the place of the prompt.
        """
        self.assertEqual(self.text(["cat"]), "")
        self.assertEqual(self.text(["printf", "<%s>", "{prompt}"]), "<>")

    def test_longPrompt(self) -> None:
        """
        A prompt that no pipe holds reaches a program that reads slowly: "reads slowly".
        """
        prompt = "0123456789abcdef" * 50_000
        slowly = "import os,time\nn=0\nwhile d:=os.read(0,50000): n+=len(d); time.sleep(.01)\nprint(n)"
        self.assertEqual(self.text(python(slowly), prompt), "800000\n")

    def test_promptThatIsNotRead(self) -> None:
        """
        A program that does not read its prompt, or closes its standard input, is as good.
        """
        for script in ("echo ok", "exec 0<&-; echo ok; sleep 0.1"):
            self.assertEqual(self.text(shell(script), "p" * 1_000_000), "ok\n")

    def test_promptThatCannotBeGiven(self) -> None:
        """
        A NUL and what is too long are refused as arguments, a lone surrogate everywhere; a NUL is good on standard
        input.
        """
        for command, prompt, word in (
            (["echo", "{prompt}"], "a\0b", "NUL"),
            (["echo", "{prompt}"], "a" * 1_000_000, "long"),
            (["cat"], "\ud800", "character"),
        ):
            error = self.problem(self.run_(command, prompt))
            self.assertEqual((error.reason, error.status), ("prompt", 400))
            self.assertIn(word, str(error))
        self.assertEqual(self.text(["cat"], "a\0b"), "a\0b")

    def test_child(self) -> None:
        """
        A program has a session of its own, the default actions for all signals, none blocked, and no descriptor but
        its three.
        """
        os.set_inheritable(leaked := os.open("/dev/null", os.O_RDONLY), True)
        self.addCleanup(os.close, leaked)
        self.descriptors.add(str(leaked))
        script = (
            "import os;print(os.getsid(0)==os.getpgrp()==os.getpid());"
            "print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:4])"
        )
        self.assertEqual(self.text(python(script)).splitlines(), ["True", "[0, 1, 2, 3]"])  # 3 is the listing's
        status = dict(line.split(":\t") for line in self.text(["cat", "/proc/self/status"]).splitlines())
        for name in ("SigBlk", "SigIgn"):
            self.assertEqual(int(status[name], 16), 0, name)

    def test_environment(self) -> None:
        """
        It inherits the server's environment.
        """
        self.patch(os, "environ", {**os.environ, "SSESERVER_TEST": "here"})
        os.putenv("SSESERVER_TEST", "here")
        self.addCleanup(os.unsetenv, "SSESERVER_TEST")
        self.assertEqual(self.text(shell("echo $SSESERVER_TEST")), "here\n")


class OutputTests(ProgramTestCase):
    """What comes of standard output."""

    def test_asItComes(self) -> None:
        """
        Each piece is a token when it is written, not when the program ends.
        """
        sink = self.start(shell("printf one; read line; printf two"))
        self.assertEqual(sink.tokens, [])
        self.drain()
        gate = Path(self.mktemp())
        gate.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(gate)
        sink = self.start(shell('printf one; read line < "$1"; printf two', str(gate)))
        self.reactor.until(lambda: sink.tokens)
        self.assertEqual((sink.tokens, sink.ended), (["one"], False))
        gate.write_text("go\n")
        self.reactor.until(lambda: sink.ended)
        self.assertEqual(sink.tokens, ["one", "two"])
        self.drain()

    def test_oneByteAtATime(self) -> None:
        """
        "Writes one byte at a time": characters that come in pieces are whole.
        """
        text = "aä€😀\n" * 20
        script = "import os,sys\nfor b in sys.argv[1].encode():\n os.write(1,bytes([b]))"
        sink = self.run_(python(script, text))
        self.assertEqual("".join(sink.tokens), text)

    def test_splitCharacter(self) -> None:
        """
        A character whose bytes come in two reads is one, and no token is empty.
        """
        gate = Path(self.mktemp())
        gate.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(gate)
        sink = self.start(shell(r"""printf 'a\342\202'; read line < "$1"; printf '\254b'""", str(gate)))
        self.reactor.until(lambda: sink.tokens)
        self.assertEqual(sink.tokens, ["a"])
        gate.write_text("go\n")
        self.reactor.until(lambda: sink.ended)
        self.assertEqual(sink.tokens, ["a", "€b"])
        self.drain()

    def test_notUTF8(self) -> None:
        """
        "Writes binary": bytes that are no UTF-8 become U+FFFD, a character that is cut at the end as well.
        """
        self.assertEqual(self.text(["printf", r"a\377b\300\257c\355\240\200"]), "a\ufffdb\ufffd\ufffdc" + "\ufffd" * 3)
        self.assertEqual(self.text(["printf", r"a\342\202"]), "a\ufffd")
        self.assertEqual(self.text(["printf", r"\357\273\277a\000b\r\n\342\200\250"]), "\ufeffa\0b\r\n\u2028")
        data = "import os;os.write(1,bytes(range(256))*40)"
        self.assertEqual(self.text(python(data)), (bytes(range(256)) * 40).decode("utf-8", "replace"))

    def test_nothing(self) -> None:
        """
        A program that writes nothing has an empty text.
        """
        self.assertEqual(self.run_(["true"]).tokens, [])

    def test_much(self) -> None:
        """
        A long text comes whole, in long tokens.
        """
        sink = self.run_(shell("yes 0123456 | head -c 8000000"))
        self.assertEqual("".join(sink.tokens), "0123456\n" * 1_000_000)
        self.assertLess(len(sink.tokens), 8000)

    def test_backpressure(self) -> None:
        """
        "A gigabyte", "never ends": while the run is paused nothing is read, so the pipe stops the program; it ends
        when it is cancelled.
        """
        sink = self.start(["yes"])
        self.reactor.until(lambda: sink.tokens)
        sink.pause()
        before = len(sink.tokens)
        for _ in range(5):
            self.reactor.turn()
        self.assertEqual(len(sink.tokens), before)
        sink.resume()
        self.reactor.until(lambda: len(sink.tokens) > before)
        self.cancel(sink)

    def test_cancelledInACharacter(self) -> None:
        """
        The beginning of a character is not written when the run is cancelled.
        """
        sink = self.start(shell(r"printf 'a\342'; exec sleep 1000"))
        self.reactor.until(lambda: sink.tokens)
        self.cancel(sink)
        self.assertEqual((sink.tokens, sink.late), (["a"], []))

    def test_pausedAtTheEnd(self) -> None:
        """
        What a program has written before it ended is not lost while the run is paused, however long; it is reaped
        meanwhile.
        """
        sink = RecordingSink()
        sink.pause()
        self.start(shell("printf abc; printf def"), sink=sink)
        self.reactor.until(self.reactor.getDelayedCalls)
        self.reactor.advance(GRACE)
        self.assertTrue(self.started.gone())
        self.assertEqual((sink.tokens, sink.ended), ([], False))
        sink.resume()
        self.reactor.until(lambda: sink.ended)
        self.assertEqual("".join(sink.tokens), "abcdef")
        self.assertIsNone(sink.result)

    def test_cancelledWhilePausedAtTheEnd(self) -> None:
        """
        A run that is cancelled there ends at once.
        """
        sink = RecordingSink()
        sink.pause()
        self.start(["printf", "abc"], sink=sink)
        self.reactor.until(self.reactor.getDelayedCalls)
        self.reactor.advance(GRACE)
        # Nobody is there any more whom a signal could be meant for.
        self.patch(os, "killpg", lambda *_: self.fail("signalled"))
        sink.cancel()
        sink.result.trap(CancelledError)
        self.assertEqual(sink.tokens, [])

    def test_pausedInsideAWrite(self) -> None:
        """
        A sink may pause, and even cancel, while it is written to.
        """
        for act in (RecordingSink.pause, RecordingSink.cancel):
            sink = RecordingSink()
            write = sink.write

            def wrote(token: str, sink: RecordingSink = sink, write: Any = write, act: Any = act) -> None:
                write(token)
                act(sink)

            sink.write = wrote  # type: ignore[method-assign]
            self.start(["yes"], sink=sink)
            self.reactor.until(lambda sink=sink: sink.tokens)
            self.reactor.turn()
            self.assertEqual(len(sink.tokens), 1)
            if not sink.ended:
                self.cancel(sink)
            self.drain()

    def test_sinkBreaks(self) -> None:
        """
        When the sink breaks the program is ended, and the run has the sink's own failure.
        """
        sink = RecordingSink()

        def broken(token: str) -> None:
            raise ZeroDivisionError

        sink.write = broken  # type: ignore[method-assign]
        self.start(["yes"], sink=sink)
        self.reactor.until(lambda: sink.ended)
        sink.result.trap(ZeroDivisionError)
        self.drain()


class EndTests(ProgramTestCase):
    """How runs end."""

    def test_status(self) -> None:
        """
        Any exit status but 0 is a failure that tells it; what was written is kept.
        """
        self.assertEqual(self.text(shell("echo a; exit 0")), "a\n")
        for status in (1, 3, 255):
            sink = self.run_(shell(f"printf a; exit {status}"))
            error = self.problem(sink)
            self.assertEqual((error.reason, str(error)), ("exit", f"The program ended with exit status {status}."))
            self.assertEqual((sink.tokens, sink.producer), (["a"], None))

    def test_signal(self) -> None:
        """
        "Dies by a signal": a failure that tells which.
        """
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGRTMIN + 2):
            reason, message = self.failed(shell(f"kill -{int(number)} $$"))
            self.assertEqual(reason, "signal")
            self.assertIn(f"signal {int(number)} (", message)

    def test_cannotStart(self) -> None:
        """
        "Is missing", "is not executable", "is a directory": a failure that says so, without a path of this machine.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "plain").write_text("echo no")
        (folder / "empty").touch(0o755)
        (folder / "lost").write_text("#!/nowhere/sh\n")
        (folder / "lost").chmod(0o755)
        for name, why in (
            ("plain", "Permission denied"),
            ("", "Permission denied"),
            ("none", "No such file or directory"),
            ("plain/x", "Not a directory"),
            ("lost", "No such file or directory"),
            ("empty", "Exec format error"),
        ):
            with logged() as events:
                reason, message = self.failed([str(folder.resolve() / name)])
            self.assertEqual((reason, message.count(why)), ("start", 1), message)
            self.assertNotIn("/", message)
            self.assertIn(
                str(folder.resolve() / name), [event.get("program") for event in events] + [f"{folder.resolve()}/"]
            )
        self.assertEqual(self.failed(["no-such-program-anywhere"])[0], "start")

    def test_noDescriptors(self) -> None:
        """
        When there are no descriptors, neither to start a program nor to watch it, the run fails, and nobody is left.
        """

        def fails(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        self.patch(os, "pidfd_open", fails)
        error = self.problem(self.run_(["sleep", "1000"]))
        self.assertEqual((error.reason, error.status), ("start", 503))
        self.assertTrue(self.started.gone())
        self.patch(process.subprocess, "Popen", fails)
        error = self.problem(self.run_(["sleep", "1000"]))
        self.assertEqual((error.reason, error.status), ("start", 503))

    def test_closesItsOutput(self) -> None:
        """
        "Closes its output but lives": the run goes on until the program ends, whose status counts.
        """
        sink = self.start(shell("printf a; exec >&- 2>&-; sleep 0.2; exit 4"))
        self.reactor.until(lambda: len(self.reactor.readers) == 1)
        self.assertEqual((sink.tokens, sink.ended), (["a"], False))
        self.reactor.until(lambda: sink.ended)
        self.assertEqual(self.problem(sink).reason, "exit")
        self.drain()
        sink = self.start(shell("exec >&- 2>&-; sleep 1000"))
        self.reactor.until(lambda: len(self.reactor.readers) == 1)
        self.cancel(sink)

    def test_leavesSomebody(self) -> None:
        """
        "Forks": a program that ends while another still holds its pipes has ended when that one has had its time; it
        is killed, and what it wrote is kept.
        """
        sink = self.start(shell("(trap '' TERM; sleep 0.05; printf late; exec sleep 1000) & printf early"))
        self.reactor.until(lambda: "late" in "".join(sink.tokens))
        self.reactor.until(self.reactor.getDelayedCalls)
        self.assertFalse(sink.ended)
        self.reactor.advance(GRACE)
        self.reactor.until(lambda: sink.ended)
        self.assertIsNone(sink.result)
        self.assertEqual("".join(sink.tokens), "earlylate")
        waitFor(self.started.gone)

    def test_leavesSomebodyInSilence(self) -> None:
        """
        One that holds no pipe is killed as well.
        """
        self.assertEqual(self.text(shell("sleep 1000 >/dev/null 2>&1 </dev/null & echo done")), "done\n")
        waitFor(self.started.gone)

    def test_somebodyEscapes(self) -> None:
        """
        Who has left the group cannot be killed, but does not keep the run open: what is in the pipe when the others
        are gone is read, and no more, paused or not.
        """
        script = (
            "import os,sys,time\nif os.fork()==0:\n os.setsid();print(os.getpid(),flush=True)\n"
            " while 1: time.sleep(.01); os.write(1, b'y'*1000)"
        )
        for pauses in (False, True):
            # It also holds the other end of what is still to be written of the prompt.
            sink = self.start(python(script), "p" * 1_000_000)
            self.reactor.until(self.reactor.getDelayedCalls)
            self.reactor.until(lambda sink=sink: "\n" in "".join(sink.tokens))
            escaped = int("".join(sink.tokens).partition("\n")[0])
            try:
                if pauses:
                    pipe = sink.producer._output
                    sink.pause()
                    waitFor(lambda pipe=pipe: select.select([pipe], [], [], 0)[0])
                before = len("".join(sink.tokens))
                self.reactor.advance(GRACE)
                sink.resume()
                self.reactor.until(lambda sink=sink: sink.ended)
                self.assertIsNone(sink.result)
                self.assertLessEqual(len("".join(sink.tokens)) - before, READ)
                self.assertTrue(self.reactor.idle)
                if pauses:
                    self.assertGreater(len("".join(sink.tokens)), before)
            finally:
                os.kill(escaped, signal.SIGKILL)
            self.drain()


class CancelTests(ProgramTestCase):
    """A run that is cancelled."""

    def test_term(self) -> None:
        """
        "Never ends": TERM to the whole group; the Deferred fires when all are gone, not before.
        """
        sink = self.start(shell("sleep 1000 & sleep 1000 | cat; wait"))
        self.reactor.turn()
        sink.cancel()
        self.assertIsNone(sink.result)
        self.reactor.until(lambda: sink.result is not None)
        sink.result.trap(CancelledError)
        self.drain()

    def test_termIsHeard(self) -> None:
        """
        A program that cleans up when it is told to end has the time for it, and may still write: nobody hears it.
        """
        mark = Path(self.mktemp())
        mark.parent.mkdir(parents=True, exist_ok=True)
        cleaning = 'sleep 0.2; touch "$1"; echo bye 2>/dev/null; exit 0'
        script = f"trap '{cleaning}' TERM; echo ready; while :; do sleep 0.05; done"
        sink = self.start(shell(script, str(mark)))
        self.reactor.until(lambda: sink.tokens)
        self.cancel(sink)
        self.assertTrue(mark.exists())

    def test_kill(self) -> None:
        """
        "Ignores TERM": gets KILL after its time, and not before; a second cancel changes nothing.
        """
        sink = self.start(shell(STUBBORN))
        self.reactor.until(lambda: sink.tokens)
        sink.cancel()
        self.reactor.advance(KILL_AFTER - 0.1)
        sink.producer.stopProducing()
        sink.cancel()
        for _ in range(5):
            self.reactor.turn()
        self.assertIsNone(sink.result)
        self.assertFalse(self.started.gone())
        self.reactor.advance(0.1)
        self.reactor.until(lambda: sink.result is not None)
        sink.result.trap(CancelledError)
        self.drain()

    def test_killOthers(self) -> None:
        """
        One who ignores TERM in the group of a program that does not gets KILL, too.
        """
        sink = self.start(shell(f"({STUBBORN}) & wait"))
        self.reactor.until(lambda: sink.tokens)
        sink.cancel()
        self.reactor.until(lambda: len(self.reactor.readers) == 1)
        self.reactor.advance(KILL_AFTER - 0.1)
        self.assertIsNone(sink.result)
        self.reactor.advance(0.1)
        self.reactor.until(lambda: sink.result is not None)
        self.drain()

    def test_inTheGrace(self) -> None:
        """
        Cancelled when the program has ended and another still holds its pipes: that one is told to end.
        """
        sink = self.start(shell("sleep 1000 & echo ready"))
        self.reactor.until(self.reactor.getDelayedCalls)
        self.cancel(sink)

    def test_atOnce(self) -> None:
        """
        Cancelled before it has begun, and while it registers, a run leaves nobody.
        """
        sink = self.start(["sleep", "1000"])
        self.cancel(sink)
        sink = RecordingSink()
        sink.ended = True
        self.start(["sleep", "1000"], sink=sink)
        self.reactor.until(lambda: sink.result is not None)
        self.drain()

    def test_afterTheEnd(self) -> None:
        """
        A producer that is stopped after the end of its run signals nobody: the number may be another's by then.
        """
        sink = self.start(["true"])
        producer = sink.producer
        self.reactor.until(lambda: sink.ended)
        self.patch(os, "killpg", lambda *_: self.fail("signalled"))
        producer.stopProducing()
        producer.pauseProducing()
        producer.resumeProducing()
        self.drain()

    def test_deferred(self) -> None:
        """
        However often its Deferred is cancelled, it fires once, when the process is gone.
        """
        fired: list[Any] = []
        work = ProcessSource(self.reactor, shell(STUBBORN)).produce(sink := RecordingSink(), None)
        work.addBoth(fired.append)
        self.reactor.until(lambda: sink.tokens)
        for _ in range(3):
            work.cancel()
        self.assertEqual(fired, [])
        self.reactor.advance(KILL_AFTER)
        self.reactor.until(lambda: fired)
        fired[0].trap(CancelledError)
        self.drain()


class StandardErrorTests(ProgramTestCase):
    """What becomes of standard error."""

    def said(self, events: list[dict[str, Any]]) -> list[tuple[int, str]]:
        """Give what the log has of it: bytes left out, text."""
        return [(event["left"], event["text"]) for event in events if "left" in event]

    def test_logged(self) -> None:
        """
        "Only to standard error": it is in the log, and not in the text; what is no UTF-8 there as well.
        """
        with logged() as events:
            sink = self.run_(["sh", "-c", r"printf 'no\377 ä' >&2; exit 1"])
        self.assertEqual((sink.tokens, self.said(events)), ([], [(0, "no\ufffd ä")]))
        self.assertNotIn("no", str(self.problem(sink)))

    def test_rate(self) -> None:
        """
        The first words are logged at once, then those of an interval together, the rest at the end.
        """
        # Two, as a second reader may find the first writer not yet gone.
        gates = [Path(self.mktemp()), Path(self.mktemp())]
        for gate in gates:
            gate.parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(gate)
        script = 'echo a >&2; read x < "$1"; echo b >&2; echo c >&2; printf .; read x < "$2"; echo d >&2'
        with logged() as events:
            sink = self.start(shell(script, *map(str, gates)))
            self.reactor.until(lambda: self.said(events))
            gates[0].write_text("go\n")
            self.reactor.until(lambda: sink.tokens)
            self.reactor.turn()
            self.assertEqual(self.said(events), [(0, "a\n")])
            self.reactor.advance(ERROR_INTERVAL)
            self.assertEqual(self.said(events), [(0, "a\n"), (0, "b\nc\n")])
            gates[1].write_text("go\n")
            self.reactor.until(lambda: sink.ended)
            self.assertEqual(self.said(events)[2:], [(0, "d\n")])
        self.drain()

    def test_flood(self) -> None:
        """
        Of what comes without end the last is kept, in little memory; and then the pipe stops it.
        """
        with logged() as events:
            sink = self.start(["sh", "-c", "exec 3>&1; exec yes >&2"])
            self.reactor.until(lambda: len(self.reactor.readers) == 2)
            self.assertEqual(len(self.said(events)), 1)
            self.reactor.advance(ERROR_INTERVAL)
            left, text = self.said(events)[1]
            self.assertEqual((len(text), set(text)), (ERROR_KEPT, {"y", "\n"}))
            self.assertGreater(left, ERROR_KEPT)
            self.reactor.until(lambda: len(self.reactor.readers) == 2)
            self.cancel(sink)
        self.assertEqual(sink.tokens, [])


class RunsTests(ProgramTestCase):
    """Programs as runs of a service: what L{RunQueue} counts is processes that live."""

    def setUp(self) -> None:
        """Make a store, and the runs' own clock."""
        super().setUp()
        self.store = MemoryStore(self.reactor, 1 << 20)
        self.store.start()
        self.sweep = Ticker(self.reactor, 0.25)
        self.logs: list[Any] = []

    def tearDown(self) -> None:
        """Stop the sweep."""
        self.sweep.stop()
        self.successResultOf(self.store.stop())
        self.reactor.advance(1)
        super().tearDown()

    def runs(self, command: list[str], maxRuns: int) -> RunQueue:
        """Make the runs of a program."""
        settings = Settings(maxRuns=maxRuns)
        source = ProcessSource(self.reactor, command)
        return RunQueue(source, settings, self.sweep, lambda: True, lambda run: None)

    def begin(self, runs: RunQueue, prompt: str) -> Any:
        """Start one; give its log."""
        streamLog = self.successResultOf(self.store.create(None, False))
        runs.start(streamLog, Prompt(prompt))
        return streamLog

    def test_turn(self) -> None:
        """
        A run whose predecessor was cancelled has its turn when that one's process is gone, not before.
        """
        runs = self.runs(shell(f"case $1 in first) {STUBBORN};; *) echo second;; esac", "{prompt}"), 1)
        first, second = self.begin(runs, "first"), self.begin(runs, "second")
        self.reactor.until(lambda: first.buffer.appended)
        run = runs.find(first.name)
        assert run is not None
        run.stop(packCancelled(Reason.ASKED))
        self.assertTrue(first.sealed)
        for _ in range(5):
            self.reactor.turn()
        self.assertEqual((len(self.started.sessions), second.buffer.appended), (1, 0))
        self.reactor.advance(KILL_AFTER)
        self.reactor.until(lambda: second.sealed)
        self.assertEqual((second.buffer.kinds[0], second.buffer.kinds[-1]), (Kind.TOKEN, Kind.DONE))
        self.assertEqual(second.buffer.entry(1), b"second\n")

    def test_shutDown(self) -> None:
        """
        When the service stops, it waits until the last program is gone, also for one that ignores TERM.
        """
        runs = self.runs(shell(STUBBORN), 10)
        logs = [self.begin(runs, "x") for _ in range(3)]
        self.reactor.until(lambda: all(one.buffer.appended for one in logs))
        released: Deferred[None] = runs.shutDown()
        self.assertTrue(all(one.sealed for one in logs))
        self.assertNoResult(released)
        self.reactor.advance(KILL_AFTER)
        self.assertLess(KILL_AFTER + GRACE, RELEASE_LIMIT)
        self.reactor.until(lambda: released.called)
        self.successResultOf(released)
        waitFor(self.started.gone)
