"""
Tests for `sseserver.command.summary`: the line of the log with the URL.
"""

from __future__ import annotations

from sseserver.command import summary
from sseserver.command.summary import summarize
from tests.command.test_parsing import OptionsTestCase, parse


class SummaryTests(OptionsTestCase):
    """`summarize`."""

    def test_parts(self) -> None:
        """The summary names source, store and build; it has no arguments of programs, and no credentials of URLs."""
        self.patch(summary, "compiled", True)
        text = self.write(b"a")
        for arguments, source, store in (
            ((), "built-in text", "memory"),
            ((f"--text={text}", "--store=sqlite:a.db"), f"file {text}", "sqlite:a.db"),
            (("--text=-",), "standard input", "memory"),
            (("--exec=cat secret",), "program cat", "memory"),
            (("--upstream=http://a/v1?token=secret&v=1",), "http://a/v1?v=1", "memory"),
            (("--upstream=http://a/v1", "--model=m", "--store=redis://b"), "http://a/v1, model m", "redis://b"),
        ):
            expected = f"source: {source}; store: {store}; build: compiled, speedups"
            self.assertEqual(summarize(parse(*arguments)), expected)

    def test_build(self) -> None:
        """The summary tells a build in pure Python, and a server without speedups."""
        self.patch(summary, "compiled", False)
        self.assertTrue(summarize(parse("--plain")).endswith("; build: pure Python, no speedups"))
