"""Tests for `sseserver.client.errors`: the tree."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from sseserver import SSEServerError, client
from sseserver.client import EventSourceError, ResponseRefused, StatusError, WrongContentType


class ErrorTests(SynchronousTestCase):
    """The errors of the client."""

    def test_tree(self) -> None:
        """Each public error has the root of all errors, and all but `EventTooLarge` that of the client."""
        public = [getattr(client, name) for name in client.__all__]
        errors = {item for item in public if isinstance(item, type) and issubclass(item, Exception)}
        self.assertEqual([kind for kind in errors if not issubclass(kind, SSEServerError)], [])
        self.assertEqual({kind for kind in errors if not issubclass(kind, EventSourceError)}, {client.EventTooLarge})

    def test_refused(self) -> None:
        """A refusal shows the response."""
        headers = Headers({"X": ["y"]})
        for kind in (StatusError, WrongContentType):
            error = kind("No.", 418, headers, b"tea")
            self.assertIsInstance(error, ResponseRefused)
            self.assertEqual((str(error), error.status, error.headers, error.body), ("No.", 418, headers, b"tea"))
