"""
Tests for `sseserver.apis.agui.agent`.
"""

from __future__ import annotations

import json
from typing import Any

from sseserver.apis.root import StreamResource
from sseserver.service.service import Settings
from sseserver.streams.terminal import packRestart
from tests.apis.chat.cases import ChatTestCase
from tests.wires import Wire

EPOCH = "0123456789abcdefghijAZ"


class AgentTestCase(ChatTestCase):
    """Requests of AG-UI's clients."""

    settings = Settings(linger=10)

    def start(self, run: str = "run-1", text: str = "Hello", **headers: str) -> Wire:
        """Send a message as the clients do."""
        message = {"id": "m", "role": "user", "content": text}
        body = {"threadId": "t", "runId": run, "state": {}, "messages": [message], "tools": [], "context": []}
        return self.post("/agui", body, Accept="text/event-stream", **headers)

    def get(self, query: str, **headers: str) -> Wire:
        """Ask for a run."""
        wire = self.connect(self.factory)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        wire.begin(f"/agui{query}", "text/event-stream", headers=told)
        return wire

    def join(self, run: str = "run-1", **headers: str) -> Wire:
        """Join a run from its start."""
        return self.get(f"?offset=-1&runId={run}", **headers)

    def events(self, wire: Wire) -> list[dict[str, Any]]:
        """Return the events that a client got."""
        return [json.loads(event.data) for event in wire.response.events]

    def ids(self, wire: Wire) -> list[str]:
        """Return the IDs that a client got, one for each event."""
        return [event.id for event in wire.response.events]


