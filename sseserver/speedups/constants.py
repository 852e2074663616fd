"""
Attributes of Twisted that always have one value here. `sseserver.speedups.request` uses them.
"""

from __future__ import annotations

from typing import Any


class Constant:
    """
    An attribute of requests that has one value on our sites. It needs no slot.

    Args:
        value: The value.
    """

    def __init__(self, value: object) -> None:
        self._value = value

    def __get__(self, request: object, kind: object) -> Any:
        """Return the value."""
        return self._value

    def __set__(self, request: object, value: object) -> None:
        """Twisted's constructor sets the same value."""
