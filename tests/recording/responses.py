"""
Scenarios for OpenAI's Responses.
"""

from __future__ import annotations

from sseserver import SourceError
from tests.recording.recorder import Recorder, Scenario, read

RESPONSES = "/v1/responses"
ASKED = {"input": "Hello there"}


def recordResponses(recorder: Recorder) -> None:
    """Responses, whole, as events and in the background; and what becomes of them."""
    recorder.serve(linger=1000.0)
    wire = recorder.ask(RESPONSES, "POST", body={**ASKED, "metadata": {"a": "b"}})
    recorder.write("One ", "two")
    recorder.end("length")
    whole = f"{RESPONSES}/{read(wire).json['id']}"
    recorder.ask(RESPONSES, "POST", body={**ASKED, "stream": True}, Idempotency_Key="k")
    recorder.write("One ", "two")
    recorder.end()
    recorder.ask(RESPONSES, "POST", body={**ASKED, "stream": True, "input": "Bye"}, Idempotency_Key="k")
    for query in ("", "?stream=true", "?stream=true&starting_after=5", "?stream=true&starting_after=99", "?stream=x"):
        recorder.ask(whole + query)
    recorder.ask(f"{whole}?stream=true", "HEAD")
    recorder.ask(f"{whole}/input_items")
    recorder.ask(f"{whole}/input_items?limit=0")
    wire = recorder.ask(RESPONSES, "POST", body={**ASKED, "background": True})
    waiting = f"{RESPONSES}/{read(wire).json['id']}"
    recorder.ask(waiting)
    recorder.ask(f"{waiting}/cancel", "POST", body=b"")
    recorder.ask(waiting, "DELETE")
    for path in ("", "/input_items"):
        recorder.ask(waiting + path)
    for path in ("/cancel", "/x"):
        recorder.ask(waiting + path, "POST", body=b"")
    recorder.ask(waiting, "DELETE")


def recordResponseRefusals(recorder: Recorder) -> None:
    """Requests for responses that are refused, and runs that fail."""
    recorder.serve()
    for members in ({"input": []}, {"model": "gpt-9"}, {"previous_response_id": "resp_x"}, {"conversation": "x"}):
        recorder.ask(RESPONSES, "POST", body={**ASKED, **members})
    for problem in (SourceError("Source: too many.", "upstream", 429, 20), SourceError("Source: gone.", "upstream")):
        for streamed in (False, True):
            recorder.ask(RESPONSES, "POST", body={**ASKED, "stream": streamed})
            recorder.breakDown(problem)
    recorder.ask(RESPONSES, "POST", body=ASKED)
    recorder.ask(f"{recorder.locateRun()}/cancel", "POST", body=b"")
    recorder.serve(window=20_000)
    wire = recorder.ask(RESPONSES, "POST", body={**ASKED, "stream": True})
    recorder.write(*["x" * 1000] * 25)
    name = read(wire).headers["content-location"].rpartition("/")[2]
    gone = f"{RESPONSES}/resp_{name}"
    for path in (gone, f"{gone}?stream=true"):
        recorder.ask(path)
    recorder.ask(f"{gone}/cancel", "POST", body=b"")
    recorder.ask(RESPONSES, "POST", body=ASKED)
    recorder.write(*["x" * 1000] * 25)
    recorder.end()


SCENARIOS: tuple[Scenario, ...] = (recordResponses, recordResponseRefusals)
