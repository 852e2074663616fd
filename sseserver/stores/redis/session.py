"""
Session: the parts of a `RedisStore`, and their reactions to events of Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreDamaged, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.damage import DAMAGED
from sseserver.stores.redis.directory import RedisDirectory
from sseserver.stores.redis.follower import Follower
from sseserver.stores.redis.indices import Index
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.leases import Node, NodeRuns
from sseserver.stores.redis.limits import SharedLimits, readReport
from sseserver.stores.redis.opener import MakeLog, Opener
from sseserver.stores.redis.owners import RunOwners
from sseserver.stores.redis.publisher import Publisher
from sseserver.stores.redis.shards import Shards
from sseserver.stores.redis.streams import SharedStream, StreamTerms
from sseserver.stores.redis.table import StreamTable
from sseserver.stores.redis.takeover import Parts, Takeover
from sseserver.stores.redis.unused import UnusedStreams
from sseserver.stores.redis.writer import Writer
from sseserver.streams.terminal import INTERRUPTED
from sseserver.timing.ticker import Ticker

log = Logger(__name__)

#: Seconds between two looks for logs that nobody uses, and for streams that are silent.
SWEEP = 2.0


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
        self._clock = clock
        self._ticker = ticker
        self._client = client
        self._layout = layout
        self.table = StreamTable()
        runs = NodeRuns(self._listKnown, self._noteLapsed, self._interrupt)
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
        self._unused = UnusedStreams(ticker, client, layout, self.publisher, terms.idle)
        self._owners = RunOwners(client, layout, self.node)
        self._sweeping: IDelayedCall | None = None
        client.onUp, client.onFollowing = self._noteUp, self._noteFollowing
        client.onMessage, client.onConfirmed = self._receive, self.follower.confirm
        client.onDropped, client.onDeaf = self.follower.noteDropped, self.follower.noteDeaf

    def start(self) -> None:
        """Connect, and begin to work."""
        self._client.start()
        self.node.start()
        self.limits.start()
        self.writer.node = self.node.id
        self._sweeping = self._clock.callLater(SWEEP, self._sweep)

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
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
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

    def release(self, stream: SharedStream) -> None:
        """Drop a log that nobody uses."""
        self.follower.leave(stream)
        self.table.release(stream)

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

    def _interrupt(self, name: str, owner: bytes) -> Deferred[bool]:
        """Take over a run whose process is gone, or end it. Another process may have done it before."""
        # A run that this process does not know any more had an end, which was lost.
        own = owner == self.node.id
        taken = succeed(None) if own else self.takeover.take(name, owner).addErrback(self._doubt)
        return taken.addCallback(self._endUnlessSettled, name, owner)

    def _doubt(self, failure: Failure) -> Any:
        """Look for a run that this process may have taken: the answer was lost. A damaged one must end."""
        if failure.check(StoreDamaged):
            return None
        self.node.doubt()
        return failure

    def _endUnlessSettled(self, settled: bool | None, name: str, owner: bytes) -> bool | Deferred[bool]:
        if settled is not None:
            return settled
        ended = self.publisher.end(name, INTERRUPTED, owner=owner)
        return ended.addErrback(self._noteUnended, name).addCallback(lambda _: True)

    def _noteUnended(self, failure: Failure, name: str) -> None:
        """Forget a run that is gone, or that nobody can end: it is damaged."""
        if failure.trap(StreamNotFound, StoreDamaged) is StoreDamaged:
            Index(self._client, self._layout, self._layout.locate(name).runs, "HDEL").remove(name)

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

    def _sweep(self) -> None:
        self._sweeping = self._clock.callLater(SWEEP, self._sweep)
        now = self._ticker.seconds()
        for stream in self.table.listUnused(now):
            self.release(stream)
        self.follower.check(now)
        if self._client.up:
            self._unused.touch(self.table, now)
            self._unused.endOld()
            self._owners.look()
