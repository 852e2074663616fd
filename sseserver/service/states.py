"""
States of the service and of a run, and the steps that are legal between them.

`service.py` and `run.py` take every step through `sseserver.steps.step`.
"""

from __future__ import annotations

from sseserver.steps import StateEnum


class ServiceState(StateEnum):
    """The life of a `StreamService`. It takes runs, viewers and publishes while it is NEW, RUNNING or LEAVING."""

    NEW = "new"  # not started yet
    RUNNING = "running"
    LEAVING = "leaving"  # everything is served, but load balancers are told to send no more clients
    DRAINING = "draining"  # nothing new is accepted, runs and viewers come to their ends
    STOPPED = "stopped"  # the store is closed

    @property
    def takesWork(self) -> bool:
        """Whether a service starts runs and takes publishes."""
        return self not in (ServiceState.DRAINING, ServiceState.STOPPED)


#: Legal steps of a service. Stopping is harmless at any time.
SERVICE_STEPS = {
    ServiceState.NEW: frozenset({ServiceState.RUNNING, ServiceState.DRAINING}),
    ServiceState.RUNNING: frozenset({ServiceState.LEAVING, ServiceState.DRAINING}),
    ServiceState.LEAVING: frozenset({ServiceState.DRAINING}),
    ServiceState.DRAINING: frozenset({ServiceState.STOPPED}),
    ServiceState.STOPPED: frozenset({ServiceState.RUNNING, ServiceState.DRAINING}),
}


class RunState(StateEnum):
    """The life of a `Run`."""

    WAITING = "waiting"  # for its turn: the source was not called yet
    WORKING = "working"
    PAUSED = "paused"  # too far ahead of the viewers, or the store is full
    ENDED = "ended"  # the terminal entry is written, or the stream is deleted


#: Legal steps of a run.
RUN_STEPS = {
    RunState.WAITING: frozenset({RunState.WORKING, RunState.ENDED}),
    RunState.WORKING: frozenset({RunState.PAUSED, RunState.ENDED}),
    RunState.PAUSED: frozenset({RunState.WORKING, RunState.ENDED}),
    RunState.ENDED: frozenset[RunState](),
}
