"""
State tables of the client: `EventSource` (an Automat machine) and `ResponseReader` (a table).

The three states of WHATWG HTML 9.2 are `State`. The machine has two more, because CONNECTING stands for a request, a
pause between two requests and an object that was never started, and each of them holds other resources::

    new --connect--> asking --open--> open
                     asking, open --wait--> waiting --connect--> asking
    any --finish--> closed, where `finish` is ignored and everything else refused

An input that a state does not allow raises `automat.NoTransition` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from automat import TypeMachineBuilder
from twisted.python.failure import Failure

from sseserver.steps import StateEnum


class State(Enum):
    """The `readyState` of an EventSource (WHATWG HTML 9.2)."""

    CONNECTING = 0
    OPEN = 1
    CLOSED = 2


class Steps(Protocol):
    """Inputs of the machine."""

    def connect(self) -> None:
        """A request is sent."""

    def open(self) -> None:
        """The response is an event stream."""

    def wait(self, delay: float) -> None:
        """Another request follows after a delay in seconds."""

    def finish(self, failure: Failure | None) -> None:
        """The stream is over; `None` means without an error."""


@dataclass
class Core:
    """
    Outputs of the machine.

    Args:
        startWaiting: Schedules the next request after a delay in seconds.
        finish: Releases everything and reports the end, with a failure or `None`.
        state: The `readyState`, which the machine sets before it calls one of the two.
    """

    startWaiting: Callable[[float], None]
    finish: Callable[[Failure | None], None]
    state: State = State.CONNECTING


def _ignore(argument: object) -> None:
    """Do nothing, after the end."""


_builder = TypeMachineBuilder(Steps, Core)
_new = _builder.state("new")
_asking = _builder.state("asking")
_open = _builder.state("open")
_waiting = _builder.state("waiting")
_closed = _builder.state("closed")


@_new.upon(Steps.connect).to(_asking)
@_waiting.upon(Steps.connect).to(_asking)
def _onConnect(steps: Steps, core: Core) -> None:
    core.state = State.CONNECTING


@_asking.upon(Steps.open).to(_open)
def _onOpen(steps: Steps, core: Core) -> None:
    core.state = State.OPEN


@_asking.upon(Steps.wait).to(_waiting)
@_open.upon(Steps.wait).to(_waiting)
def _onWait(steps: Steps, core: Core, delay: float) -> None:
    core.state = State.CONNECTING
    core.startWaiting(delay)


@_new.upon(Steps.finish).to(_closed)
@_asking.upon(Steps.finish).to(_closed)
@_open.upon(Steps.finish).to(_closed)
@_waiting.upon(Steps.finish).to(_closed)
def _onFinish(steps: Steps, core: Core, failure: Failure | None) -> None:
    core.state = State.CLOSED
    finish = core.finish
    # Methods of the EventSource, which keeps this object: neither is called any more.
    core.startWaiting = core.finish = _ignore
    finish(failure)


_closed.upon(Steps.finish).loop().returns(None)

#: Makes the machine of one EventSource.
makeMachine = _builder.build()


class ReaderState(StateEnum):
    """State of a `ResponseReader`."""

    #: Bytes are read. No event is queued, and no callback runs.
    READING = "reading"
    #: The callback has an event that did not pass through the queue.
    HANDING = "handing"
    #: The callback has an event of the queue.
    DELIVERING = "delivering"
    #: The callback that runs has asked for a pause.
    PAUSING = "pausing"
    #: Nothing is read or delivered.
    PAUSED = "paused"
    #: The connection is released; no callback follows.
    OVER = "over"


class ReaderStep(StateEnum):
    """Step of a `ResponseReader`."""

    #: A single event is passed to the callback directly, without the queue.
    HAND = "hand"
    #: Events, or the end of the body, were added to the queue.
    QUEUE = "queue"
    #: The callback returned, and no event can follow now.
    RETURN = "return"
    PAUSE = "pause"
    RESUME = "resume"
    END = "end"


#: The next state of a `ResponseReader`, by its state and the step. A step that is not listed is illegal.
READER_STATES = {
    ReaderState.READING: {
        ReaderStep.HAND: ReaderState.HANDING,
        ReaderStep.QUEUE: ReaderState.DELIVERING,
        ReaderStep.PAUSE: ReaderState.PAUSED,
        ReaderStep.RESUME: ReaderState.READING,
        ReaderStep.END: ReaderState.OVER,
    },
    ReaderState.HANDING: {
        ReaderStep.QUEUE: ReaderState.DELIVERING,
        ReaderStep.RETURN: ReaderState.READING,
        ReaderStep.PAUSE: ReaderState.PAUSING,
        ReaderStep.RESUME: ReaderState.HANDING,
        ReaderStep.END: ReaderState.OVER,
    },
    ReaderState.DELIVERING: {
        ReaderStep.QUEUE: ReaderState.DELIVERING,
        ReaderStep.RETURN: ReaderState.READING,
        ReaderStep.PAUSE: ReaderState.PAUSING,
        ReaderStep.RESUME: ReaderState.DELIVERING,
        ReaderStep.END: ReaderState.OVER,
    },
    ReaderState.PAUSING: {
        ReaderStep.QUEUE: ReaderState.PAUSING,
        ReaderStep.RETURN: ReaderState.PAUSED,
        ReaderStep.PAUSE: ReaderState.PAUSING,
        ReaderStep.RESUME: ReaderState.DELIVERING,
        ReaderStep.END: ReaderState.OVER,
    },
    ReaderState.PAUSED: {
        ReaderStep.QUEUE: ReaderState.PAUSED,
        ReaderStep.PAUSE: ReaderState.PAUSED,
        ReaderStep.RESUME: ReaderState.READING,
        ReaderStep.END: ReaderState.OVER,
    },
    ReaderState.OVER: {
        ReaderStep.PAUSE: ReaderState.OVER,
        ReaderStep.RESUME: ReaderState.OVER,
        ReaderStep.END: ReaderState.OVER,
    },
}
