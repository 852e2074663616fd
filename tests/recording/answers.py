"""
The recording: makes it, writes it and reads it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.recording import chat, native, responses
from tests.recording.recorder import Answer, Recorder, Scenario

#: The recording.
ANSWERS = Path(__file__).parent / "answers.json"

SCENARIOS = (*native.SCENARIOS, *chat.SCENARIOS, *responses.SCENARIOS)


def record(scenario: Scenario, store: str) -> list[Answer]:
    """
    Make the requests of a scenario to a server with this store, `memory` or `sqlite`; return them,
    answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(folder if store == "sqlite" else None)
        scenario(recorder)
        return recorder.finish()


def recordAll() -> list[Answer]:
    """
    Make the requests of all scenarios.

    Returns:
        The answers, each with its store, its scenario and its number there. Of the SQLite store
        only those that differ from the answers in memory are given.
    """
    rows = []
    for scenario in SCENARIOS:
        memory, sqlite = record(scenario, "memory"), record(scenario, "sqlite")
        rows += _label("memory", scenario, enumerate(memory))
        rows += _label("sqlite", scenario, (pair for pair in enumerate(sqlite) if pair[1] != memory[pair[0]]))
    for scenario in native.DISK_SCENARIOS:
        rows += _label("sqlite", scenario, enumerate(record(scenario, "sqlite")))
    return rows


def _label(store: str, scenario: Scenario, answers: Iterable[tuple[int, Answer]]) -> list[Answer]:
    return [{"store": store, "scenario": scenario.__name__, "number": number, **answer} for number, answer in answers]


def writeAnswers(path: Path, answers: Sequence[Answer]) -> None:
    """Write answers into a file, each in a line."""
    path.write_text("[\n" + ",\n".join(map(json.dumps, answers)) + "\n]\n", "ascii")


def readAnswers(scenario: Scenario, store: str) -> list[Answer]:
    """Read the recorded answers of a scenario with this store."""
    answers: dict[int, Answer] = {}
    for row in json.loads(ANSWERS.read_text("ascii")):
        # Answers of the SQLite store come after those in memory, and replace them.
        if row.pop("scenario") == scenario.__name__ and row.pop("store") in {"memory", store}:
            answers[row.pop("number")] = row
    return [answers[number] for number in sorted(answers)]
