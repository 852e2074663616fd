"""
The lists of models of several upstreams, merged and kept for a while.

`UpstreamGroup` chooses by them, and offers them to clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.sources.upstream import UpstreamSource
from sseserver.sources.upstreammodels import KEPT_SECONDS
from sseserver.timing.patience import PatientCall
from sseserver.tracebacks import forgetFailure

log = Logger(__name__)

#: Seconds after which an upstream is asked again that had no list.
RETRY_SECONDS = 10.0

#: Seconds that a caller waits for lists. What comes later is for the next one.
WAIT_SECONDS = 3.0

#: Models of one upstream that are kept.
MOST_MODELS = 10_000

Model = Mapping[str, Any]


class NamedUpstream(NamedTuple):
    """
    One of several upstreams.

    Attributes:
        name: Its name.
        source: The source that asks it, without a model of its own.
    """

    name: str
    source: UpstreamSource


class _KeptList:
    """
    The list of one upstream.

    Attributes:
        models: The models by their IDs; `None` while the upstream has never told them.
        isAsked: Whether the upstream is being asked.
        due: Time from which on it is asked again.
    """

    __slots__ = ("due", "isAsked", "models")

    def __init__(self) -> None:
        self.models: dict[str, Model] | None = None
        self.isAsked = False
        self.due: float | None = None


class UpstreamLists:
    """
    The lists of several upstreams.

    Each is requested by one request at a time, and kept for a minute. An upstream that fails keeps the list that it had
    before.

    Args:
        reactor: Measures time.
        upstreams: The upstreams, the most preferred one first.
    """

    def __init__(self, reactor: Any, upstreams: Sequence[NamedUpstream]) -> None:
        self._reactor = reactor
        self._upstreams = upstreams
        self._lists = {upstream.name: _KeptList() for upstream in upstreams}
        # All models; `None` after a list has changed.
        self._merged: list[Model] | None = None
        # Callers that wait, with their time limits.
        self._waiting: dict[Deferred[None], PatientCall] = {}

    def refresh(self) -> None:
        """Ask the upstreams whose lists are due."""
        now = self._reactor.seconds()
        for upstream in self._upstreams:
            kept = self._lists[upstream.name]
            if not kept.isAsked and (kept.due is None or not now < kept.due <= now + KEPT_SECONDS):
                kept.isAsked = True
                asking = upstream.source.models()
                told, missed = partial(self._receive, kept, upstream.name), partial(self._miss, kept, upstream.name)
                asking.addCallbacks(told, missed).addErrback(partial(self._break, kept))

    def settle(self) -> Deferred[None]:
        """
        Ask the upstreams whose lists are due, and wait for them.

        Returns:
            Fires when all have told or failed, and after `WAIT_SECONDS` at the latest.
        """
        self.refresh()
        if not any(kept.isAsked for kept in self._lists.values()):
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._leave)
        self._waiting[waiting] = PatientCall(self._reactor, WAIT_SECONDS, lambda: self._expire(waiting))
        return waiting

    def has(self, name: str, model: str) -> bool:
        """
        Return whether an upstream has told that it has a model.

        Args:
            name: Name of the upstream.
            model: ID of the model.
        """
        models = self._lists[name].models
        return models is not None and model in models

    def isKnown(self, name: str) -> bool:
        """Return whether an upstream has ever told its models."""
        return self._lists[name].models is not None

    def describe(self, name: str, model: str) -> Model | None:
        """
        Describe a model of one upstream, with the name of the upstream before its ID.

        Args:
            name: Name of the upstream.
            model: ID of the model there.

        Returns:
            `None` if the upstream has told its models, and this is none of them.
        """
        models = self._lists[name].models
        if models is not None and model not in models:
            return None
        return {**(models or {}).get(model, {}), "id": f"{name}/{model}", "upstream": name}

    def merge(self) -> Sequence[Model]:
        """
        Return the models of all upstreams that have told them.

        Each has the member `upstream`. Where two upstreams have one ID, it means the first; the others have their names
        before it.
        """
        if self._merged is None:
            merged: dict[str, Model] = {}
            for name, kept in self._lists.items():
                for ID, model in (kept.models or {}).items():
                    shown = f"{name}/{ID}" if ID in merged else ID
                    merged[shown] = {**model, "id": shown, "upstream": name}
            self._merged = list(merged.values())
        return self._merged

    def _receive(self, kept: _KeptList, name: str, models: Sequence[str | Model]) -> None:
        """Keep a list."""
        if len(models) > MOST_MODELS:
            message = "The upstream {name} has {count} models; only the first are listed."
            log.warn(message, name=name, count=len(models))  # noqa: G010  (a logger of Twisted)
        told = [{"id": model} if isinstance(model, str) else model for model in models[:MOST_MODELS]]
        kept.models = {model["id"]: model for model in told}
        self._merged = None
        self._finish(kept, KEPT_SECONDS)

    def _miss(self, kept: _KeptList, name: str, failure: Failure) -> None:
        """Note that an upstream has told no list."""
        log.info("The upstream {name} has no list of models: {error}", name=name, error=failure.value)
        forgetFailure(failure)
        self._finish(kept, RETRY_SECONDS)

    def _finish(self, kept: _KeptList, seconds: float) -> None:
        kept.isAsked, kept.due = False, self._reactor.seconds() + seconds
        if not any(each.isAsked for each in self._lists.values()):
            for waiting in tuple(self._waiting):
                self._release(waiting)

    def _break(self, kept: _KeptList, failure: Failure) -> None:
        log.failure("A list of models broke", failure)
        self._finish(kept, RETRY_SECONDS)

    def _expire(self, waiting: Deferred[None]) -> None:
        """Let a caller go on without the lists that are missing."""
        del self._waiting[waiting]
        waiting.callback(None)

    def _release(self, waiting: Deferred[None]) -> None:
        self._leave(waiting)
        waiting.callback(None)

    def _leave(self, waiting: Deferred[None]) -> None:
        """Forget a caller that waits."""
        timer = self._waiting.pop(waiting, None)
        if timer is not None:
            timer.cancel()
