"""
What an EventSource may do in which state: an Automat machine.

The states of WHATWG HTML 9.2 are three; CONNECTING is three here, since a
program must know what to stop::

    new --connect--> asking --open--> open
                     asking, open --wait--> waiting --connect--> asking
    any --finish--> closed, where only finish is allowed, and does nothing

An input that a state does not allow raises C{automat.NoTransition}, and
changes nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from automat import TypeMachineBuilder
from twisted.python.failure import Failure


class State(Enum):
    """What EventSource calls its C{readyState}."""

    CONNECTING = 0
    OPEN = 1
    CLOSED = 2


class Steps(Protocol):
    """What happens to an EventSource."""

    def connect(self) -> None:
        """A request is made."""

    def open(self) -> None:
        """Its response is an event stream."""

    def wait(self, delay: float) -> None:
        """Another request shall follow, after so many seconds."""

    def finish(self, failure: Failure | None) -> None:
        """It is over, in good order if without a failure."""


class Core(Protocol):
    """
    Does what belongs to the steps.

    Attributes:
        state: What the world sees.
    """

    state: State

    def _startWaiting(self, delay: float) -> None:
        """Set the time for the next request."""

    def _finished(self, failure: Failure | None) -> None:
        """Stop all that is under way, and tell."""


_builder = TypeMachineBuilder(Steps, Core)  # type: ignore[type-abstract]
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
    core._startWaiting(delay)


@_new.upon(Steps.finish).to(_closed)
@_asking.upon(Steps.finish).to(_closed)
@_open.upon(Steps.finish).to(_closed)
@_waiting.upon(Steps.finish).to(_closed)
def _onFinish(steps: Steps, core: Core, failure: Failure | None) -> None:
    core.state = State.CLOSED
    core._finished(failure)


_closed.upon(Steps.finish).loop().returns(None)

#: Makes the machine of one EventSource.
makeMachine = _builder.build()
