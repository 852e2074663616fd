"""
`UpstreamGroup`: several upstreams as one token source.

The model of a request chooses among them, by a prefix or by their lists of models. When one fails before its first
token, the next one that has the model is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from zope.interface import implementer

from sseserver.errors import ErrorDetails, SourceError
from sseserver.interfaces import (
    IChecked,
    IModels,
    IResponsesSource,
    ITokenSink,
    ITokenSource,
    IUpstreams,
    Origin,
    UpstreamState,
)
from sseserver.sources.upstreamlists import NamedUpstream, UpstreamLists
from sseserver.values import MODEL, Prompt, Reason

__all__ = ["NamedUpstream", "UpstreamGroup"]

log = Logger(__name__)

#: Statuses about a request that every upstream would refuse.
_FINAL = frozenset({400, 413, 422})


class _Candidate(NamedTuple):
    """
    An upstream that can be asked for an answer.

    Attributes:
        name: Its name.
        model: The model to request; `None` leaves it to the upstream.
    """

    name: str
    model: str | None


class _Counts:
    """
    Counts of one upstream.

    Attributes:
        requests: Number of answers that it was asked for.
        failures: Number of those that failed before their first token.
    """

    __slots__ = ("failures", "requests")

    def __init__(self) -> None:
        self.requests = self.failures = 0


@implementer(ITokenSource, IModels, IChecked, IResponsesSource, IUpstreams)
class UpstreamGroup:
    """
    Token source that asks one of several upstreams for each answer.

    Args:
        reactor: Measures time.
        upstreams: The upstreams, the most preferred one first. Their sources have no model of their own.
        model: Model to request when the prompt names none.
        pinModel: Whether a prompt that names another model is refused.

    Attributes:
        upstreams: See above.

    Raises:
        ValueError: There is no upstream, two have one name, or there is no model to pin.
    """

    takesPrompt = True

    def __init__(
        self, reactor: Any, upstreams: Sequence[NamedUpstream], model: str | None = None, pinModel: bool = False
    ) -> None:
        if not upstreams or len({upstream.name for upstream in upstreams}) < len(upstreams):
            raise ValueError("a group needs upstreams with different names")
        if pinModel and model is None:
            raise ValueError("`pinModel` needs a `model`")
        self.model = model or MODEL
        self.upstreams = tuple(upstreams)
        # `None` leaves the choice to the upstream.
        self._requestedModel = model
        self._pinModel = pinModel
        self._sources = {upstream.name: upstream.source for upstream in upstreams}
        self._counts = {upstream.name: _Counts() for upstream in upstreams}
        self._lists = UpstreamLists(reactor, upstreams)

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[str]:
        """See `ITokenSource.produce`."""
        if prompt is None:
            raise SourceError("An upstream needs a prompt.", Reason.PROMPT, 400)
        named = prompt.options.get("model")
        model = named if isinstance(named, str) else self._requestedModel
        if self._pinModel and model != self.model:
            raise _missModel(f"There is no model {str(model)[:100]!r} here; the model is {self.model!r}.")
        return Deferred.fromCoroutine(_Attempts(self, sink, prompt).run(model))

    def models(self) -> Deferred[Sequence[str | Mapping[str, Any]]]:
        """See `IModels.models`. An upstream that tells no list hides none of the others."""
        if self._pinModel:
            return succeed([self.model])
        return self._lists.settle().addCallback(lambda _: self._merge())

    @property
    def writesResponseEvents(self) -> bool:
        """See `IResponsesSource`: whether one of the upstreams may."""
        return any(upstream.source.writesResponseEvents for upstream in self.upstreams)

    def findProblem(self) -> str | None:
        """See `IChecked.findProblem`: a problem that all upstreams have."""
        problems = [upstream.source.findProblem() for upstream in self.upstreams]
        return "No upstream can be reached." if all(problems) else None

    def listUpstreams(self) -> Sequence[UpstreamState]:
        """See `IUpstreams.listUpstreams`."""
        return [
            UpstreamState(name, source.findProblem(), self._counts[name].requests, self._counts[name].failures)
            for name, source in self._sources.items()
        ]

    def findModel(self, name: str) -> Deferred[Mapping[str, Any] | None]:
        """See `IUpstreams.findModel`."""
        upstream, _, model = name.partition("/")
        if self._pinModel or not model or upstream not in self._sources:
            return succeed(None)
        return self._lists.settle().addCallback(lambda _: self._lists.describe(upstream, model))

    def close(self) -> Deferred[Any]:
        """
        Close the idle connections. The source can still be used.

        Returns:
            Fires when they are closed.
        """
        return DeferredList([upstream.source.close() for upstream in self.upstreams])

    async def choose(self, model: str | None) -> list[_Candidate]:
        """
        Choose the upstreams for a model.

        Args:
            model: Name of the model, or of an upstream, a slash and the name of the model there; `None` suits all.

        Returns:
            The upstreams that can be asked, the most preferred one first. Those with a problem are the last.

        Raises:
            SourceError: None has the model.
        """
        if model is None:
            return self._sort([_Candidate(name, None) for name in self._sources])
        name, slash, rest = model.partition("/")
        if slash and rest and name in self._sources:
            return [_Candidate(name, rest)]
        found = [name for name in self._sources if self._lists.has(name, model)]
        if found:
            self._lists.refresh()
        else:
            await self._lists.settle()
            # An upstream without a list may have it.
            found = [name for name in self._sources if self._lists.has(name, model)] or [
                name for name in self._sources if not self._lists.isKnown(name)
            ]
        if not found:
            raise _missModel(f"There is no model {model[:100]!r} here. GET /v1/models lists the models.")
        return self._sort([_Candidate(name, model) for name in found])

    def begin(self, sink: ITokenSink, name: str, prompt: Prompt, attempts: _Attempts) -> Deferred[str]:
        """
        Ask an upstream for an answer.

        Args:
            sink: Takes the tokens.
            name: Name of the upstream.
            prompt: The prompt.
            attempts: Is told when the answer begins.
        """
        self._counts[name].requests += 1
        source = self._sources[name]
        answer = source.makeAnswer(sink, prompt)
        answer.relay.hold(attempts.begin)
        return source.begin(answer, prompt)

    def noteFailure(self, name: str, error: SourceError) -> None:
        """
        Note that an upstream has failed before the first token of an answer.

        Args:
            name: Name of the upstream.
            error: Its failure.
        """
        self._counts[name].failures += 1
        if error.reason == Reason.TIMEOUT:
            self._sources[name].reach.noteSilence()

    def _merge(self) -> Sequence[str | Mapping[str, Any]]:
        """
        Return the models of all upstreams.

        Raises:
            SourceError: No upstream has told its models.
        """
        if not any(map(self._lists.isKnown, self._sources)):
            raise SourceError("No upstream has told its models.", Reason.UNREACHABLE)
        return self._lists.merge()

    def _sort(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """Return candidates with those behind the others whose upstreams have a problem."""
        return sorted(candidates, key=lambda each: self._sources[each.name].findProblem() is not None)


class _Attempts:
    """
    The attempts to get one answer, each at another upstream.

    Args:
        group: Has the upstreams.
        sink: Takes the tokens.
        prompt: The prompt. It is not kept longer than until the first token.
    """

    def __init__(self, group: UpstreamGroup, sink: ITokenSink, prompt: Prompt) -> None:
        self._group = group
        self._sink = sink
        self._prompt: Prompt | None = prompt
        self._failed: list[str] = []
        # Name of the upstream that is asked.
        self._asked = ""

    async def run(self, model: str | None) -> str:
        """
        Ask one upstream after the other.

        Args:
            model: The model, with or without a prefix; `None` leaves it to the upstream.

        Returns:
            The reason of the end.

        Raises:
            SourceError: No upstream has the model, the last one has failed, or one after its first token.
        """
        candidates = await self._group.choose(model)
        while True:
            candidate = candidates.pop(0)
            try:
                return await self._ask(candidate)
            except SourceError as error:
                self._note(candidate, error)
                if self._prompt is None or error.status in _FINAL or not candidates:
                    raise
                log.warn(  # noqa: G010  (a logger of Twisted)
                    "The upstream {name} failed before its first token: {error} The upstream {other} is asked.",
                    name=candidate.name,
                    error=error,
                    other=candidates[0].name,
                )

    def begin(self) -> None:
        """Note the upstream whose first token is there: from now on no other one is asked."""
        self._prompt = None
        self._sink.noteOrigin(Origin(self._asked, tuple(self._failed)))

    def _ask(self, candidate: _Candidate) -> Deferred[str]:
        prompt = self._prompt
        assert prompt is not None
        if candidate.model is not None:
            prompt = replace(prompt, options={**prompt.options, "model": candidate.model})
        self._asked = candidate.name
        return self._group.begin(self._sink, candidate.name, prompt, self)

    def _note(self, candidate: _Candidate, error: SourceError) -> None:
        """Note a failure, unless the answer has begun."""
        if self._prompt is not None:
            self._failed.append(f"{candidate.name}={error.reason}")
            self._group.noteFailure(candidate.name, error)


def _missModel(message: str) -> SourceError:
    """Make the error for a model that nobody has."""
    return SourceError(message, Reason.PROMPT, 404, None, ErrorDetails("model_not_found", param="model"))
