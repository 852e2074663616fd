"""
Keeper: what a stream log tells the store that keeps it.

Stores derive from it. `sseserver.streams.log` calls it.
"""

from __future__ import annotations

from typing import Any

from sseserver.streams.account import Account


class Keeper:
    """
    The contract between a stream log and the store that keeps it.

    A store derives from this class. The class itself serves logs that belong to no store: it keeps nothing.

    A store whose logs are `durable` gets a call of `write` for each entry appended. It collects the entries that are
    new (from `log.last + 1` to `log.buffer.appended`), stores them, and calls `log.commit` with the number of the last
    one stored, which makes them visible; or `log.refuse`, which drops all that are not visible. It may do so later, for
    many entries at once, but not inside the call of `write`.

    Attributes:
        durable: Whether an entry becomes visible by `commit` only. Otherwise it is visible as soon as it is appended.
        runs: Account of the streams that runs write. The logs add and subtract the bytes of entries and keys, the store
            adds `StreamLog.size` of a new log, subtracts the result of `StreamLog.drop`, and keeps the counts.
        published: Account of the streams that are published into.
    """

    __slots__ = ("durable", "published", "runs")

    def __init__(self, durable: bool = False) -> None:
        self.durable = durable
        self.runs = Account()
        self.published = Account()

    @property
    def used(self) -> int:
        """Bytes that all logs of the store take: see `IStreamLog.size`."""
        return self.runs.used + self.published.used

    def account(self, published: bool) -> Account:
        """Return the account of one kind of streams."""
        return self.published if published else self.runs

    # A `StreamLog`, whose module imports this one.
    def write(self, streamLog: Any) -> None:
        """Note that the log has entries that are not stored yet."""

    def trim(self, streamLog: Any) -> None:
        """Note that the log has dropped its entries before `log.buffer.first`; the store may drop them, too."""