class AgentTests(AgentTestCase):
    """A run that is kept as a whole."""

    def test_run(self) -> None:
        """The answer is a run, and a stream like every other."""
        wire = self.start()
        self.write("a", "b")
        self.assertEqual(self.ask(wire.response.headers["content-location"], "text/plain").body, b"ab")
        self.end()
        self.assertTrue(wire.response.complete)
        told = self.events(wire)
        self.assertEqual(told[0], {"type": "RUN_STARTED", "threadId": "t", "runId": "run-1"})
        self.assertEqual("".join(event.get("delta", "") for event in told), "ab")
        self.assertEqual(told[-1], {"type": "RUN_FINISHED", "threadId": "t", "runId": "run-1"})
        self.assertEqual(len(set(self.ids(wire))), len(told))

    def test_continues(self) -> None:
        """The same POST with the ID of any event gets the events after it, and starts no other run."""
        whole = self.start()
        self.write("a", "b")
        self.end()
        told, ids = self.events(whole), self.ids(whole)
        for number, name in enumerate(ids[:-1]):
            rest = self.start(X_Run_Id="run-1", Last_Event_ID=name)
            self.assertEqual(self.events(rest), told[number + 1 :])
            self.assertEqual(self.events(self.join(Last_Event_ID=name))[-1]["type"], "RUN_FINISHED")
        self.assertEqual(self.start(Last_Event_ID=ids[-1]).response.status, 204)
        self.assertEqual(self.get(f"?runId=run-1&offset={ids[-1]}").response.status, 204)
        self.assertEqual(len(self.source.runs), 1)

    def test_continuesLive(self) -> None:
        """A client that returns while the run goes on gets each event once."""
        first = self.start()
        self.write("a")
        got = self.ids(first)
        first.close()
        second = self.start(X_Run_Id="run-1", Last_Event_ID=got[0])
        self.write("b")
        self.end()
        self.assertEqual(self.ids(second)[: len(got) - 1], got[1:])
        self.assertEqual([event.get("delta") for event in self.events(second)][1:3], ["a", "b"])

    def test_joins(self) -> None:
        """A GET follows a run from its start, by the header, too. It starts for every client with its names."""
        self.start()
        self.write("a")
        joined = self.get("?runId=run-1&threadId=t")
        named = self.get("", X_Run_Id="run-1")
        self.assertEqual(self.ask("/agui?runId=run-1", method="HEAD").status, 200)
        self.end()
        self.assertEqual(self.events(joined)[0], {"type": "RUN_STARTED", "threadId": "t", "runId": "run-1"})
        self.assertEqual(self.events(self.join())[-1]["runId"], "run-1")
        self.assertEqual(self.ids(named), self.ids(joined))

    def test_newestRun(self) -> None:
        """A run ID that is used again names the newest run. Its events are not those of the older one."""
        older = self.start()
        self.write("old")
        self.start()
        self.write("new")
        self.assertIn(b"new", self.join().response.body)
        self.assertEqual(self.join(Last_Event_ID=self.ids(older)[0]).response.status, 400)

    def test_unknown(self) -> None:
        """A run that is not there, and an event that is not, are refused, and nothing is started."""
        self.assertEqual(self.join("none").response.status, 404)
        self.assertEqual(self.start("none", Last_Event_ID=f"{EPOCH}.1").response.status, 404)
        self.assertEqual(self.get("").response.status, 400)
        self.assertEqual(self.get("?runId=a%20b").response.status, 400)
        self.assertEqual(self.start(X_Run_Id="a b").response.status, 400)
        self.assertEqual(self.source.runs, [])
        wire = self.start()
        self.write("a")
        epoch = self.ids(wire)[0].partition(".")[0]
        for odd in ("x", f"{epoch}-1", f"{epoch}.9", f"{EPOCH}.1"):
            self.assertEqual(self.join(Last_Event_ID=odd).response.status, 400, odd)
        self.assertEqual(self.get("?runId=run-1&offset=0").response.status, 400)

    def test_restarted(self) -> None:
        """Events before a restart of the run cannot be continued."""
        wire = self.start()
        self.write("a")
        names = self.ids(wire)
        name = wire.response.headers["content-location"].rpartition("/")[2]
        self.successResultOf(self.service.find(name)).append(*packRestart(1))
        self.write("b")
        answer = self.join(Last_Event_ID=names[0])
        self.assertEqual(answer.response.status, 400)
        self.assertIn("begun anew", answer.response.error["message"])
        self.assertEqual(self.events(self.join())[-1]["delta"], "b")

    def test_forgotten(self) -> None:
        """A run whose ID the server has forgotten is found by its last event ID, and by the name of its stream."""
        wire = self.start()
        self.write("a")
        told, ids = self.events(wire), self.ids(wire)
        name = wire.response.headers["content-location"].rpartition("/")[2]
        self.start("other")
        # It has no IDs of runs yet, as after a restart.
        self.factory = self.site(StreamResource(self.service))
        self.assertEqual(self.join().response.status, 404)
        self.assertEqual(self.events(self.join(Last_Event_ID=ids[1])), told[2:])
        self.assertEqual(self.events(self.start(Last_Event_ID=ids[0])), told[1:])
        self.assertEqual(self.join("other", Last_Event_ID=ids[1]).response.status, 404)
        self.assertEqual(self.events(self.join(name)), told)
        self.assertEqual(len(self.source.runs), 2)

    def test_retry(self) -> None:
        """A retry with the same idempotency key joins the run. A run of another ID cannot have the key."""
        self.start(Idempotency_Key="k")
        self.start(Idempotency_Key="k")
        self.assertEqual(len(self.source.runs), 1)
        self.assertEqual(self.start("run-2", Idempotency_Key="k").response.status, 422)
        self.assertEqual(self.join("run-2").response.status, 404)


class TrimmedTests(AgentTestCase):
    """A run whose beginning is no longer kept."""

    settings = Settings(window=2000)

    def test_trimmed(self) -> None:
        """It cannot be continued. A client that follows it goes on."""
        wire = self.start()
        for _ in range(40):
            self.write("x" * 100)
        answer = self.join(Last_Event_ID=self.ids(wire)[-1])
        self.assertEqual(answer.response.status, 400)
        self.assertIn("no longer kept", answer.response.error["message"])
        self.assertEqual(self.events(self.join())[0]["code"], "trimmed")
        self.end()
        self.assertEqual(len(set(self.ids(wire))), 44)
