"""
The turns of runs: a limited number of sources works at a time, and further runs wait in a queue.

`RunQueue` has one, and starts runs through it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, maybeDeferred, succeed

from sseserver.errors import Overloaded
from sseserver.interfaces import ITokenSource
from sseserver.service.prompts import takePrompt
from sseserver.service.run import Run
from sseserver.service.states import RunState
from sseserver.settings import Settings
from sseserver.timing.turns import takeTurns

T = TypeVar("T")


class RunTurns:
    """
    Calls the source for each run, when it is the run's turn.

    Args:
        source: Produces the tokens.
        settings: Limits: `maxRuns` and `maxWaiting`.
        clock: Runs the turns of the reactor in which a large prompt is taken.
    """

    def __init__(self, source: ITokenSource, settings: Settings, clock: Any) -> None:
        self._source = source
        self._settings = settings
        self._clock = clock
        self._turns = DeferredSemaphore(settings.maxRuns)

    @property
    def waiting(self) -> int:
        """Number of runs that wait for their turn."""
        return len(self._turns.waiting)

    @property
    def working(self) -> int:
        """Number of runs whose turn it is: their source works, or releases its resources."""
        return self._settings.maxRuns - self._turns.tokens

    @property
    def hasRoom(self) -> bool:
        """Whether one more run can work or wait."""
        return bool(self._turns.tokens) or len(self._turns.waiting) < self._settings.maxWaiting

    def checkRoom(self) -> None:
        """
        Check that one more run can be started.

        Raises:
            Overloaded: The queue is full.
        """
        if not self.hasRoom:
            raise Overloaded("Too many runs are waiting for their turn; retry later.")

    def produce(self, run: Run) -> Deferred[Any]:
        """
        Call the source for a run, now or when it is its turn.

        Args:
            run: The run. It is told when its turn begins.

        Returns:
            Fires with the result of the source, or with its failure.
        """
        turns = self._turns
        if not turns.tokens:
            return maybeDeferred(self._await, run)
        # As `acquire` does, without a Deferred.
        turns.tokens -= 1
        run.begin()
        return maybeDeferred(self._source.produce, run, takePrompt(run.prompt)).addBoth(self._endTurn)

    def _await(self, run: Run) -> Deferred[Any]:
        if run.prompt is not None:
            run.prompt.wait()

        def produce(_: object) -> Deferred[Any]:
            if run.state is RunState.ENDED:
                # Its end has ended another run, whose turn it gets before it is taken out of the queue.
                return succeed(self._endTurn(None))
            return maybeDeferred(self._callSource, run).addBoth(self._endTurn)

        return self._turns.acquire().addCallback(produce)

    def _endTurn(self, result: T) -> T:
        self._turns.release()
        return result

    def _callSource(self, run: Run) -> Any:
        run.begin()
        prompt, produce = run.prompt, self._source.produce
        if prompt is None or not prompt.isLarge:
            return produce(run, takePrompt(prompt))
        taking = Deferred.fromCoroutine(takeTurns(self._clock, prompt.takeSteps()))
        return taking.addCallback(lambda taken: maybeDeferred(produce, run, taken))
