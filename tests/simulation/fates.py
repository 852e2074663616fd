"""
Fates: what is known about deletions, and about published streams that end because nobody uses them.
"""

from __future__ import annotations

from tests.simulation.history import History

#: Seconds. Longer than a simulation.
LONG = 1000.0


class Fates:
    """
    Deleted streams, and the last uses of published ones.

    Args:
        history: Takes the verdicts.

    Attributes:
        idle: Seconds without use after which the server ends a published stream.
    """

    def __init__(self, history: History) -> None:
        self.idle = 0.0
        self._history = history
        # Times of the answers that confirmed the deletions, by epoch.
        self._deleted: dict[str, float] = {}
        # Times after which a stream was used for certain, the last one by epoch.
        self._used: dict[str, float] = {}
        self._ended: dict[str, float] = {}

    @property
    def ages(self) -> bool:
        """Whether published streams end by themselves within a simulation."""
        return self.idle < LONG

    def delete(self, epochs: list[str], now: float) -> None:
        """Note that the deletion of streams was confirmed."""
        for epoch in epochs:
            self._deleted.setdefault(epoch, now)

    def revive(self) -> None:
        """Note a loss of power, which may undo deletions."""
        self._deleted.clear()

    def meet(self, who: str, epoch: str, asked: float) -> None:
        """
        Judge an answer that shows a stream.

        Args:
            who: Who was answered.
            epoch: The stream.
            asked: Time of the request.
        """
        deleted = self._deleted.get(epoch)
        if deleted is not None and deleted < asked:
            self._history.blame("deleted", f"{who}: {epoch} is there after it was deleted")

    def use(self, epoch: str, asked: float) -> None:
        """
        Note that an open stream was used.

        Args:
            epoch: The stream.
            asked: Time of the request that was answered.
        """
        self._used[epoch] = max(asked, self._used.get(epoch, 0.0))

    def end(self, epoch: str, now: float) -> None:
        """Note that somebody has seen the end of a stream that nobody used."""
        self._ended.setdefault(epoch, now)

    def judge(self) -> None:
        """Judge the ends: each comes a while after the last use."""
        for epoch, ended in self._ended.items():
            used = self._used.get(epoch, 0.0)
            if ended - used < self.idle:
                self._history.blame("idle", f"{epoch} has ended {ended - used:.3f} seconds after its last use")
