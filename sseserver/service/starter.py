"""
RunStarter: starts the runs of a service, or finds the run of an earlier request with the same idempotency key.

`StreamService` has one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from sseserver.errors import Overloaded, RateLimited
from sseserver.interfaces import IStreamLog
from sseserver.protocols.jsonpieces import PIECES_PER_TURN
from sseserver.service.clients import Client
from sseserver.service.ledger import Ledger
from sseserver.service.opening import ORDINARY, Opening, RunTraits
from sseserver.service.prompts import KeptPrompt
from sseserver.service.restarts import RunRestarter
from sseserver.service.run import Summarize
from sseserver.service.runqueue import RunQueue
from sseserver.service.startkeys import StartKeys
from sseserver.service.viewers import Viewers
from sseserver.streams.ids import makeEpoch
from sseserver.timing.turns import awaitTurn, takeTurns
from sseserver.values import Kind, Prompt

_NO_PROMPT = sha256(b"").digest()


class RunTerms(NamedTuple):
    """
    The terms of a run; see `StreamService.startRun`.

    Attributes:
        summarize: Returns further members of the terminal entry `done`, if any.
        viewed: Whether there must be room for a viewer.
        prefix: Begins the name of the stream.
        client: The client; `None` for no limit.
        key: An idempotency key.
        opening: How the stream begins; `None` if with the answer.
    """

    summarize: Summarize | None = None
    viewed: bool = False
    prefix: str = ""
    client: Client | None = None
    key: str | None = None
    opening: Opening | None = None

    @property
    def traits(self) -> RunTraits:
        """Traits of the run."""
        return ORDINARY if self.opening is None else self.opening.traits


class RunStarter:
    """
    Starts runs after all checks for room.

    Args:
        create: Makes the stream of a run: called with its name, or `None`, and the question that it answers.
        runs: Takes the runs.
        viewers: Tells whether a run could be viewed.
        ledger: Counts the prompts, and the runs of each client.
        keys: The idempotency keys.
        clock: The reactor.

    Attributes:
        restarter: Lets other processes begin the runs anew; `None` if none can.
    """

    def __init__(
        self,
        create: Callable[..., Deferred[IStreamLog]],
        runs: RunQueue,
        viewers: Viewers,
        ledger: Ledger,
        keys: StartKeys,
        clock: Any,
    ) -> None:
        self.restarter: RunRestarter | None = None
        self._createStream = create
        self._runs = runs
        self._viewers = viewers
        self._ledger = ledger
        self._keys = keys
        self._clock = clock

    def start(self, prompt: Prompt | None, terms: RunTerms) -> Deferred[IStreamLog]:
        """See `StreamService.startRun`."""
        kept = None if prompt is None else KeptPrompt(prompt)
        if kept is None or not kept.isLarge:
            return self._startOrJoin(kept, terms)
        packing = Deferred.fromCoroutine(self._pack(kept))
        return packing.addCallback(lambda _: self._startOrJoin(kept, terms))

    async def _pack(self, kept: KeptPrompt) -> None:
        """
        Pack a large prompt in several turns of the reactor.

        Raises:
            Overloaded: There is no room.
        """
        self._ledger.checkPrompts()
        try:
            # The turn in which the request was checked has lasted long enough.
            await awaitTurn(self._clock)
            await takeTurns(self._clock, kept.packSteps(self._ledger.prompts), PIECES_PER_TURN)
        except BaseException:
            kept.release()
            raise

    def _startOrJoin(self, kept: KeptPrompt | None, terms: RunTerms) -> Deferred[IStreamLog]:
        if terms.key is None:
            return self._tryStart(kept, terms)
        digest = _NO_PROMPT if kept is None else kept.digest
        if terms.opening is not None and terms.opening.data is not None:
            # A part of the request that is not in the prompt, and that the stream shows.
            digest = sha256(digest + terms.opening.data).digest()
        joined = self._keys.join(terms.key, digest)
        return joined.addCallbacks(self._startUnlessJoined, self._refuse, (kept, terms.key, terms), {}, (kept,))

    def _startUnlessJoined(
        self, joined: IStreamLog | None, kept: KeptPrompt | None, key: str, terms: RunTerms
    ) -> IStreamLog | Deferred[IStreamLog]:
        if joined is None:
            return self._keys.remember(key, self._tryStart(kept, terms))
        if kept is not None:
            kept.release()
        return joined

    def _refuse(self, failure: Failure, kept: KeptPrompt | None) -> Failure:
        if kept is not None:
            kept.release()
        return failure

    def _tryStart(self, kept: KeptPrompt | None, terms: RunTerms) -> Deferred[IStreamLog]:
        """Start a new run, or fail with the refusal."""
        try:
            return self._start(kept, terms)
        except (Overloaded, RateLimited) as refusal:
            if kept is not None:
                kept.release()
            return fail(refusal)

    def _start(self, prompt: KeptPrompt | None, terms: RunTerms) -> Deferred[IStreamLog]:
        """
        Start a new run.

        Raises:
            Overloaded: There is no room.
            RateLimited: The client has too many viewers or runs.
        """
        if terms.viewed:
            self._viewers.checkRoom(terms.client)
        self._runs.turns.checkRoom()
        if prompt is not None and not prompt.isLarge:
            self._ledger.checkPrompts()
        self._ledger.clients.startRun(terms.client)
        if prompt is not None:
            prompt.count(self._ledger.prompts)
        name = terms.prefix + makeEpoch() if terms.prefix else None
        created = self._createStream(name, question="" if prompt is None else prompt.question)
        if terms.viewed and not created.called:
            self._viewers.reserve(terms.client)
            created.addBoth(self._releaseViewer, terms.client)
        if prompt is not None and self.restarter is not None:
            created.addCallback(self.restarter.keep, prompt, terms.client, terms.key, terms.traits)
        created.addCallbacks(self._startRun, self._drop, (prompt, terms), {}, (prompt, terms.client))
        if prompt is not None and not created.called and not prompt.isLarge:
            prompt.wait()
        return created

    def _startRun(self, streamLog: IStreamLog, prompt: KeptPrompt | None, terms: RunTerms) -> IStreamLog:
        # Bound only where there is a client: every run would keep it.
        if streamLog.sealed:
            # It was cancelled or deleted while the store kept the prompt.
            self._release(prompt, terms.client)
            return streamLog
        if terms.opening is not None and terms.opening.data is not None:
            streamLog.append(Kind.INPUT, terms.opening.pack())
        released = terms.client and partial(self._ledger.clients.runs.remove, terms.client)
        self._runs.start(streamLog, prompt, terms.summarize, released, terms.traits)
        return streamLog

    def _drop(self, failure: Failure, prompt: KeptPrompt | None, client: Client | None) -> Failure:
        self._release(prompt, client)
        return failure

    def _releaseViewer(self, created: IStreamLog | Failure, client: Client | None) -> IStreamLog | Failure:
        self._viewers.release(client)
        return created

    def _release(self, prompt: KeptPrompt | None, client: Client | None) -> None:
        """Release the prompt of a run that does not start, and its share."""
        if prompt is not None:
            prompt.release()
        self._ledger.clients.runs.remove(client)
