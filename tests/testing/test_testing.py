"""
The contracts of L{sseserver.testing} that have no file of their own, for every part of ours; and that they find what
is wrong.
"""

from __future__ import annotations

import unittest
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.formats import EventsFormat, TextFormat
from sseserver.interfaces import IFormat, IStreamStore, ITokenSink, ITokenSource
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import TextSource
from sseserver.stores.memory import MemoryStore
from sseserver.testing import FormatContract, RecordingSink, SourceContract, StoreContract
from sseserver.values import Prompt


class EventsTests(FormatContract, SynchronousTestCase):
    """The format C{events}."""

    def makeFormat(self) -> IFormat:
        return EventsFormat()


class TextTests(FormatContract, SynchronousTestCase):
    """The format C{text}."""

    def makeFormat(self) -> IFormat:
        return TextFormat()


class PacedTextTests(SourceContract, SynchronousTestCase):
    """A text at a pace."""

    def makeSource(self) -> ITokenSource:
        return TextSource(self.clock, "one two  three\nfour five six seven", 0.1)


class UnpacedTextTests(SourceContract, SynchronousTestCase):
    """A text as fast as it is taken."""

    def makeSource(self) -> ITokenSource:
        return TextSource(self.clock, "one two " * 1000, 0)


class CoroutineTests(SourceContract, SynchronousTestCase):
    """A function of one's own that takes a prompt and waits."""

    prompt = Prompt("Say it")

    def makeSource(self) -> ITokenSource:
        return FunctionSource(self.tell, takesPrompt=True)

    async def tell(self, sink: ITokenSink, prompt: Prompt | None) -> str:
        """Write some tokens, one at a time."""
        assert prompt is not None
        for number in range(10):
            await sink.ready()
            sink.write(f"{prompt.text} {number} ")
            await deferLater(self.clock, 0.1)
        return "stop"


class HastyTests(SourceContract, SynchronousTestCase):
    """A function that writes all at once."""

    waits = False

    def makeSource(self) -> ITokenSource:
        return FunctionSource(lambda sink, prompt: sink.write("all"))


def failures(case: type[SynchronousTestCase]) -> set[str]:
    """Run the tests of a class, and name those that fail."""
    result = unittest.TestResult()
    for name in dir(case):
        if name.startswith("test_"):
            case(name).run(result)
    return {test.id().rpartition(".")[2] for test, _ in (*result.failures, *result.errors)}


class _Forgetful(MemoryStore):
    """Deletes without telling the viewers, or counting."""

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        deleted: Any = self.find(name)
        self._logs.pop(name, None)
        return deleted.addCallback(lambda _: None)


@implementer(ITokenSource)
class _Deaf:
    """Hears neither that it is to wait nor that it is to stop."""

    takesPrompt = False
    model = "deaf"

    def __init__(self, clock: Any) -> None:
        self.clock = clock

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: None)

        def write(left: int) -> None:
            if left:
                sink.write(f"{left} ")
                self.clock.callLater(0.1, write, left - 1)
            elif not done.called:
                done.callback(None)

        write(10)
        return done


class ContractTests(SynchronousTestCase):
    """The contracts find what is wrong."""

    def test_store(self) -> None:
        """
        A store whose C{delete} forgets the viewers, the bytes and the epoch is found out.
        """

        class Case(StoreContract, SynchronousTestCase):
            def makeStore(self, window: int) -> IStreamStore:
                return _Forgetful(self.clock, window)

        self.assertEqual(failures(Case), {"test_delete", "test_deleteAnother", "test_nameAgain", "test_used"})

    def test_source(self) -> None:
        """
        A source that cannot be paused or cancelled is found out.
        """

        class Case(SourceContract, SynchronousTestCase):
            def makeSource(self) -> ITokenSource:
                return _Deaf(self.clock)

        self.assertEqual(failures(Case), {"test_pause", "test_cancel"})

    def test_sinkEnds(self) -> None:
        """
        A recording sink that has ended stops a producer that comes late, lets nobody wait, and keeps apart what comes.
        """
        sink = RecordingSink()
        sink.pause()
        waiting = sink.ready()
        sink.cancel()
        self.assertIsNone(self.successResultOf(waiting))
        stopped: list[bool] = []

        class Producer:
            def stopProducing(self) -> None:
                stopped.append(True)

        sink.registerProducer(Producer(), True)
        sink.write("late")
        self.assertEqual((stopped, sink.producer, sink.tokens, sink.late), ([True], None, [], ["late"]))

    def test_sinkRefuses(self) -> None:
        """
        A recording sink refuses what a run refuses: pull producers, a second producer, lone surrogates.
        """
        sink = RecordingSink()
        self.assertRaises(ValueError, sink.registerProducer, object(), False)
        sink.registerProducer(object(), True)
        self.assertRaises(RuntimeError, sink.registerProducer, object(), True)
        self.assertRaises(UnicodeEncodeError, sink.write, "\ud800")
