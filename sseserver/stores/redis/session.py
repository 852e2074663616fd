"""
Session: the parts of a `RedisStore`, and their reactions to events of Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreDamaged, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.damage import DAMAGED
from sseserver.stores.redis.directory import RedisDirectory
from sseserver.stores.redis.follower import Follower
from sseserver.stores.redis.interruptions import Interruptions
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.leases import Node, NodeRuns
from sseserver.stores.redis.limits import SharedLimits, readReport
from sseserver.stores.redis.opener import MakeLog, Opener
from sseserver.stores.redis.owners import RunOwners
from sseserver.stores.redis.publisher import Publisher
from sseserver.stores.redis.shards import Shards
from sseserver.stores.redis.streams import SharedStream, StreamTerms
from sseserver.stores.redis.sweeper import Sweeper, Swept
from sseserver.stores.redis.table import StreamTable
from sseserver.stores.redis.takeover import Parts, Takeover
from sseserver.stores.redis.unused import UnusedStreams
from sseserver.stores.redis.writer import Writer
from sseserver.timing.ticker import Ticker

log = Logger(__name__)

#: Settles the run of a name whose owner is gone; see `NodeRuns`.
Settle = Callable[[str, bytes], Deferred[bool]]


class Session:
    """
    The parts of a store.

    Args:
        clock: The reactor, or a `task.Clock`.
        ticker: Tells the time.
        client: The connections to the Redis.
        layout: Names of keys and channels.
        terms: The limits of streams.
        makeLog: Makes an empty log.

    Attributes:
        node: The lease of this process.
        onEnded: See `ISharedStore.onEnded`.
        opener: Finds streams.
        publisher: Publishes, and ends streams.
        sweeper: Drops what nobody uses.
        shards: Runs scripts.
        table: The streams in memory.
        takeover: Takes over runs whose process is gone.
        follower: Fills their logs.
        limits: The limits of clients.
        writer: Writes runs.
    """

    def __init__(
        self, clock: Any, ticker: Ticker, client: Client, layout: Layout, terms: StreamTerms, makeLog: MakeLog
    ) -> None:
        self.onEnded: Callable[[IStreamLog], object] = bool
        self._client = client
        self._layout = layout
        self.table = StreamTable()
        settle: Settle = lambda name, owner: self._interruptions.settle(name, owner)  # noqa: E731, PLW0108  (made later)
        runs = NodeRuns(self._listKnown, self._noteLapsed, settle)
        self.node = Node(client.reactor, client, layout, runs)
        self.shards = Shards(client, layout, self.node.adopt)
        self.follower = Follower(client, ticker.seconds, self.forget, self._lose, self._noteDamaged)
        self.opener = Opener(client, layout, self.table, self.follower, makeLog)
        self.publisher = Publisher(ticker, self.shards, layout, terms)
        self.writer = Writer(clock, ticker, client, self.shards, terms, self._noteRefused)
        self.table.isAwaited = self.writer.awaits
        parts = Parts(client, self.table, self.shards, self.follower, self.opener, self.writer)
        self.takeover = Takeover(clock, ticker, terms, parts)
        self.limits = SharedLimits(client.reactor, client, layout, self.findNode)
        self._interruptions = Interruptions(self.node, self.takeover, self.publisher, client, layout)
        unused = UnusedStreams(ticker, client, layout, self.publisher, terms.idle)
        owners = RunOwners(client, layout, self.node)
        self.sweeper = Sweeper(clock, ticker, Swept(client, self.follower, owners, self.table, unused))
        client.onUp, client.onFollowing = self._noteUp, self._noteFollowing
        client.onMessage, client.onConfirmed = self._receive, self.follower.confirm
        client.onDropped, client.onDeaf = self.follower.noteDropped, self.follower.noteDeaf

    def start(self) -> None:
        """Connect, and begin to work."""
        self._client.start()
        self.node.start()
        self.limits.start()
        self.writer.start(self.node.id)
        self.sweeper.start()

    def findNode(self) -> bytes:
        """Return the ID of this process."""
        return self.node.id

    def makeDirectory(self, purpose: str) -> RedisDirectory:
        """See `ISharedStore.makeDirectory`."""
        return RedisDirectory(self._client.reactor, self._client, self._layout, purpose, self.findNode)

    def stop(self, error: StoreUnavailable) -> Deferred[None]:
        """
        Stop to work, and give the lease back.

        Args:
            error: Reason for entries that Redis does not have.
        """
        self.limits.stop()
        self.takeover.stop()
        unwritten = self.writer.stop()
        if unwritten:
            log.error("The store is closed with {count} streams that it could not write", count=len(unwritten))
        for stream in unwritten:
            stream.log.refuse(error)
        self.sweeper.stop()
        return self.node.stop().addCallback(self._disconnect, error)

    def forget(self, stream: SharedStream, taken: bool = True) -> None:
        """
        Forget a stream that is deleted, or that another one has replaced.

        Args:
            stream: The stream.
            taken: Whether somebody else has done that: a run of this process must stop.
        """
        mine = stream.own and stream.isOpen
        self.table.remove(stream)
        self.follower.leave(stream)
        self.writer.forget(stream)
        stream.drop()
        stream.answer(StreamNotFound(stream.name))
        stream.answerReached(everything=True)
        if mine and taken:
            self._noteTaken(stream.log)

    def _lose(self, stream: SharedStream) -> None:
        """Drop a log that does not fit to what Redis has. Its viewers return, and learn what they have lost."""
        stream.answer(StoreUnavailable("The store has lost entries of this stream; retry."))
        stream.log.dismiss()
        if stream.own:
            # Redis may have lost its end.
            self.node.doubt()
        self.forget(stream)

    def _noteDamaged(self, stream: SharedStream, error: StoreDamaged) -> None:
        """Drop the log of a stream that a foreign hand has changed. Its viewers return, and are told so then."""
        if not stream.gone:
            stream.answer(error)
            stream.log.refuse(error)
            stream.log.dismiss()
            self.forget(stream)

    def _disconnect(self, _: None, error: StoreUnavailable) -> None:
        self._client.stop()
        self.follower.stop()
        self.table.clear(error)

    def _listKnown(self) -> set[str]:
        """Return the names of the runs of this process."""
        return {stream.name for stream in self.table.listOwn()} | self.takeover.names

    def _noteRefused(self, stream: SharedStream, word: bytes) -> None:
        """Give up a run that somebody else has ended, maybe with a new epoch, or taken over, or deleted."""
        if word.startswith(DAMAGED.encode("ascii")):
            self._noteDamaged(stream, self._client.complaints.report(word.partition(b" ")[2]))
        elif word == b"moved":
            self.forget(stream)
        elif word == b"owner":
            self._handOver(stream)
        else:
            self.opener.giveUp(stream).addCallbacks(self._noteTaken, self._noteUnread, errbackArgs=(stream,))

    def _handOver(self, stream: SharedStream) -> None:
        """Follow a run that another process has taken over. Its viewers here go on; what it lacks was never visible."""
        stream.log.refuse(StoreUnavailable("Another server has taken this run over; retry."))
        stream.own = False
        self.writer.forget(stream)
        self.onEnded(stream.log)
        self.follower.join(stream)

    def _noteTaken(self, streamLog: IStreamLog | None) -> None:
        if streamLog is not None:
            self.onEnded(streamLog)

    def _noteUnread(self, failure: Failure, stream: SharedStream) -> None:
        """Let the run be refused again later: it could not be read how its stream has ended."""
        if failure.check(StreamNotFound):
            self.forget(stream)
        elif isinstance(failure.value, StoreDamaged):
            self._noteDamaged(stream, failure.value)
        else:
            failure.trap(StoreUnavailable)
            self.writer.postpone(stream)

    def _noteLapsed(self) -> None:
        """Ask Redis about all runs: others may have ended them while this process stood still."""
        for stream in self.table.listOwn():
            self.writer.ask(stream)

    def _noteUp(self, lost: bool) -> None:
        self.node.hurry()
        if lost:
            # Redis may have lost the last writes: those of runs that work, and the ends of those that do not any more.
            self._noteLapsed()
            self.node.endForgotten()
        self.writer.schedule()

    def _noteFollowing(self, concerns: Callable[[bytes], bool]) -> None:
        for channel in (self._layout.nameControl(self.node.id), self.limits.channel):
            if concerns(channel):
                self._client.listen(channel)
        # A message that a run was ended may be lost.
        self._noteLapsed()
        self.follower.joinAgain(concerns)

    def _receive(self, channel: bytes, message: bytes) -> None:
        if channel == self._layout.nameControl(self.node.id):
            self._obey(message)
        elif channel == self.limits.channel:
            self._learn(message)
        else:
            self.follower.receive(channel, message)

    def _learn(self, message: bytes) -> None:
        """Learn from the report of another process."""
        try:
            report = readReport(message)
        except ValueError:
            self._client.complaints.reportMessage(self.limits.channel)
        else:
            self.limits.receive(report)

    def _obey(self, message: bytes) -> None:
        """Note that another process has ended or deleted a run of this one."""
        try:
            word, epoch, name = message.decode("utf-8").split(" ", 2)
        except ValueError:
            self._client.complaints.reportMessage(self._layout.nameControl(self.node.id))
            return
        stream = self.table.find(name)
        if stream is None or stream.epoch != epoch or stream.leaving:
            return
        if word == "deleted":
            self.forget(stream)
        elif word == "ended" and stream.own:
            self.writer.ask(stream)
