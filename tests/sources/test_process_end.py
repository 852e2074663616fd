"""
Tests of `sseserver.sources.process`: how programs end, and how they are ended.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError

from sseserver.service.prompts import KeptPrompt
from sseserver.service.runqueue import RELEASE_LIMIT, RunQueue
from sseserver.settings import Settings
from sseserver.sources import launch
from sseserver.sources.pipes import READ
from sseserver.sources.process import GRACE, KILL_AFTER, ProcessSource
from sseserver.stores.memory import MemoryStore
from sseserver.streams.account import Account
from sseserver.streams.terminal import packCancelled
from sseserver.testing import RecordingSink
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, Prompt, Reason
from tests.fakes import logged
from tests.programs import waitFor
from tests.sources.commands import STUBBORN, ProgramTestCase, python, shell


class EndTests(ProgramTestCase):
    """How programs end."""

    def test_status(self) -> None:
        """
        An exit status other than 0 fails the run with a message that names it; the text so far is
        kept.
        """
        self.assertEqual(self.text(shell("echo a; exit 0")), "a\n")
        for status in (1, 3, 255):
            sink = self.run_(shell(f"printf a; exit {status}"))
            error = self.problem(sink)
            self.assertEqual((error.reason, str(error)), ("exit", f"The program ended with exit status {status}."))
            self.assertEqual((sink.tokens, sink.producer), (["a"], None))

    def test_signal(self) -> None:
        """A program that dies by a signal fails the run with a message that names it."""
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGRTMIN + 2):
            reason, message = self.failed(shell(f"kill -{int(number)} $$"))
            self.assertEqual(reason, "signal")
            self.assertIn(f"signal {int(number)} (", message)

    def test_cannotStart(self) -> None:
        """
        A missing file, one that is not executable and a folder fail with a message that says so,
        without a path.
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
        Without descriptors, to start a program or to watch it, the run fails, and no process is
        left.
        """

        def fails(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        source = ProcessSource(self.reactor, ["sleep", "1000"])
        for module, name in ((os, "pidfd_open"), (launch.subprocess, "Popen")):
            self.patch(module, name, fails)
            sink = RecordingSink()
            sink.start(source)
            error = self.problem(sink)
            self.assertEqual((error.reason, error.status), ("start", 503))
            self.assertTrue(self.started.gone())

    def test_closesItsOutput(self) -> None:
        """A program that closes its output continues until it ends; its exit status counts."""
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
        If a process that the program has left behind holds its pipes, the run ends after a grace
        period. The process is killed, its output kept.
        """
        sink = self.start(shell("printf early; (trap '' TERM; sleep 0.05; printf late; exec sleep 1000) &"))
        self.reactor.until(lambda: "late" in "".join(sink.tokens))
        self.reactor.until(self.reactor.getDelayedCalls)
        self.assertFalse(sink.ended)
        self.reactor.advance(GRACE)
        self.reactor.until(lambda: sink.ended)
        self.assertIsNone(sink.result)
        self.assertEqual("".join(sink.tokens), "earlylate")
        waitFor(self.started.gone)

    def test_leavesSomebodyInSilence(self) -> None:
        """A process left behind that holds no pipe is killed, too."""
        self.assertEqual(self.text(shell("sleep 1000 >/dev/null 2>&1 </dev/null & echo done")), "done\n")
        waitFor(self.started.gone)

    def test_somebodyEscapes(self) -> None:
        """
        A process that has left the group is not killed and does not keep the run open: the content
        of the pipe at that time is read, paused or not.
        """
        script = (
            "import os,sys,time\nif os.fork()==0:\n os.setsid();print(os.getpid(),flush=True)\n"
            " while 1: time.sleep(.01); os.write(1, b'y'*1000)"
        )
        for pauses in (False, True):
            # It also holds the read end of the standard input.
            sink = self.start(python(script), "p" * 1_000_000)
            self.reactor.until(self.reactor.getDelayedCalls)
            self.reactor.until(lambda sink=sink: "\n" in "".join(sink.tokens))
            escaped = int("".join(sink.tokens).partition("\n")[0])
            try:
                if pauses:
                    watched = set(self.reactor.getReaders())
                    sink.pause()
                    (pipe,) = watched.difference(self.reactor.getReaders())
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
    """Runs that are cancelled."""

    def test_term(self) -> None:
        """The whole group gets SIGTERM; the Deferred fires when all of it is gone."""
        sink = self.start(shell("sleep 1000 & sleep 1000 | cat; wait"))
        self.reactor.turn()
        sink.cancel()
        self.assertIsNone(sink.result)
        self.reactor.until(lambda: sink.result is not None)
        sink.result.trap(CancelledError)
        self.drain()

    def test_termIsHeard(self) -> None:
        """A program that cleans up after SIGTERM has the time for it; its output is dropped."""
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
        A program that ignores SIGTERM gets SIGKILL after its time; a second cancellation changes
        nothing.
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
        A process of the group that ignores SIGTERM gets SIGKILL even if the program has ended.
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
        A run that is cancelled in the grace period after its program ends the process that holds
        the pipes.
        """
        sink = self.start(shell("sleep 1000 & echo ready"))
        self.reactor.until(self.reactor.getDelayedCalls)
        self.cancel(sink)

    def test_atOnce(self) -> None:
        """A run that is cancelled before it has begun, or while it registers, leaves no process."""
        sink = self.start(["sleep", "1000"])
        self.cancel(sink)
        sink = RecordingSink()
        sink.ended = True
        self.start(["sleep", "1000"], sink=sink)
        self.reactor.until(lambda: sink.result is not None)
        self.drain()

    def test_afterTheEnd(self) -> None:
        """
        A producer that is stopped after the end sends no signal: the process number may belong to
        another process.
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
        """However often the Deferred is cancelled, it fires once, when the process is gone."""
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


