"""Tests for `sseserver.sources.upstreamopening`; the table of scripts has more, in `test_upstreamanswer`."""

from __future__ import annotations

from sseserver.values import Prompt
from tests.sources.upstreamcases import UpstreamTestCase
from tests.upstreamscripts import EVENTS, answer, refusal, whole


class OptionalTests(UpstreamTestCase):
    """Members that an upstream may refuse."""

    def test_F35_streamOptions(self) -> None:
        """F35: a request with `stream_options` that is refused is sent once more without them."""
        for status in ("400 Bad Request", "422 Unprocessable"):
            self.upstream.asked = []
            self.upstream.scripts = [(answer(status, refusal("stream_options?")),), whole(*EVENTS)]
            options = {"stream_options": {"include_usage": True}, "x": 1}
            self.assertEqual(self.start(Prompt("?", (), options)).result, "stop")
            first, second = (asked.json for asked in self.upstream.asked)
            self.assertEqual(first, {**second, "stream_options": {"include_usage": True}})
        self.upstream.asked = []
        self.upstream.scripts = [(answer("400 Bad Request", refusal("Why.")),)]
        self.assertEqual(str(self.error(self.start(Prompt("?", (), options)))), "Why.")
        self.assertEqual(len(self.upstream.asked), 2)
        self.start()
        self.assertEqual(len(self.upstream.asked), 3)

    def test_F35_sameText(self) -> None:
        """F35: a refused request in which only a text has the name of the member is not repeated."""
        self.upstream.scripts = [(answer("400 Bad Request", refusal("Why.")),), whole(*EVENTS)]
        self.assertEqual(str(self.error(self.start(Prompt("stream_options", (), {})))), "Why.")
        self.assertEqual(len(self.upstream.asked), 1)
