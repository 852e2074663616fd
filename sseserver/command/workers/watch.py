"""
The watch over workers: one that turns its reactor no longer is killed, and its pool starts it again.

A worker that hangs would still get its share of the connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sseserver.command.workers.channel import Gone, Question
from sseserver.command.workers.process import Worker, WorkerState
from sseserver.timing.patience import LATE

#: Seconds between two looks.
INTERVAL = 5.0

#: Seconds. A worker that has not answered for so long is killed.
SILENCE = 30.0


class Watch(Service):
    """
    Asks workers while it runs, and kills those that do not answer.

    Args:
        clock: Tells when to look.
        workers: The workers.
    """

    _log = Logger()

    def __init__(self, clock: Any, workers: Sequence[Worker]) -> None:
        self._clock = clock
        self._workers = workers
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        # When those were asked that have not answered, by their numbers, and the last look.
        self._asked: dict[int, float] = {}
        self._looked = 0.0

    def startService(self) -> None:
        """See `Service.startService`."""
        super().startService()
        self._looked = self._clock.seconds()
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        now = self._clock.seconds()
        late = now - self._looked - INTERVAL
        self._looked = now
        if late > LATE:
            # This process was paused, and the workers perhaps with it.
            self._asked = {number: asked + late for number, asked in self._asked.items()}
        for worker in self._workers:
            number = worker.number
            if worker.state is not WorkerState.READY:
                self._asked.pop(number, None)
            elif number not in self._asked:
                self._asked[number] = now
                worker.ask(Question.READINESS).addCallbacks(partial(self._take, number), _ignoreEnd)
            elif now - self._asked[number] >= SILENCE:
                del self._asked[number]
                self._log.error("Worker {number} does not answer, and is killed.", number=number)
                worker.kill()

    def _take(self, number: int, _: object) -> None:
        self._asked.pop(number, None)


def _ignoreEnd(failure: Any) -> None:
    """Drop the failure of a question to a worker that has ended: its pool knows."""
    failure.trap(Gone)
