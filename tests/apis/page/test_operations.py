"""
Tests of `sseserver.apis.page.operations`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis.page.operations import makePage


class PageOperationsTests(SynchronousTestCase):
    """The operations of the page."""

    def test_formats(self) -> None:
        """A visitor may ask for the formats of the server."""
        visit = makePage(("events", "text")).operations[0]
        schemas = {each.name: each.schema for each in visit.parameters}
        self.assertEqual(schemas["format"]["enum"], ["events", "text"])