class RunsTests(ProgramTestCase):
    """Programs as runs of a service: `RunQueue` counts living processes."""

    def setUp(self) -> None:
        """Make a store and the ticker of the runs."""
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
        """Make the run queue of a program."""
        settings = Settings(maxRuns=maxRuns)
        source = ProcessSource(self.reactor, command)
        return RunQueue(source, settings, self.sweep, Account(), lambda: True, lambda run: None)

    def begin(self, runs: RunQueue, prompt: str) -> Any:
        """Start a run and return its log."""
        streamLog = self.successResultOf(self.store.create(None, False))
        runs.start(streamLog, KeptPrompt(Prompt(prompt)))
        return streamLog

    def test_turn(self) -> None:
        """The run after a cancelled one has its turn when the process of that one is gone."""
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
        A service that stops waits until the last program is gone, even one that ignores SIGTERM.
        """
        runs = self.runs(shell(STUBBORN), 10)
        logs = [self.begin(runs, "x") for _ in range(3)]
        self.reactor.until(lambda: all(one.buffer.appended for one in logs))
        released = runs.awaitRelease()
        runs.endAll()
        self.assertTrue(all(one.sealed for one in logs))
        self.assertNoResult(released)
        self.reactor.advance(KILL_AFTER)
        self.assertLess(KILL_AFTER + GRACE, RELEASE_LIMIT)
        self.reactor.until(lambda: released.called)
        self.successResultOf(released)
        waitFor(self.started.gone)

    def test_kill(self) -> None:
        """A source kills all its programs at once, with their groups, whatever they do about SIGTERM."""
        source = ProcessSource(self.reactor, shell(STUBBORN))
        runs = RunQueue(source, Settings(), self.sweep, Account(), lambda: True, lambda run: None)
        logs = [self.begin(runs, "x") for _ in range(2)]
        self.reactor.until(lambda: all(one.buffer.appended for one in logs))
        runs.endAll()
        source.kill()
        self.reactor.until(lambda: not runs.held)
        waitFor(self.started.gone)
        source.kill()
