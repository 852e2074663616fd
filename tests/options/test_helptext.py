"""
Tests for `sseserver.options.helptext`: what `--help` prints.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import OPTIONS, optionNamed
from sseserver.options.helptext import makeHelp, writeDefault
from sseserver.options.row import Group


class HelpTests(SynchronousTestCase):
    """The help."""

    def test_F95_options(self) -> None:
        """F95: each option stands below its topic, with its short name, its value and its default as it is typed."""
        text = makeHelp("Usage: it")
        sections = dict(zip([group.value for group in Group], text.split("\n\n")[3:], strict=False))
        for option in OPTIONS:
            self.assertIn(f" --{option.name}", sections[option.group.value])
            if option.short:
                self.assertIn(f"  -{option.short}, --{option.name}", text)
        self.assertIn("      --max-bytes SIZE\n", text)
        words = " ".join(text.split())
        self.assertIn("[default: 512M]", words)
        self.assertIn("[default: memory]", words)
        self.assertIn("or in a variable such as SSESERVER_MAX_VIEWERS", words)
        self.assertIn("Needs --exec or --upstream.", words)

    def test_F95_layout(self) -> None:
        """F95: the help begins with the usage and examples, and fits a terminal; it has no marks of the table."""
        text = makeHelp("Usage: it")
        self.assertTrue(text.startswith("Usage: it\n\n"))
        self.assertLess(text.index("Examples:"), text.index("Token source:"))
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertNotIn("`", text)
        self.assertTrue(text.endswith(".\n"))

    def test_F95_defaults(self) -> None:
        """F95: defaults are written as the command line takes them."""
        for name, text in (("max-bytes", "512M"), ("interval", "0.1"), ("idle", "86400"), ("retry", "3000")):
            self.assertEqual(writeDefault(optionNamed(name)), text)
        self.assertEqual([writeDefault(optionNamed(name)) for name in ("text", "plain")], [None, None])
