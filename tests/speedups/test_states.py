"""
Tests of `sseserver.speedups.states`, on fast bodies.
"""

from __future__ import annotations

from itertools import product

from sseserver.speedups.states import BODY_STATES, BodyState, BodyStep
from sseserver.steps import findNext
from tests.speedups.cases import BodyTestCase


class BodyStateTests(BodyTestCase):
    """The table of a body."""

    def test_walk(self) -> None:
        """
        Every state can be reached from NEW; a step that is not listed raises.
        """
        reached, found = set(), {BodyState.NEW}
        while reached != found:
            reached = set(found)
            found |= {following for state in reached for following in BODY_STATES[state].values()}
        self.assertEqual(found, set(BodyState))
        for state, step in product(BodyState, BodyStep):
            if step in BODY_STATES[state]:
                self.assertIs(findNext(BODY_STATES, state, step), BODY_STATES[state][step])
            else:
                self.assertRaises(RuntimeError, findNext, BODY_STATES, state, step)

    def test_closedBody(self) -> None:
        """
        A closed body refuses to be written, corked or closed.
        """
        for begun in (False, True):
            body = self.openBody()[2] if begun else self.outbox.makeBody(self.open()[1])
            body.close()
            self.assertRaises(RuntimeError, body.write, b"more")
            self.assertRaises(RuntimeError, body.cork)
            self.assertRaises(RuntimeError, body.close)

    def test_corkBeforeTheHead(self) -> None:
        """
        A body that was not written to cannot be corked.
        """
        self.assertRaises(RuntimeError, self.outbox.makeBody(self.open()[1]).cork)
