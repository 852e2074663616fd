"""
RunStarter: starts the runs of a service, or finds the run of an earlier request with the same idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from sseserver.errors import KeyReused, Overloaded, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.protocols.jsonpieces import PIECES_PER_TURN
from sseserver.service.ledger import Ledger
from sseserver.service.prompts import KeptPrompt
from sseserver.service.run import Summarize
from sseserver.service.runqueue import RunQueue
from sseserver.service.startkeys import StartKeys
from sseserver.service.viewers import Viewers
from sseserver.streams.ids import makeEpoch
from sseserver.timing.turns import awaitTurn, takeTurns
from sseserver.values import Prompt

_NO_PROMPT = sha256(b"").digest()


class RunStarter:
    """
    Starts runs after all checks for room.

    Args:
        create: Makes the stream of a run: called with its name, or `None`, and the question that it answers.
        runs: Takes the runs.
        viewers: Tells whether a run could be viewed.
        ledger: Counts the prompts.
        keys: The idempotency keys.
        clock: The reactor.
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
        self._createStream = create
        self._runs = runs
        self._viewers = viewers
        self._ledger = ledger
        self._keys = keys
        self._clock = clock

    def start(
        self, prompt: Prompt | None, key: str | None, summarize: Summarize | None, viewed: bool, prefix: str = ""
    ) -> Deferred[IStreamLog]:
        """See `StreamService.startRun`."""
        kept = None if prompt is None else KeptPrompt(prompt)
        if kept is None or not kept.isLarge:
            return self._startOrJoin(prompt, kept, key, summarize, viewed, prefix)
        packing = Deferred.fromCoroutine(self._pack(kept))
        return packing.addCallback(lambda _: self._startOrJoin(prompt, kept, key, summarize, viewed, prefix))

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

    def _startOrJoin(
        self,
        prompt: Prompt | None,
        kept: KeptPrompt | None,
        key: str | None,
        summarize: Summarize | None,
        viewed: bool,
        prefix: str,
    ) -> Deferred[IStreamLog]:
        try:
            if key is None:
                return self._start(kept, summarize, viewed, prefix)
            digest = _NO_PROMPT if kept is None else kept.digest
            joined = self._keys.join(key, digest)
            if joined is None:
                return self._keys.remember(key, digest, self._start(kept, summarize, viewed, prefix))
        except (KeyReused, Overloaded) as refusal:
            if kept is not None:
                kept.release()
            return fail(refusal)
        if kept is not None:
            kept.release()

        def startAgain(failure: Failure) -> Deferred[IStreamLog]:
            # The stream was being deleted, which has freed the key.
            failure.trap(StreamNotFound)
            return self.start(prompt, key, summarize, viewed, prefix)

        return joined.addErrback(startAgain)

    def _start(
        self, prompt: KeptPrompt | None, summarize: Summarize | None, viewed: bool, prefix: str
    ) -> Deferred[IStreamLog]:
        """
        Start a new run.

        Raises:
            Overloaded: There is no room.
        """
        if viewed:
            self._viewers.checkRoom()
        self._runs.checkRoom()
        if prompt is not None:
            if not prompt.isLarge:
                self._ledger.checkPrompts()
            prompt.count(self._ledger.prompts)
        name = prefix + makeEpoch() if prefix else None
        created = self._createStream(name, question="" if prompt is None else prompt.question)
        created.addCallbacks(self._startRun, _drop, callbackArgs=(prompt, summarize), errbackArgs=(prompt,))
        if prompt is not None and not created.called and not prompt.isLarge:
            prompt.wait()
        return created

    def _startRun(self, streamLog: IStreamLog, prompt: KeptPrompt | None, summarize: Summarize | None) -> IStreamLog:
        self._runs.start(streamLog, prompt, summarize)
        return streamLog


def _drop(failure: Failure, prompt: KeptPrompt | None) -> Failure:
    """Release the prompt of a run that has no stream."""
    if prompt is not None:
        prompt.release()
    return failure
