"""
The settings of a service: limits, intervals and timeouts.

`sseserver.tap` fills them from the command line, embedders pass them to `StreamService`. The
defaults stand in the table of options.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from sseserver.options import defaultOf

#: Bytes. Default limit of the body of a request to `/streams`.
NATIVE_BODY = 1 << 20

#: Bytes. Default limit of the body of a request to an API of models, whose messages can have images.
MODEL_BODY = 32 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Limits, intervals and timeouts of a service.

    Attributes:
        heartbeat: Seconds. A viewer is sent a comment after this time without a write.
        reconnectionTime: Milliseconds. Reconnection time sent to viewers; each is sent a random
            value that differs by up to a third.
        linger: Seconds. A run is cancelled after this time without viewers, counted from its
            start if no viewer has come. 0 cancels it as soon as the last viewer has left.
        maxViewers: Number of viewers at a time.
        maxViewersPerClient: Number of viewers at a time of one client: a principal, or else an address. `None` limits
            only addresses of the public internet (`sseserver.service.clients`); so do the next three.
        maxRunsPerClient: Number of runs at a time of one client.
        runsPerMinute: Number of runs that one client may start in a minute.
        publishesPerSecond: Number of publishes of one client in a second.
        maxRuns: Number of runs that work at a time; further runs wait in a queue.
        maxWaiting: Length of that queue; further runs are refused.
        retryInterrupted: Number of times that a run with a prompt is begun anew, in a shared store, because its process
            is gone. 0 ends such a run.
        stall: Seconds. A viewer that reads nothing for this time is disconnected; it can
            reconnect and resume.
        keep: Seconds. A stream is kept for this time after its end.
        idle: Seconds. An open published stream ends `cancelled`, reason `idle`, after this time without
            publishes and viewers.
        window: Bytes. Memory of one stream; its oldest entries are dropped first.
        maxBytes: Bytes. Size of all streams of runs together, and, separately, of all published
            streams. Ended streams are dropped first; then new streams and publishes are refused,
            and runs wait.
        maxStreams: Number of streams of runs, and, separately, of published streams. Ended streams
            are dropped first, then new streams are refused.
        readAhead: Bytes. A run that is further ahead of its fastest viewer is paused.
        maxBody: Bytes. Size of the body of a request; `None` for `MODEL_BODY` and `NATIVE_BODY`.
        drain: Seconds. Time for runs to end and for viewers to read the rest when the service stops.
        ollama: Whether there is Ollama's API.
        plain: Whether all speedups are off. The default is the environment variable
            `SSESERVER_PLAIN`.
    """

    heartbeat: float = defaultOf("heartbeat")
    reconnectionTime: int = defaultOf("retry")
    linger: float = defaultOf("linger")
    maxViewers: int = defaultOf("max-viewers")
    maxViewersPerClient: int | None = defaultOf("max-viewers-per-client")
    maxRunsPerClient: int | None = defaultOf("max-runs-per-client")
    runsPerMinute: int | None = defaultOf("runs-per-minute")
    publishesPerSecond: int | None = defaultOf("publishes-per-second")
    maxRuns: int = defaultOf("max-runs")
    maxWaiting: int = defaultOf("max-waiting")
    retryInterrupted: int = defaultOf("retry-interrupted")
    stall: float = defaultOf("stall")
    keep: float = defaultOf("keep")
    idle: float = defaultOf("idle")
    window: int = defaultOf("window")
    maxBytes: int = defaultOf("max-bytes")
    maxStreams: int = defaultOf("max-streams")
    readAhead: int = defaultOf("read-ahead")
    maxBody: int | None = defaultOf("max-body")
    drain: float = defaultOf("drain")
    ollama: bool = defaultOf("ollama")
    plain: bool = field(default_factory=partial(defaultOf, "plain"))

    @property
    def modelBody(self) -> int:
        """Bytes. Limit of the body of a request to an API of models."""
        return self.maxBody or MODEL_BODY

    @property
    def nativeBody(self) -> int:
        """Bytes. Limit of the body of a request to `/streams`."""
        return self.maxBody or NATIVE_BODY

    @property
    def kept(self) -> int:
        """
        Bytes of entries that each stream keeps.

        A sixteenth of the window is reserved for entries on their way to a viewer.
        """
        return self.window - self.window // 16
