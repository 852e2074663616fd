"""
Foreign code: whatever a source, a format or a callback raises harms its own stream only, `BaseException` included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from sseserver.client import EventSource, State
from sseserver.interfaces import IFormat, ITokenSink, ITokenSource
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.text import TextSource
from sseserver.testing import RecordingSink
from sseserver.values import Prompt
from tests.client.clients import ClientTestCase
from tests.served import ServedTestCase

#: Exceptions of foreign code that it should not raise.
EXCEPTIONS: tuple[type[BaseException], ...] = (ZeroDivisionError, SystemExit, KeyboardInterrupt, GeneratorExit)


class BreakingProducer:
    """
    A producer of a source that raises in one of its methods.

    Args:
        error: Raised.
        name: Name of the method.
    """

    def __init__(self, error: type[BaseException], name: str) -> None:
        self._error = error
        self._name = name

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self._act("resume")

    def stopProducing(self) -> None:
        """See `IPushProducer.stopProducing`."""
        self._act("stop")

    def _act(self, name: str) -> None:
        if name == self._name:
            raise self._error


@implementer(ITokenSource)
class ProducerSource:
    """A source that writes more than its run may be ahead of its viewers, with a producer."""

    takesPrompt = False
    model = "foreign"

    def __init__(self, producer: BreakingProducer) -> None:
        self._producer = producer

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any]:
        """See `ITokenSource.produce`."""
        sink.registerProducer(self._producer, True)
        for _ in range(4):
            sink.write("x" * 2000)
        return Deferred()


class BreakingRendering:
    """
    A rendering that raises when it reads.

    Args:
        rendering: The real one.
        error: Raised.
    """

    def __init__(self, rendering: Any, error: type[BaseException]) -> None:
        self._rendering = rendering
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rendering, name)

    def read(self, cursor: int, maxBytes: int, joined: bool) -> NoReturn:
        """See `IRendering.read`."""
        raise self._error


@implementer(IFormat)
class BreakingFormat:
    """
    A format whose renderings raise.

    Args:
        form: The real one.
        error: Raised.
    """

    def __init__(self, form: IFormat, error: type[BaseException]) -> None:
        self.name = "breaking"
        self.headers = form.headers
        self.reconnects = form.reconnects
        self._form = form
        self._error = error

    def render(self, streamLog: Any) -> Any:
        """See `IFormat.render`."""
        return BreakingRendering(self._form.render(streamLog), self._error)


class ForeignTests(ServedTestCase):
    """Sources and formats of embedders in a server."""

    settings = Settings(readAhead=4096)

    def tearDown(self) -> None:
        """Check that every exception was logged."""
        super().tearDown()
        self.flushLoggedErrors(*EXCEPTIONS, RuntimeError)

    def runOf(self, source: ITokenSource) -> Any:
        """Start a run of a source; return its log."""
        self.serve(source, self.settings)
        streamLog = self.successResultOf(self.service.startRun())
        self.reactor.run(1)
        return streamLog

    def test_sources(self) -> None:
        """Code of a source that raises fails its run."""

        def fail(error: type[BaseException]) -> Callable[..., NoReturn]:
            def act(*arguments: object) -> NoReturn:
                raise error

            return act

        for error in EXCEPTIONS:
            for source in (
                FunctionSource(fail(error)),
                FunctionSource(lambda sink, prompt, error=error: succeed(None).addCallback(fail(error))),
                tokensFrom(self.reactor, fail(error)),
            ):
                self.assertEqual(self.runOf(source).state.value, "failed", error)

    def test_stopProducing(self) -> None:
        """A producer that raises when its run is stopped does not keep the run, or its canceller, from the end."""
        for error in EXCEPTIONS:
            streamLog = self.runOf(ProducerSource(BreakingProducer(error, "stop")))
            self.successResultOf(self.service.cancel(streamLog.name))
            self.assertEqual(streamLog.state.value, "cancelled")
            self.assertEqual(self.service.runs.held, 0)

    def test_resumeProducing(self) -> None:
        """A producer that raises when it is resumed fails its run; the viewer that resumed it gets everything."""
        for error in EXCEPTIONS:
            streamLog = self.runOf(ProducerSource(BreakingProducer(error, "resume")))
            self.assertEqual(streamLog.state.value, "open")
            wire = self.view(f"/streams/{streamLog.name}")
            self.reactor.run(1)
            self.assertEqual(streamLog.state.value, "failed", error)
            self.assertEqual(wire.response.types[-1], "failed")

    def test_formats(self) -> None:
        """A format that raises cuts its own viewer; another viewer of the stream goes on."""
        for error in EXCEPTIONS:
            streamLog = self.runOf(self.source)
            self.service.formats["breaking"] = BreakingFormat(self.service.formats["events"], error)
            path = f"/streams/{streamLog.name}"
            fine, broken = self.view(path), self.view(f"{path}?format=breaking")
            self.source.run.write("a")
            self.reactor.run(1)
            self.assertEqual((fine.closed, fine.response.texts, broken.closed), (False, ["a"], True), error)

    def test_sinks(self) -> None:
        """A sink of an embedder that raises ends the work of a source."""
        for error in EXCEPTIONS:
            sink = RecordingSink()

            def write(token: str, error: type[BaseException] = error) -> NoReturn:
                raise error

            sink.write = write  # type: ignore[method-assign]
            sink.start(TextSource(self.reactor, "a b c", 0.05))
            self.reactor.run(1)
            self.assertTrue(sink.result.check(error), sink.result)


class CallbackTests(ClientTestCase):
    """Callbacks of an `EventSource`."""

    def test_callbacks(self) -> None:
        """A callback that raises ends its own EventSource with the exception."""
        for error in EXCEPTIONS:
            for name in ("onEvent", "onOpen", "onData"):

                def act(argument: object, error: type[BaseException] = error) -> NoReturn:
                    raise error

                source: EventSource = self.open(b"data: a\n\ndata: b\n\n", **{name: act})
                self.chunk(b"data: c\n\n")
                self.failureResultOf(self.done, error)
                self.assertIs(source.state, State.CLOSED, name)
