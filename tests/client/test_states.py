"""Tests for `sseserver.client.states`: every step in every state, legal or not."""

from __future__ import annotations

from itertools import product

from automat import NoTransition
from twisted.trial.unittest import SynchronousTestCase

from sseserver.client.states import (
    READER_STATES,
    Core,
    ReaderState,
    ReaderStep,
    State,
    Steps,
    makeMachine,
)
from sseserver.steps import findNext

#: The inputs that bring a machine into a state.
WAYS = {
    "new": "",
    "asking": "connect",
    "open": "connect open",
    "waiting": "connect wait",
    "closed": "finish",
}

#: The `readyState` after an input, by state and input. An input that is not listed is illegal.
LEGAL = {
    ("new", "connect"): State.CONNECTING,
    ("waiting", "connect"): State.CONNECTING,
    ("asking", "open"): State.OPEN,
    ("asking", "wait"): State.CONNECTING,
    ("open", "wait"): State.CONNECTING,
    **{(state, "finish"): State.CLOSED for state in WAYS},
}


class MachineTests(SynchronousTestCase):
    """The machine of an EventSource."""

    def enter(self, steps: Steps, name: str) -> None:
        """Give the machine an input."""
        arguments = {"wait": (2.5,), "finish": (None,)}.get(name, ())
        getattr(steps, name)(*arguments)

    def test_everyInput(self) -> None:
        """Each input in each state leads to the `readyState` of the table, or raises and changes nothing."""
        for state, name in product(WAYS, ("connect", "open", "wait", "finish")):
            outputs: list[object] = []
            core = Core(outputs.append, outputs.append)
            steps = makeMachine(core)
            for step in WAYS[state].split():
                self.enter(steps, step)
            before = core.state
            outputs.clear()
            if (state, name) in LEGAL:
                self.enter(steps, name)
                self.assertIs(core.state, LEGAL[state, name], (state, name))
            else:
                self.assertRaises(NoTransition, self.enter, steps, name)
                self.assertEqual((core.state, outputs), (before, []), (state, name))

    def test_outputs(self) -> None:
        """Waiting schedules the next request; the end is reported once."""
        outputs: list[object] = []
        steps = makeMachine(Core(outputs.append, outputs.append))
        for step in ("connect", "wait", "finish", "finish"):
            self.enter(steps, step)
        self.assertEqual(outputs, [2.5, None])


class ReaderStateTests(SynchronousTestCase):
    """The table of a `ResponseReader`."""

    def test_everyStep(self) -> None:
        """Each step in each state leads where the table says, or raises."""
        for state, step in product(ReaderState, ReaderStep):
            if step in READER_STATES[state]:
                self.assertIs(findNext(READER_STATES, state, step), READER_STATES[state][step])
            else:
                error = self.assertRaises(RuntimeError, findNext, READER_STATES, state, step)
                self.assertIn(step.name, str(error))

    def test_illegal(self) -> None:
        """No event goes past the queue unless it is empty and no callback runs; nothing returns that does not run."""
        for state in set(ReaderState) - {ReaderState.READING}:
            self.assertRaises(RuntimeError, findNext, READER_STATES, state, ReaderStep.HAND)
        for state in (ReaderState.READING, ReaderState.PAUSED, ReaderState.OVER):
            self.assertRaises(RuntimeError, findNext, READER_STATES, state, ReaderStep.RETURN)

    def test_over(self) -> None:
        """Every state can end, and the end is final."""
        for state in ReaderState:
            self.assertIs(findNext(READER_STATES, state, ReaderStep.END), ReaderState.OVER)
        self.assertEqual(set(READER_STATES[ReaderState.OVER].values()), {ReaderState.OVER})
