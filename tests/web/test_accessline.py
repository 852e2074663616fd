"""
Tests of `sseserver.web.accessline`, beside the fast line.
"""

from __future__ import annotations

import io
import re
from typing import Any

from sseserver.web.resource import NotFoundResource
from sseserver.web.site import StreamSite
from tests.web.cases import HTTPTestCase


class AccessLineTests(HTTPTestCase):
    """Lines of the access log."""

    def test_credentials(self) -> None:
        """No line shows a credential in a URL, plain or fast; both are the same."""
        lines = []
        for plain in (True, False):
            site: Any = StreamSite(NotFoundResource(), plain=plain, reactor=self.reactor)
            site._logFile = io.StringIO()  # noqa: SLF001
            headers = {"Referer": "http://me:canary@a/?token=canary&b=c", "User-Agent": "me"}
            self.connect(site).ask("/streams/a?format=text&sig=canary", headers=headers)
            # Without the seconds.
            lines.append(re.sub(r" \d+\.\d+ complete", "", site._logFile.getvalue()))  # noqa: SLF001
        self.assertEqual(lines[0], lines[1])
        self.assertIn('"GET /streams/a?format=text HTTP/1.1" 404', lines[0])
        self.assertIn('"http://a/?b=c" "me"', lines[0])
        self.assertNotIn("canary", lines[0])
