"""
RunRestarter: begins runs anew whose process is gone (`--retry-interrupted`), in the streams that they had.

With the prompt, an order has the client, the idempotency key and the traits of the run, so that they mean the same in
the next process.
`StreamService` has a restarter if the store is shared and the option is given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sseserver.interfaces import ISharedStore, IStreamLog
from sseserver.protocols.chatcompletions import makeSummary
from sseserver.service.clients import Client
from sseserver.service.ledger import Ledger
from sseserver.service.opening import RunTraits
from sseserver.service.prompts import KeptPrompt, unpackPrompt
from sseserver.service.runqueue import RunQueue
from sseserver.service.startkeys import StartKeys
from sseserver.streams.terminal import INTERRUPTED

log = Logger(__name__)

#: Bytes. A larger prompt is not kept, since copying it would take the reactor and the store too long.
MAX_PROMPT = 1 << 20


class _Terms(msgspec.Struct):
    """The first line of an order. The rest is the prompt."""

    client: str | None = None
    isPublic: bool = False
    key: str | None = None
    isDetached: bool = False
    tellsEnd: bool = False
    tellsDurations: bool = False


_readTerms = msgspec.json.Decoder(_Terms).decode


class Gate(NamedTuple):
    """
    Tells whether a service starts runs.

    Attributes:
        hasRoom: Returns whether it takes one of another process, and the store has room for it.
        checkRunning: Returns its argument, the log of a run that is about to start, or raises `Overloaded`.
    """

    hasRoom: Callable[[], bool]
    checkRunning: Callable[[IStreamLog], IStreamLog]


class RunRestarter:
    """
    Begins runs anew; see `Restarter`.

    Args:
        store: Keeps the orders.
        runs: Takes the runs.
        ledger: Counts the prompts, and the runs of each client.
        keys: The idempotency keys.
        limit: Number of times that a run is begun anew at most.
        gate: The service.

    Attributes:
        limit: See above.
    """

    def __init__(
        self,
        store: ISharedStore,
        runs: RunQueue,
        ledger: Ledger,
        keys: StartKeys,
        limit: int,
        gate: Gate,
    ) -> None:
        self.limit = limit
        self._store = store
        self._runs = runs
        self._ledger = ledger
        self._keys = keys
        self._gate = gate

    def keep(
        self, streamLog: IStreamLog, prompt: KeptPrompt, client: Client | None, key: str | None, traits: RunTraits
    ) -> Deferred[IStreamLog]:
        """
        Keep an order for a run that is about to start.

        Args:
            streamLog: Its new stream.
            prompt: Its prompt, which is packed. It is counted until the run ends.
            client: The client.
            key: The idempotency key.
            traits: Traits of the run.

        Returns:
            Fires with the log when the run may start.

        Raises:
            Overloaded: (errback) The service is being stopped.
        """
        if len(prompt.packed) > MAX_PROMPT:
            return succeed(streamLog)
        prompt.isShared = True
        name, isPublic = client or (None, False)
        terms = msgspec.json.encode(_Terms(name, isPublic, key, *traits))
        kept = self._store.takeover.keep(streamLog, b"%b\n%b" % (terms, prompt.packed))
        return kept.addCallback(lambda _: self._gate.checkRunning(streamLog))

    def hasRoom(self) -> bool:
        """See `Restarter.hasRoom`."""
        return self._gate.hasRoom() and self._runs.turns.hasRoom and self._ledger.hasPromptRoom

    def restart(self, streamLog: IStreamLog, order: bytes) -> None:
        """See `Restarter.restart`."""
        try:
            first, _, packed = order.partition(b"\n")
            terms, prompt = _readTerms(first), unpackPrompt(packed)
        except (ValueError, TypeError):
            log.error("The order of the run {name} cannot be read.", name=streamLog.name)
            streamLog.append(*INTERRUPTED)
            return
        clients, kept = self._ledger.clients, KeptPrompt(prompt)
        kept.isShared = True
        kept.count(self._ledger.prompts)
        client = None if terms.client is None else Client(terms.client, terms.isPublic)
        clients.runs.add(client)
        if terms.key is not None:
            self._keys.adopt(terms.key, streamLog)
        released = client and partial(clients.runs.remove, client)
        traits = RunTraits(terms.isDetached, terms.tellsEnd, terms.tellsDurations)
        self._runs.start(streamLog, kept, makeSummary(prompt), released, traits, restarted=True)
