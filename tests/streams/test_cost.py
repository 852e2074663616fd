"""
Tests of `sseserver.streams.cost`, and of the keys of a log, which are charged to the account of its store.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreUnavailable
from sseserver.streams.buffer import ENTRY_COST, EntryBuffer
from sseserver.streams.cost import KEY_COST, STREAM_COST, findExcess, measureKey, measureKeys, measureStream
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import KeyUse, Kind

#: One token, or a key of so many characters for the tokens before it, a refusal of what is not stored, or a commit.
STEPS = st.lists(
    st.one_of(st.tuples(st.just("token"), st.integers(1, 300)), st.tuples(st.just("key"), st.integers(1, 255)))
    | st.tuples(st.sampled_from(["refuse", "commit"]), st.just(0)),
    max_size=60,
)


class Keeping(Keeper):
    """A store that keeps nothing."""


def makeLog(keeper: Keeper, window: int = 10_000) -> StreamLog:
    """Make a published log whose name is `name`."""
    log = StreamLog("name", "epoch", Ticker(Clock(), 0.005), window, keeper, published=True)
    keeper.published.add(log.size)
    return log


class CostTests(SynchronousTestCase):
    """Costs of a stream beside its entries."""

    def test_measures(self) -> None:
        """A stream costs a constant and its name twice, a key a constant and its bytes."""
        self.assertEqual(measureStream("abc"), STREAM_COST + 6)
        self.assertEqual(measureStream("abc", "Why?"), STREAM_COST + 6 + 4)
        self.assertEqual(measureStream("abc", "Wärum"), STREAM_COST + 6 + 20)
        self.assertEqual(measureKey("k" * 255), KEY_COST + 255)
        self.assertEqual(measureKeys(["a", "bc"]), 2 * KEY_COST + 3)

    def test_excess(self) -> None:
        """Entries are dropped until they and the keys that go with them are enough, and no more."""
        buffer = EntryBuffer()
        for _ in range(10):
            buffer.add(Kind.TOKEN, b"x" * (100 - ENTRY_COST))
        keys = {"a": KeyUse(b"", 1, 2), "b": KeyUse(b"", 3, 6)}
        for excess, expected in ((1, 1), (200, 200), (201, 200), (200 + measureKey("a"), 200), (1001, 600)):
            self.assertEqual(findExcess(buffer, keys, excess), expected, excess)
        self.assertEqual(findExcess(buffer, {}, 77), 77)


class KeyTests(SynchronousTestCase):
    """The keys of one log."""

    def test_F8_size(self) -> None:
        """F8: a key costs its bytes and a constant, in the size of the stream and in the account of the store."""
        keeper = Keeping()
        log = makeLog(keeper, 1 << 20)
        log.append(Kind.TOKEN, b"x")
        before = log.size
        log.remember("k" * 255, b"digest", 1)
        self.assertEqual((log.keyBytes, log.size), (KEY_COST + 255, before + KEY_COST + 255))
        self.assertEqual(keeper.published.used, log.size)
        log.remember("k" * 255, b"digest", 1)
        self.assertEqual(keeper.published.used, before + KEY_COST + 255)

    def test_F8_window(self) -> None:
        """F8: keys take room of the window; with their entries they are trimmed, and the newest stays."""
        keeper = Keeping()
        log = makeLog(keeper)
        for number in range(1, 101):
            log.append(Kind.TOKEN, b"x")
            log.remember(f"{number:0255}", b"digest", number)
            self.assertLessEqual(log.buffer.size + log.keyBytes, 10_000)
        self.assertGreater(len(log.keys), 10)
        self.assertEqual(keeper.published.used, log.size)
        self.assertIsNotNone(log.keys.get(f"{100:0255}"))
        self.assertIsNone(log.keys.get(f"{1:0255}"))

    def test_newKey(self) -> None:
        """A new key counts for the window at once, and not only when the next entry comes."""
        log = makeLog(Keeping())
        for number in range(1, 401):
            log.append(Kind.TOKEN, b"x" * (number % 97))
            if number % 5 == 0:
                log.remember(f"{number:0255}", b"digest", number)
            self.assertLessEqual(log.buffer.size + log.keyBytes, 10_000)

    @given(STEPS)
    def test_exact(self, steps: list[tuple[str, int]]) -> None:
        """
        Whatever is appended, remembered, stored, refused and trimmed: the account has the size of the log, and nothing
        is left of it when the log is dropped.
        """
        keeper = Keeping(durable=True)
        log = makeLog(keeper, 2000)
        for number, (step, size) in enumerate(steps):
            if step == "token":
                log.append(Kind.TOKEN, b"x" * size)
            elif step == "key" and log.buffer.appended:
                log.remember(f"{number:0{size}}", b"", log.buffer.appended)
            elif step == "refuse":
                log.refuse(StoreUnavailable("Full."))
            elif step == "commit":
                log.commit(log.buffer.appended)
            self.assertEqual(log.keyBytes, measureKeys(log.keys))
            self.assertEqual(keeper.published.used, log.size)
        keeper.published.subtract(log.drop())
        self.assertEqual((keeper.published.used, keeper.published.count, keeper.runs.used), (0, 0, 0))
