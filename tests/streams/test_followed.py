"""
Tests for `sseserver.streams.followed`: the viewers of a log and the renderings that they share. Wake-ups are in
`test_wakes`.
"""

from __future__ import annotations

import gc
import weakref

from zope.interface import implementer

from sseserver.formats import EventsFormat, TextFormat
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from tests.fakes import FakeViewer
from tests.streams.logs import LogTestCase


@implementer(IFormat)
class CountingFormat:
    """A format that remembers the renderings it made, weakly."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: list[weakref.ref[Rendering]] = []

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        rendering = Rendering(streamLog)
        self.made.append(weakref.ref(rendering))
        return rendering  # type: ignore[return-value]


class Rendering:
    """Nothing but an identity."""

    def __init__(self, streamLog: IStreamLog) -> None:
        self.streamLog = streamLog


class RenderingTests(LogTestCase):
    """Renderings are shared."""

    def test_shared(self) -> None:
        """
        All viewers of a format get the same rendering, made once of this log.
        """
        form = CountingFormat("counting")
        first = self.log.follow(FakeViewer(), form)
        self.assertIs(self.log.follow(FakeViewer(), form), first)
        self.assertIs(self.log.findRendering(form), first)
        self.assertIs(first.streamLog, self.log)  # type: ignore[attr-defined]
        self.assertEqual(len(form.made), 1)

    def test_eachFormatItsOwn(self) -> None:
        """
        Viewers of different formats have different renderings.
        """
        events, text = self.log.follow(FakeViewer(), EventsFormat()), self.log.follow(FakeViewer(), TextFormat())
        self.assertIsNot(events, text)
        self.assertIs(self.log.findRendering(TextFormat()), text)

    def test_keptWhileThereAreViewers(self) -> None:
        """
        A rendering outlives the viewer that it was made for, as long as there
        is another.
        """
        form = CountingFormat("counting")
        first, second = FakeViewer(), FakeViewer()
        rendering = self.log.follow(first, form)
        self.log.follow(second, form)
        self.log.leave(first)
        self.assertIs(self.log.follow(FakeViewer(), form), rendering)

    def test_droppedWithTheLastViewer(self) -> None:
        """
        When the last viewer leaves the log lets go of its renderings; the next
        viewer gets a new one.
        """
        form, other = CountingFormat("counting"), CountingFormat("other")
        first, second = FakeViewer(), FakeViewer()
        self.log.follow(first, form)
        self.log.follow(second, other)
        self.log.leave(first)
        self.log.leave(second)
        gc.collect()
        self.assertEqual([made() for made in form.made + other.made], [None, None])
        self.log.follow(FakeViewer(), form)
        self.assertEqual(len(form.made), 2)

    def test_passing(self) -> None:
        """
        Asked for a rendering that no viewer uses, the log makes one and does
        not keep it.
        """
        form = CountingFormat("counting")
        self.assertIs(self.log.findRendering(form).streamLog, self.log)  # type: ignore[attr-defined]
        gc.collect()
        self.assertEqual([made() for made in form.made], [None])
