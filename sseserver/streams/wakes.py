"""
WakeRound: wakes more viewers than one turn of the reactor has time for.

A `FollowedLog` with more than `WAKES_PER_LOOK` viewers has one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from sseserver.interfaces import Viewer
from sseserver.timing.ticker import Ticker

#: Viewers woken in one turn of the reactor. The others are woken in the next turns, so that a stream with ten thousand
#: viewers does not delay all others.
WAKES_PER_TURN = 500

#: Seconds. No further viewers are woken in a turn that has lasted so long: the end of a response takes ten times as
#: long as an event. Their bytes are sent at the end of the turn, which takes as long again.
LONGEST_TURN = 0.002

#: Viewers woken between two looks at the time. So few are woken without a round. Each of them may write 128 KiB, which
#: takes a quarter of a millisecond.
WAKES_PER_LOOK = 10


class WakeRound:
    """
    Wakes all viewers of a log, some in each turn.

    Args:
        viewers: The viewers of the log, as they come and leave.
        ticker: Tells the time, and schedules the turns.
    """

    def __init__(self, viewers: Collection[Viewer], ticker: Ticker) -> None:
        self._viewers = viewers
        self._ticker = ticker
        # The viewers still to be woken in this round, and whether another round must follow. They are taken off one by
        # one: to free ten thousand producers at once takes longer than a turn may last.
        self._waiting: deque[Viewer] = deque()
        self._again = False

    def start(self) -> None:
        """Wake the viewers of this moment; those of a round under way once more after it."""
        if self._waiting:
            self._again = True
        else:
            self._waiting.extend(self._viewers)
            self._wakeSome()

    def _wakeSome(self) -> None:
        """Wake the next viewers of the round, and schedule the rest."""
        viewers, waiting = self._viewers, self._waiting
        until = self._ticker.seconds() + LONGEST_TURN
        for left in range(WAKES_PER_TURN, 0, -WAKES_PER_LOOK):
            for _ in range(min(left, WAKES_PER_LOOK, len(waiting))):
                viewer = waiting[0]
                if viewer in viewers:
                    viewer.wake()
                del waiting[0]
            if self._ticker.seconds() >= until:
                break
        if self._again and not waiting:
            self._again = False
            waiting.extend(viewers)
        if waiting:
            self._ticker.clock.callLater(0, self._wakeSome)
