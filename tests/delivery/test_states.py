"""
Tests of `sseserver.delivery.states`.
"""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from sseserver.delivery.states import VIEWER_STATES, ViewerState, ViewerStep
from sseserver.steps import findNext


class ViewerStateTests(SynchronousTestCase):
    """The table of a viewer."""

    def test_walk(self) -> None:
        """
        Every state can be reached from NEW; a step that is not listed raises.
        """
        reached, found = set(), {ViewerState.NEW}
        while reached != found:
            reached = set(found)
            found |= {following for state in reached for following in VIEWER_STATES[state].values()}
        self.assertEqual(found, set(ViewerState))
        for state, step in product(ViewerState, ViewerStep):
            if step in VIEWER_STATES[state]:
                self.assertIs(findNext(VIEWER_STATES, state, step), VIEWER_STATES[state][step])
            else:
                self.assertRaises(RuntimeError, findNext, VIEWER_STATES, state, step)

    def test_illegal(self) -> None:
        """
        A response begins once, is not paused before, and stays ended.
        """
        for state, step in (
            (ViewerState.LIVE, ViewerStep.START),
            (ViewerState.ENDED, ViewerStep.START),
            (ViewerState.NEW, ViewerStep.PAUSE),
        ):
            self.assertRaises(RuntimeError, findNext, VIEWER_STATES, state, step)
        for step in (ViewerStep.PAUSE, ViewerStep.RESUME, ViewerStep.END):
            self.assertIs(findNext(VIEWER_STATES, ViewerState.ENDED, step), ViewerState.ENDED)
