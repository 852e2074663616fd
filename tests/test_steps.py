"""
Tests for `sseserver.steps`.
"""

from __future__ import annotations

from enum import Enum

from twisted.trial.unittest import SynchronousTestCase

from sseserver.steps import step


class Light(Enum):
    """States of a lamp."""

    OFF = "off"
    ON = "on"


class StepTests(SynchronousTestCase):
    """`step` on a small table."""

    def test_step(self) -> None:
        """
        A step of the table gives the next state; any other one raises, and names both states.
        """
        steps = {Light.OFF: frozenset({Light.ON}), Light.ON: frozenset[Light]()}
        self.assertIs(step(steps, Light.OFF, Light.ON), Light.ON)
        error = self.assertRaises(RuntimeError, step, steps, Light.ON, Light.OFF)
        self.assertEqual(str(error), "Light cannot go from ON to OFF.")
