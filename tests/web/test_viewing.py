"""
Tests of `sseserver.web.viewing`.
"""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from sseserver.formats import EventsFormat, TextFormat
from sseserver.settings import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.web.viewing import hasTerminal, locateStream, readFormat, readFromNow
from tests.apis.cases import ScriptedTestCase
from tests.http import Response
from tests.web.cases import Answering


class ViewingTestCase(ScriptedTestCase):
    """A server with a stream, and a resource whose answer the test chooses."""

    def setUp(self) -> None:
        super().setUp()
        self.name = self.startRun().rpartition("/")[2]
        self.log = self.successResultOf(self.service.find(self.name))

    def read(self, reader: Any, path: str) -> Any:
        """
        Call a function with a request for this path; return its result, or the error as a response.
        """
        seen: list[Any] = []

        def answer(request: Request) -> bytes:
            seen.append(reader(request))
            return b""

        resource = Answering()
        resource.answer = answer
        self.resource.putChild(b"it", resource)
        response = self.ask(path)
        return seen[0] if seen else response

    def assertRefused(self, response: Any) -> None:
        """Check that a request was refused as malformed."""
        self.assertIsInstance(response, Response)
        self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))


class ParameterTests(ViewingTestCase):
    """The parameters `format` and `from`."""

    def test_format(self) -> None:
        """
        `format` selects a format by its name; without it, or with an empty value, there is none.
        """
        reader = lambda request: readFormat(request, self.service)  # noqa: E731
        self.assertIs(self.read(reader, "/it?format=text"), self.service.formats["text"])
        for query in ("", "?format=", "?format"):
            self.assertIsNone(self.read(reader, f"/it{query}"))
        for name in ("nope", "Text", "%FF"):
            self.assertRefused(self.read(reader, f"/it?format={name}"))

    def test_fromNow(self) -> None:
        """`from` is `now` or missing; any other value is refused."""
        self.assertTrue(self.read(readFromNow, "/it?from=now"))
        for query in ("", "?from="):
            self.assertFalse(self.read(readFromNow, f"/it{query}"))
        for value in ("then", "NOW", "1", "%FF"):
            self.assertRefused(self.read(readFromNow, f"/it?from={value}"))


class TerminalTests(ViewingTestCase):
    """Which viewers have the terminal event already."""

    settings = Settings(linger=1000)

    def test_open(self) -> None:
        """No viewer of an open stream has its terminal event."""
        self.write("a")
        for lastEventID in (None, f"{self.name}-0", f"{self.name}-1", f"{self.name}-99", "nonsense"):
            for fromNow in (False, True):
                self.assertFalse(hasTerminal(self.log, EventsFormat(), lastEventID, fromNow), lastEventID)

    def test_renewed(self) -> None:
        """An ID of an earlier epoch has the terminal event only if the entry with its number was the same then."""
        self.write("a")
        self.log.renew(makeEpoch())
        self.end()
        self.assertTrue(hasTerminal(self.log, EventsFormat(), f"{self.log.epoch}-2"))
        for number in (1, 2):
            self.assertFalse(hasTerminal(self.log, EventsFormat(), f"{self.name}-{number}"))
        self.log.renew(makeEpoch())
        self.assertFalse(hasTerminal(self.log, EventsFormat(), f"{self.name}-2"))
        self.assertTrue(hasTerminal(self.log, EventsFormat(), f"{[*self.log.earlier][1]}-2"))

    def test_ended(self) -> None:
        """
        A viewer with the ID of the terminal event has it, and so has a new one that starts at the
        end.
        """
        self.write("a")
        self.end()
        for form in (EventsFormat(), TextFormat()):
            self.assertTrue(hasTerminal(self.log, form, f"{self.name}-2"))
            self.assertTrue(hasTerminal(self.log, form, None, fromNow=True))
            for lastEventID in (None, f"{self.name}-1", f"{self.name}-3", "nonsense", f"{'A' * 22}-2"):
                self.assertFalse(hasTerminal(self.log, form, lastEventID), lastEventID)

    def test_lastEventIDWins(self) -> None:
        """A viewer that reconnects continues at its ID, although its URL has `from=now`."""
        self.write("a")
        self.end()
        self.assertFalse(hasTerminal(self.log, EventsFormat(), f"{self.name}-1", fromNow=True))


class LocationTests(ViewingTestCase):
    """The URL of the stream of an answer."""

    def test_location(self) -> None:
        """
        `Content-Location` names the stream below the mount point, however deep the request's own
        path is.
        """
        for depth, path in ((1, "/it"), (1, "/it/")):
            url = self.read(lambda request, depth=depth: locateStream(request, self.log, depth), path)
            self.assertEqual(url, f"/streams/{self.name}")

    def test_mounted(self) -> None:
        """The mount point stays in front of it, quoted."""
        self.mount(b"a b", b"c")
        url = self.read(lambda request: locateStream(request, self.log, 1), "/a%20b/c/it")
        self.assertEqual(url, f"/a%20b/c/streams/{self.name}")
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.ask(url, "application/json").json["name"], self.name)
