"""
Tests of `sseserver.errors`: one tree of exceptions, and the round trip of a `SourceError` through a
terminal entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus

from twisted.trial.unittest import SynchronousTestCase

from sseserver import errors
from sseserver.client import EventSourceError, StatusError
from sseserver.errors import (
    LONGEST_TEXT,
    BadRequest,
    ClientError,
    GapError,
    SourceError,
    SSEServerError,
    ViewerRefused,
)
from sseserver.values import Reason


def subclasses(base: type[SSEServerError]) -> Iterator[type[SSEServerError]]:
    """Iterate over the tree below a class, the class included."""
    yield base
    for derived in base.__subclasses__():
        yield from subclasses(derived)


class TreeTests(SynchronousTestCase):
    """All exceptions of the package."""

    def test_oneTree(self) -> None:
        """
        Every exception of the module derives from `SSEServerError`; so do those of the client.
        """
        raised = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
        self.assertGreater(len(raised), 15)
        for each in (*raised, EventSourceError, StatusError):
            self.assertTrue(issubclass(each, SSEServerError), each)

    def test_statuses(self) -> None:
        """
        Each class has the HTTP status of its answer, an error status; a client error has the type
        that says so.
        """
        for each in subclasses(SSEServerError):
            # 529 is registered nowhere, but Anthropic's clients know it.
            self.assertIn(each.status, {*HTTPStatus, 529})
            self.assertGreaterEqual(each.status, 400)
            self.assertTrue(each.code.replace("_", "").isalpha(), each)
            if each.status < 500 and each not in {GapError, ViewerRefused}:
                expected = "rate_limit_error" if each.status == 429 else "invalid_request_error"
                self.assertEqual(each.type, expected, each)

    def test_long(self) -> None:
        """A client gets no error as long as the member that it quotes."""
        for each in subclasses(ClientError):
            self.assertEqual(len(str(each("x" * 10_000_000))), LONGEST_TEXT, each)
        self.assertEqual(str(BadRequest("x" * LONGEST_TEXT)), "x" * LONGEST_TEXT)


class SourceErrorTests(SynchronousTestCase):
    """The error of a token source, in a terminal entry and out of it."""

    def roundTrip(self, error: SourceError) -> SourceError:
        """Write an error to an entry, and read it back."""
        return SourceError.fromEntry(json.loads(json.dumps(error.toEntry())))

    def test_toEntry(self) -> None:
        """
        The entry has the members that the source gave, in this order, and no defaults.
        """
        self.assertEqual(json.dumps(SourceError("No.").toEntry()), '{"reason": "source", "message": "No."}')
        self.assertEqual(
            json.dumps(SourceError("No.", "busy", 502, 7).toEntry()),
            '{"reason": "busy", "message": "No.", "status": 502, "retryAfter": 7}',
        )

    def test_roundTrip(self) -> None:
        """
        An error that is read from an entry has all that the source said, and makes the same entry.
        """
        for error in (
            SourceError("No."),
            SourceError("Slower!", Reason.REFUSED, 429, 7),
            SourceError("Gone.", "own", 404),
            SourceError("Stopped.", Reason.SHUTDOWN),
        ):
            again = self.roundTrip(error)
            for name in ("reason", "code", "status", "retryAfter", "type"):
                self.assertEqual(getattr(again, name), getattr(error, name))
            self.assertEqual((str(again), again.toEntry()), (str(error), error.toEntry()))

    def test_status(self) -> None:
        """
        Without a status the answer is 502; below 500 the type blames the client, and 429 its rate.
        """
        self.assertEqual((SourceError("No.").status, SourceError("No.").type), (502, "server_error"))
        self.assertEqual(SourceError("No.", status=404).type, "invalid_request_error")
        self.assertEqual(SourceError("No.", status=429).type, "rate_limit_error")

    def test_F58_unusual(self) -> None:
        """
        F58: a status is an integer from 400 to 599, and anything else is 502; the same holds after a round trip.
        """
        for status, expected in ((499, 499), (520, 520), (599, 599), ("503", 502), (204, 502), (True, 502), (600, 502)):
            error = SourceError("m", "r", status, "soon")  # type: ignore[arg-type]
            again = self.roundTrip(error)
            for each in (error, again):
                self.assertEqual((each.status, each.retryAfter, str(each)), (expected, None, "m"))

    def test_stopped(self) -> None:
        """
        A run that failed because its server ended may be retried soon; its entry does not say when.
        """
        for reason in (Reason.SHUTDOWN, Reason.INTERRUPTED):
            error = SourceError("Stopped.", reason)
            self.assertEqual((error.status, error.retryAfter), (503, 3))
            self.assertEqual(error.toEntry(), {"reason": reason, "message": "Stopped."})

    def test_withoutMessage(self) -> None:
        """
        An entry that has no message is told by its reason.
        """
        self.assertIn("(x)", str(SourceError.fromEntry({"reason": "x"})))


class ReasonTests(SynchronousTestCase):
    """The list of terminal reasons."""

    def test_written(self) -> None:
        """
        A reason is written to JSON, to a text and to bytes as its value.
        """
        self.assertEqual(json.dumps({"reason": Reason.STOP}), '{"reason": "stop"}')
        self.assertEqual((f"{Reason.ASKED}", str(Reason.ASKED)), ("asked", "asked"))
