"""
Tests for `sseserver.steps`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.steps import StateEnum, findNext, step


class Light(StateEnum):
    """States of a lamp."""

    OFF = "off"
    ON = "on"


class Press(StateEnum):
    """Steps of a lamp."""

    LONG = "long"


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

    def test_findNext(self) -> None:
        """
        A named step of the table gives the next state; any other one raises, and names the state and the step.
        """
        states = {Light.OFF: {Press.LONG: Light.ON}, Light.ON: dict[Press, Light]()}
        self.assertIs(findNext(states, Light.OFF, Press.LONG), Light.ON)
        error = self.assertRaises(RuntimeError, findNext, states, Light.ON, Press.LONG)
        self.assertEqual(str(error), "Light has no step LONG in the state ON.")
