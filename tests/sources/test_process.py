"""
Tests of `sseserver.sources.process`: commands, prompts and output.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import ITokenSource
from sseserver.sources.process import GRACE, ProcessSource
from sseserver.testing import RecordingSink, SourceContract
from sseserver.values import Prompt
from tests.programs import PipeReactor
from tests.sources.commands import ProgramTestCase, python, shell


class ContractTests(SourceContract, SynchronousTestCase):
    """The contract of sources, kept by a program."""

    clock: Any

    def makeSource(self) -> ITokenSource:
        """Make a program that writes words with pauses between them."""
        self.clock = PipeReactor()
        return ProcessSource(self.clock, shell("for i in 1 2 3 4 5; do echo $i; sleep 0.05; done"))

    def step(self) -> None:
        """Wait a little."""
        self.clock.turn(0.05)

    def finish(self) -> None:
        """Wait until the program is gone."""
        self.clock.until(lambda: self.clock.idle)


class PromptContractTests(ContractTests):
    """The contract of sources, kept by a program that takes a prompt."""

    prompt = Prompt("one two three")

    def makeSource(self) -> ITokenSource:
        """Make a program that writes the words of its prompt with pauses between them."""
        self.clock = PipeReactor()
        return ProcessSource(self.clock, shell('for word in $1; do echo "$word"; sleep 0.05; done', "{prompt}"))


class CommandTests(ProgramTestCase):
    """The start of a program, its arguments and its standard input."""

    def test_takesPrompt(self) -> None:
        """
        A prompt is needed if the command has a placeholder, unless the embedder says otherwise.
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
        """The source has the given name as a model."""
        self.assertEqual(ProcessSource(self.reactor, ["cat"]).model, "sseserver")
        self.assertEqual(ProcessSource(self.reactor, ["cat"], model="tom").model, "tom")

    def test_noProgram(self) -> None:
        """An empty command is refused, and so is a placeholder as the program."""
        for command in ([], [""], ["{prompt}"], ["/bin/{prompt}", "x"]):
            self.assertRaises(ValueError, ProcessSource, self.reactor, command)

    def test_arguments(self) -> None:
        """Arguments arrive unchanged, however a shell would expand them."""
        arguments = ["", "a b", "$HOME", "*", "'", '"', "\\", ";", "`id`", "ä\n", "-x"]
        self.assertEqual(self.text(["printf", "%s|", *arguments]), "".join(f"{one}|" for one in arguments))

    def test_promptAsArgument(self) -> None:
        """The prompt is one argument, or a part of one, wherever the command has a placeholder."""
        prompt = "a b; $(id) 'c' \"d\" {prompt} ü\n"
        command = ["printf", "%s|", "{prompt}", "--say={prompt}!", "last"]
        self.assertEqual(self.text(command, prompt), f"{prompt}|--say={prompt}!|last|")

    def test_promptOnStandardInput(self) -> None:
        """The prompt is also the standard input, even if it is an argument."""
        self.assertEqual(self.text(["cat"], "Grüße\n"), "Grüße\n")
        self.assertEqual(self.text(shell('printf %s "$1"; cat', "{prompt}"), "ab"), "abab")

    def test_noPrompt(self) -> None:
        """
        A run without a prompt has an empty standard input, and nothing in place of the placeholder.
        """
        self.assertEqual(self.text(["cat"]), "")
        self.assertEqual(self.text(["printf", "<%s>", "{prompt}"]), "<>")

    def test_longPrompt(self) -> None:
        """A prompt larger than a pipe reaches a program that reads slowly."""
        prompt = "0123456789abcdef" * 50_000
        slowly = "import os,time\nn=0\nwhile d:=os.read(0,50000): n+=len(d); time.sleep(.01)\nprint(n)"
        self.assertEqual(self.text(python(slowly), prompt), "800000\n")

    def test_promptThatIsNotRead(self) -> None:
        """A program can ignore its prompt, or close its standard input."""
        for script in ("echo ok", "exec 0<&-; echo ok; sleep 0.1"):
            self.assertEqual(self.text(shell(script), "p" * 1_000_000), "ok\n")

    def test_promptThatCannotBeGiven(self) -> None:
        """
        A NUL and a prompt that is too long are refused as arguments, and a lone surrogate
        everywhere. Standard input takes a NUL.
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


class OutputTests(ProgramTestCase):
    """Standard output as text."""

    def test_asItComes(self) -> None:
        """Each piece is a token when it is written, not when the program ends."""
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
        """Characters that are written byte by byte arrive whole."""
        text = "aä€😀\n" * 20
        script = "import os,sys\nfor b in sys.argv[1].encode():\n os.write(1,bytes([b]))"
        sink = self.run_(python(script, text))
        self.assertEqual("".join(sink.tokens), text)

    def test_splitCharacter(self) -> None:
        """A character whose bytes come in two reads is one token, and no token is empty."""
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
        Bytes that are not UTF-8 become U+FFFD, and so does a character that is cut at the end.
        """
        self.assertEqual(self.text(["printf", r"a\377b\300\257c\355\240\200"]), "a\ufffdb\ufffd\ufffdc" + "\ufffd" * 3)
        self.assertEqual(self.text(["printf", r"a\342\202"]), "a\ufffd")
        self.assertEqual(self.text(["printf", r"\357\273\277a\000b\r\n\342\200\250"]), "\ufeffa\0b\r\n\u2028")
        data = "import os;os.write(1,bytes(range(256))*40)"
        self.assertEqual(self.text(python(data)), (bytes(range(256)) * 40).decode("utf-8", "replace"))

    def test_nothing(self) -> None:
        """A program that writes nothing has an empty text."""
        self.assertEqual(self.run_(["true"]).tokens, [])

    def test_much(self) -> None:
        """A long text arrives whole, in long tokens."""
        sink = self.run_(shell("yes 0123456 | head -c 8000000"))
        self.assertEqual("".join(sink.tokens), "0123456\n" * 1_000_000)
        self.assertLess(len(sink.tokens), 8000)

    def test_backpressure(self) -> None:
        """
        While the run is paused nothing is read, so the pipe blocks the program. It ends when the
        run is cancelled.
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
        """An incomplete character is not written when the run is cancelled."""
        sink = self.start(shell(r"printf 'a\342'; exec sleep 1000"))
        self.reactor.until(lambda: sink.tokens)
        self.cancel(sink)
        self.assertEqual((sink.tokens, sink.late), (["a"], []))

    def test_pausedAtTheEnd(self) -> None:
        """
        The last output of a program is not lost while the run is paused, however long. The program
        is reaped meanwhile.
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
        """A run that is cancelled in that pause ends at once."""
        sink = RecordingSink()
        sink.pause()
        self.start(["printf", "abc"], sink=sink)
        self.reactor.until(self.reactor.getDelayedCalls)
        self.reactor.advance(GRACE)
        # No process is left to signal.
        self.patch(os, "killpg", lambda *_: self.fail("signalled"))
        sink.cancel()
        sink.result.trap(CancelledError)
        self.assertEqual(sink.tokens, [])

    def test_pausedInsideAWrite(self) -> None:
        """A sink can pause, and even cancel, inside a write."""
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
        """An exception of the sink ends the program and is the failure of the run."""
        sink = RecordingSink()

        def broken(token: str) -> None:
            raise ZeroDivisionError

        sink.write = broken  # type: ignore[method-assign]
        self.start(["yes"], sink=sink)
        self.reactor.until(lambda: sink.ended)
        sink.result.trap(ZeroDivisionError)
        self.drain()
