"""
Foreign messages on the channels of a store.

Tests of `sseserver.stores.redis.damage`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import logged
from tests.redisservers import findMissing
from tests.stores.redis.foreigncases import ForeignCase

if findMissing() is None:
    from sseserver.errors import StoreDamaged
    from sseserver.stores.redis.connection import Refused
    from sseserver.stores.redis.damage import MANY, PAUSE, Complaints
    from sseserver.stores.redis.layout import Layout

#: Messages that are none of ours on any channel.
GARBAGE = (
    *(
        b"",
        b"+",
        b"-",
        b"=",
        b"*",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{}",
        b"1",
        b'"x"',
        b"[" * 100_000,
        b'{"a":' * 9999,
    ),
    *(b'{"node":1,"rates":{},"counts":{}}', b'{"node":"n","rates":[],"counts":{}}', b'{"node":"n"}'),
    *(
        b'{"node":"n","rates":{"runs":{"c":1e999}},"counts":{}}',
        b'{"node":"n","rates":{},"counts":{"viewers":{"c":"x"}}}',
    ),
    *(
        b'{"node":"n","rates":{},"counts":{"viewers":{"c":%b}}}' % (b"9" * 5000),
        b'{"node":"n","rates":{},"counts":{"x":3}}',
    ),
    *(b"ended", b"ended x", b"deleted \xff x", b"other x y", b"ended x y"),
)


def listTailMessages(epoch: bytes) -> Iterator[bytes]:
    """Return foreign messages on a tail, with the right epoch."""
    for words in (
        b"",
        b" ",
        b" x",
        b" 3",
        b" 3 x ",
        b" 3 1",
        b" 3 1 \n",
        b" 3 1,1 \n\x00",
        b" 3 1,-1 \n\x00\x00x",
        b" 3 99,1 \n\x00\x00x",
    ):
        yield b"+" + epoch + words
    yield b"+%b 3 1 \n\x63x" % epoch
    yield b"+%b 3 1 nan\n\x08x" % epoch
    yield b"+%b 3 1 12\n\x08x" % epoch
    yield b"+%b 3 2 \n\x08{}" % epoch
    yield b"+%b 3 1,1 \n\x00\x63xx" % epoch
    yield b"+%b 3 2,1 12\n\x08\x00{}x" % epoch
    yield b"+%b %b 1 \n\x00x" % (epoch, b"9" * 5000)
    yield b"+%b %b 1 \n\x00x" % (epoch, b"9" * 30)
    yield b"+%b -7 1 \n\x00x" % epoch
    yield b"-%b x" % epoch
    yield b"=%b" % epoch
    yield b"=%b y" % epoch
    yield b"=%b y 2" % epoch
    yield b"=%b %b x" % (epoch, b"z" * 22)
    yield b"*%b" % epoch
    yield b"*%b %b" % (epoch, b"9" * 30)


class MessageTests(ForeignCase):
    """Foreign messages change nothing, and are named in the log once."""

    def setUp(self) -> None:
        super().setUp()
        self.prepare()
        self.chance = random.Random(7)

    def makeNoise(self) -> list[bytes]:
        """Return garbage, and random bytes."""
        return [*GARBAGE, *(self.chance.randbytes(self.chance.randrange(1, 40)) for _ in range(50))]

    def send(self, channel: bytes, messages: list[bytes], command: str) -> list[str]:
        """Send messages on a channel; return the lines in the log."""
        with logged() as events:
            for message in messages:
                self.redis.call(command, channel, message)
            self.settle()
        return [str(formatEvent(event)) for event in events if event["log_namespace"].endswith("damage")]

    def checkUnharmed(self) -> None:
        """Check that all viewers get what comes, and nothing else, and the servers are ready."""
        self.assertEqual(self.flushLoggedErrors(), [])
        for name in ("a", self.near):
            self.assertEqual(self.publish(0, name, "next").status, 200)
        self.script.write("next")
        self.settle()
        for each in (*self.watched, *self.bystanders):
            text = "".join(each.wire.response.texts)
            self.assertEqual((text, each.isOver), ("onetwonext", False), each.what)
        self.passTime(30.0)
        for each in (*self.watched, *self.bystanders):
            self.assertEqual(each.wire.response.types.count("gap"), 0)
            self.assertFalse(each.isOver, each.what)
        self.assertEqual([self.answer(site, "/readyz").status for site in (0, 1)], [200, 200])

    def test_tails(self) -> None:
        """On the channel of a stream."""
        for name, wire in (("a", self.watched[0].wire), (self.run_.rpartition("/")[2], self.watched[2].wire)):
            epoch = wire.response.events[0].id.partition("-")[0].encode()
            tail = self.layout.locate(name).tail
            lines = self.send(tail, [*self.makeNoise(), *listTailMessages(epoch)], "SPUBLISH")
            self.assertLessEqual(len(lines), 2)
            self.assertIn(tail.decode(), lines[0])
        self.checkUnharmed()

    def test_nodes(self) -> None:
        """On the channel of a process."""
        for store in self.stores:
            channel = self.layout.nameControl(store.session.node.id)
            lines = self.send(channel, self.makeNoise(), "PUBLISH")
            self.assertEqual(len(lines), 1)
        self.checkUnharmed()

    def test_limits(self) -> None:
        """On the channel of the limits of clients."""
        lines = self.send(self.layout.limits, self.makeNoise(), "PUBLISH")
        self.assertEqual(len(lines), 2)
        self.checkUnharmed()


class ComplaintTests(SynchronousTestCase):
    """Lines in the log about foreign values."""

    skip = findMissing()

    def setUp(self) -> None:
        self.clock = Clock()
        self.complaints = Complaints(self.clock.seconds)
        self.place = Layout().locate("name")

    def test_report(self) -> None:
        """One line a minute for each stream names the stream and the key."""
        with logged() as events:
            for _ in range(3):
                for key in (self.place.entries, self.place.stream):
                    self.assertIsInstance(self.complaints.report(key), StoreDamaged)
            self.clock.advance(PAUSE)
            self.complaints.report(self.place.keys)
            self.complaints.report(Layout().nodes)
        lines = [str(formatEvent(event)) for event in events]
        self.assertEqual(len(lines), 3)
        self.assertIn("stream name is damaged", lines[0])
        self.assertIn(self.place.entries.decode(), lines[0])
        self.assertIn(self.place.keys.decode(), lines[1])
        self.assertIn(Layout().nodes.decode(), lines[2])

    def test_bounded(self) -> None:
        """Ever new keys fill neither the log nor the memory."""
        with logged() as events:
            for number in range(MANY + 10):
                self.complaints.report(Layout().locate(str(number)).stream)
        self.assertEqual(len(events), MANY)

    def test_judge(self) -> None:
        """Errors about foreign values become one error; others stay, and their codes are not those of Redis."""
        judged = self.complaints.judge(Refused("WRONGTYPE Operation against a key"), b"k")
        named = self.complaints.judge(Refused("DAMAGED other"), b"k")
        self.assertEqual([judged.code, named.code], ["store_damaged", "store_damaged"])
        full = Refused("OOM command not allowed")
        self.assertIs(self.complaints.judge(full, b"k"), full)
        self.assertEqual(full.code, "store_unavailable")
