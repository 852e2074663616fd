"""
Names of the code in all pages.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import OPTIONS
from tests.house import PAGES, ROOT

#: Options of other programs that the pages name: of the package's commands, of twistd, of the tests, of others.
OTHERS = frozenset(
    {
        *("expires", "help", "url"),
        *("logger", "pidfile", "reactor", "syslog"),
        *("first", "once", "strict"),
        *("read-only", "tmpfs"),
    }
)


class PageTests(SynchronousTestCase):
    """Everything that a page names is there."""

    def test_options(self) -> None:
        """Each option that a page names exists, or is one of another program."""
        known = {option.name for option in OPTIONS} | OTHERS
        pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in PAGES if "benchmarks" not in name)]
        self.assertGreater(len(pages), 30)
        unknown = {
            f"{page.relative_to(ROOT)}: --{name}"
            for page in pages
            for name in re.findall(r"`--([a-z][a-z0-9-]*)", page.read_text("utf-8"))
            if name not in known
        }
        self.assertEqual(unknown, set())
