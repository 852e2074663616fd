"""
Verdicts: the principals of credentials that were verified before.

Verifying a signature takes up to a millisecond; finding a verdict takes less than a microsecond.

`Credentials` keeps them.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.interfaces import Principal

#: Bytes of all credentials whose verdicts are kept.
MAX_BYTES = 4 << 20

#: Bytes. Cost of a verdict beside its credential: the principal with its grants, and the place in the table.
VERDICT_COST = 1024


class Verdicts:
    """
    The newest verdicts, by the value of the header `Authorization`. Only credentials that are valid have one.

    Args:
        maxBytes: Bytes of the credentials, with `VERDICT_COST` for each. The oldest verdicts are dropped.

    Attributes:
        find: Returns the principal of a header that was verified before, or `None`. Each publish calls it, so it is the
            method of the table itself.
    """

    def __init__(self, maxBytes: int = MAX_BYTES) -> None:
        self._maxBytes = maxBytes
        self._principals: dict[bytes, Principal] = {}
        self.find: Callable[[bytes], Principal | None] = self._principals.get
        self._bytes = 0

    def __len__(self) -> int:
        """Number of verdicts."""
        return len(self._principals)

    def add(self, header: bytes, principal: Principal) -> None:
        """
        Keep the principal of a header that was verified.

        Args:
            header: Value of the header.
            principal: Its principal.
        """
        if header not in self._principals:
            self._bytes += len(header) + VERDICT_COST
        self._principals[header] = principal
        while self._bytes > self._maxBytes:
            oldest = next(iter(self._principals))
            del self._principals[oldest]
            self._bytes -= len(oldest) + VERDICT_COST

    def clear(self) -> None:
        """Forget all verdicts: keys have changed."""
        self._principals.clear()
        self._bytes = 0
