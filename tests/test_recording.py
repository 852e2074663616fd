"""
HTTP as it was: the answers of the present version are those in `tests/recording/answers.json`.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.recording import native
from tests.recording.answers import SCENARIOS, readAnswers, record
from tests.recording.recorder import Answer, Scenario


def show(answers: list[Answer]) -> list[str]:
    """Write answers so that a difference between two of them can be read."""
    return json.dumps(answers, indent=1).replace("\\n", "\n").splitlines()


class RecordingTests(SynchronousTestCase):
    """Every request of the recording, made anew."""

    maxDiff = 4000

    def assertUnchanged(self, scenario: Scenario, store: str) -> None:
        """Check that a scenario's answers are those that were recorded."""
        recorded, answers = readAnswers(scenario, store), record(scenario, store)
        # Scenarios with broken sources; what is in the log is the subject of other tests.
        self.flushLoggedErrors()
        self.assertTrue(recorded)
        if answers != recorded:
            self.assertEqual(show(answers), show(recorded), f"{scenario.__name__} ({store})")

    def test_memory(self) -> None:
        """With streams in memory every answer is as it was recorded, but for placeholders."""
        for scenario in SCENARIOS:
            with self.subTest(scenario.__name__):
                self.assertUnchanged(scenario, "memory")

    def test_sqlite(self) -> None:
        """
        With streams in an SQLite file every answer is as it was recorded, but for placeholders.
        """
        for scenario in (*SCENARIOS, *native.DISK_SCENARIOS):
            with self.subTest(scenario.__name__):
                self.assertUnchanged(scenario, "sqlite")

    def test_covers(self) -> None:
        """
        The recording has more than 120 requests, each status and each format that the documentation
        names.
        """
        answers = [answer for scenario in SCENARIOS for answer in readAnswers(scenario, "memory")]
        self.assertGreater(len(answers), 120)
        statuses = {int(answer["status"].split(" ")[1]) for answer in answers if "status" in answer}
        named = {200, 201, 204, 304, 400, 404, 405, 406, 409, 410, 413, 415, 422, 429, 431, 500, 502, 503}
        self.assertEqual(statuses, named)
