"""
Two principals with random rights over a hundred streams, against an oracle that shares no code with the server.

The oracle knows the grants as text, and what every stream contains. Each stream has a word of its own, so a leak shows
wherever it is. `SSESERVER_TRIES` sets the number of requests,
which is 10,000 in CI.
"""

from __future__ import annotations

import os
import re
from random import Random
from typing import Any

from sseserver.settings import Settings
from sseserver.web.accept import JSON
from tests.http import CHROME, EVENTSOURCE, Response
from tests.web.access.cases import SecretsTestCase

#: Number. Requests of the test.
TRIES = int(os.environ.get("SSESERVER_TRIES", "10000" if os.environ.get("CI") else "2000"))

RIGHTS = ("read", "publish", "run", "cancel", "delete", "list")
FAMILIES = ("news", "chat", "chat-a", "x")


def holds(grants: list[str], right: str, name: str) -> bool:
    """The oracle: tell whether a grant with a right covers a name."""
    for text in grants:
        rights, pattern = text.split(":")
        if right in rights.split(",") and re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name):
            return True
    return False


class OracleTests(SecretsTestCase):
    """Random requests of two principals."""

    settings = Settings(linger=10**6)

    def setUp(self) -> None:
        super().setUp()
        self.random = Random(13)
        self.words: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.grants: dict[str, list[str]] = {}
        for number in range(100):
            self.makeStream(f"{self.random.choice(FAMILIES)}-{number}")
        for name in ("alice", "bob"):
            self.change(name)

    def makeStream(self, name: str) -> None:
        """Make a stream with its word."""
        self.words[name] = f"word{name.replace('-', '.')}end"
        self.put(name)
        self.ids[name] = self.publish(name, {"data": self.words[name]}, {"data": "2"})[0]

    def change(self, name: str) -> None:
        """Give a principal other rights, and another key."""
        grants = []
        for _ in range(self.random.randrange(1, 6)):
            family = self.random.choice(FAMILIES)
            pattern = self.random.choice([self.random.choice([*self.words]), f"{family}-*", f"{family}*", "*"])
            rights = self.random.sample(RIGHTS, self.random.randrange(1, 4))
            if "run" in rights and not pattern.endswith("*"):
                rights = ["read"]
            grants.append(f"{','.join(rights)}:{pattern}")
        self.lines = [line for line in self.lines if not line.startswith(f"{name} ")]
        self.grants[name] = grants
        self.addKey(name, *grants)

    def test_noLeak(self) -> None:
        """No answer shows a word that its principal may not read, or does what it may not do."""
        kinds = [self.read, self.resume, self.list, self.publishInto, self.cancel, self.delete_, self.open, self.link]
        seen: dict[tuple[str, bool], int] = {}
        for number in range(TRIES):
            kind = self.random.choice(kinds)
            who = self.random.choice(["alice", "bob"])
            allowed = kind(who, self.random.choice([*self.words, f"none-{number}"]))
            seen[kind.__name__, allowed] = seen.get((kind.__name__, allowed), 0) + 1
            if number % 50 == 0:
                self.change(who)
                self.leave()
        if TRIES >= 1000:
            self.assertEqual(len(seen), 2 * len(kinds), seen)

    def leave(self) -> None:
        """Close the connections of the shortcuts: each step would look at all of them."""
        for wire in self.wires:
            wire.close()
        self.wires.clear()

    def act(self, who: str, path: str, method: str = "GET", **keywords: Any) -> Response:
        """Make a request; its viewer leaves at once. Check that no foreign word is in the answer."""
        wire = self.send(path, method, self.keys[who], **keywords)
        response = wire.response
        wire.close()
        text = response.body.decode("utf-8", "replace") + repr(response.headers)
        for name, word in self.words.items():
            if word in text:
                self.assertTrue(holds(self.grants[who], "read", name), (who, path, name))
        self.assertLess(response.status, 500, response)
        return response

    def judge(self, who: str, right: str, name: str, response: Response) -> bool:
        """Check the status of an answer; return whether it was allowed."""
        allowed = holds(self.grants[who], right, name)
        if allowed:
            self.assertNotIn(response.status, {401, 403}, (self.grants[who], right, name))
        elif any(holds(self.grants[who], other, name) for other in RIGHTS):
            self.assertEqual(response.status, 403, (self.grants[who], right, name))
        else:
            self.assertEqual(response.status, 404, (self.grants[who], right, name))
            unknown = self.act(who, "/streams/no.such", accept=JSON) if right == "read" else None
            if unknown is not None and not any(holds(self.grants[who], other, "no.such") for other in RIGHTS):
                self.assertEqual(unknown.json["error"]["code"], "stream_not_found")
        return allowed

    def read(self, who: str, name: str) -> bool:
        """Read a stream in any representation."""
        accept = self.random.choice([EVENTSOURCE, JSON, "text/plain", CHROME])
        method = self.random.choice(["GET", "HEAD"])
        return self.judge(who, "read", name, self.act(who, f"/streams/{name}", method, accept=accept))

    def resume(self, who: str, name: str) -> bool:
        """Resume after the first event, by the header or the query."""
        last = self.ids.get(name, "x-1")
        if self.random.random() < 0.5:
            headers, query = {"Last-Event-ID": last}, ""
        else:
            headers, query = {}, f"?last_event_id={last}"
        response = self.act(who, f"/streams/{name}{query}", accept=EVENTSOURCE, headers=headers)
        return self.judge(who, "read", name, response)

    def list(self, who: str, name: str) -> bool:
        """List the streams, page by page."""
        query = f"?limit={self.random.choice([20, 100])}"
        names: list[str] = []
        path: str | None = f"/streams{query}"
        while path is not None:
            response = self.act(who, path)
            if not any("list" in text.split(":")[0].split(",") for text in self.grants[who]):
                self.assertEqual(response.status, 403)
                return False
            names += [stream["name"] for stream in response.json["streams"]]
            path = response.json["next"]
        wanted = [
            name
            for name in self.words
            if holds(self.grants[who], "list", name) and holds(self.grants[who], "read", name)
        ]
        self.assertEqual(sorted(names), sorted(wanted))
        return True

    def publishInto(self, who: str, name: str) -> bool:
        """Publish into a stream."""
        body = {"body": b"more", "headers": {"Content-Type": "text/plain"}}
        return self.judge(who, "publish", name, self.act(who, f"/streams/{name}", "POST", **body))

    def cancel(self, who: str, name: str) -> bool:
        """Cancel a stream."""
        response = self.act(who, f"/streams/{name}/cancel", "POST", body=b"")
        if response.status == 200:
            self.delete(name)
            self.makeStream(name)
        return self.judge(who, "cancel", name, response)

    def delete_(self, who: str, name: str) -> bool:
        """Delete a stream."""
        response = self.act(who, f"/streams/{name}", "DELETE")
        if response.status == 204:
            self.makeStream(name)
        return self.judge(who, "delete", name, response)

    def open(self, who: str, name: str) -> bool:
        """Open a stream that there is, or a new one."""
        response = self.act(who, f"/streams/{name}", "PUT")
        if response.status == 201:
            self.delete(name)
        allowed = holds(self.grants[who], "publish", name)
        self.assertEqual(response.status == 403, not allowed, response)
        return allowed

    def link(self, who: str, name: str) -> bool:
        """Make a link, and use it."""
        right = self.random.choice(["read", "publish", "delete"])
        headers = {"Content-Type": JSON}
        response = self.act(
            who, f"/streams/{name}/links", "POST", body=f'{{"rights": ["{right}"]}}'.encode(), headers=headers
        )
        if response.status == 201:
            wire = self.send(response.json["url"], accept=JSON)
            self.assertEqual(wire.response.status in {200, 404}, right == "read")
            wire.close()
        return self.judge(who, right, name, response)
