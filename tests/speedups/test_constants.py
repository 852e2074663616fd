"""
Tests of `sseserver.speedups.constants`.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups.constants import Constant


class ConstantTests(SynchronousTestCase):
    """An attribute with one value."""

    def test_value(self) -> None:
        """The value stays, and takes no memory of the object."""

        class Small:
            __slots__ = ()

            number: Any = Constant(2)

        small = Small()
        small.number = 3
        self.assertEqual(small.number, 2)
