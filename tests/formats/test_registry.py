"""
Tests for `sseserver.formats.registry`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.formats import makeFormats
from sseserver.interfaces import IFormat, IRendering
from sseserver.values import Kind
from tests.formats.chatcases import ALL, decode, makeLog, parts
from tests.readers import readAll


class RegistryTests(SynchronousTestCase):
    """The list of formats."""

    def test_names(self) -> None:
        """
        Each format has its own name, and provides its interface.
        """
        formats = makeFormats("parrot")
        names = ["events", "entries", "text", "openai", "completions", "ui", "agui", "html", "messages", "responses"]
        self.assertEqual(list(formats), names)
        for name, form in formats.items():
            self.assertEqual(form.name, name)
            verifyObject(IFormat, form)
            verifyObject(IRendering, form.render(makeLog()))

    def test_model(self) -> None:
        """
        The chunks of `openai` name the model.
        """
        events = decode(readAll(makeFormats("parrot")["openai"].render(makeLog("a")), 0, ALL, False)[1])
        self.assertEqual({part["model"] for part in parts(events)}, {"parrot"})

    def test_input(self) -> None:
        """No format shows what a run answers, and no restart after it makes text void."""
        for form in makeFormats("parrot").values():
            streamLog = makeLog()
            for kind, data in ((Kind.INPUT, b'{}\n["secret"]'), (Kind.RESTART, b"{}"), (Kind.TOKEN, b"a")):
                streamLog.append(kind, data)
            for joined in (False, True):
                cursor, data = readAll(form.render(streamLog), 0, ALL, joined)
                self.assertEqual(cursor, 3)
                self.assertIn(b"a", data)
                self.assertNotIn(b"secret", data)

    def test_traits(self) -> None:
        """
        Viewers of `events`, `entries`, `text` and `html` are EventSources, the others are not. `ui` has a header for
        its version.
        """
        formats = makeFormats("parrot").values()
        self.assertEqual([form.name for form in formats if form.reconnects], ["events", "entries", "text", "html"])
        headers = [header for form in formats for header in form.headers]
        self.assertEqual(headers, [(b"x-vercel-ai-ui-message-stream", b"v1")])
