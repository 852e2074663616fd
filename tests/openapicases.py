"""
A server whose answers are judged by its own OpenAPI document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from sseserver.apis.root import StreamResource
from sseserver.errors import KeysUnavailable, SourceError, StoreUnavailable
from sseserver.settings import Settings
from sseserver.stores.memory import MemoryStore
from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.access.jwts import TokenRules, TokenVerifier
from tests.described import Judge, Outcome, Told
from tests.http import EVENTSOURCE, Response, makeRequest
from tests.recording.answers import ANSWERS
from tests.recording.recorder import ScriptedModels
from tests.web.access.cases import SecretsTestCase
from tests.web.access.tokens import makeToken

__all__ = ["DescribedTestCase", "Outcome", "readRecorded"]

#: Seconds. After this time a request that is not complete is refused.
LONG = 40.0

HELLO = b'{"messages": [{"role": "user", "content": "Hello"}], "stream": true}'
LEGACY = b'{"prompt": "Hello", "stream": true}'
CHAT = b'{"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}'

MESSAGE = b'{"model": "script", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}], "stream": true}'
RESPONSE = b'{"input": "Hello", "stream": true}'
AGENT = b'{"threadId": "t", "runId": "r", "messages": [{"role": "user", "content": "Hello"}]}'

#: Bodies of the operations that need one.
BODIES = {
    "/v1/chat/completions": HELLO,
    "/v1/completions": LEGACY,
    "/v1/messages": MESSAGE,
    "/v1/responses": RESPONSE,
    "/v1/messages/count_tokens": MESSAGE,
    "/api/chat": CHAT,
    "/agui": AGENT,
    "/streams/{name}/links": b'{"rights": ["publish"]}',
}

#: Paths whose streams are seen by a client that may not read them.
_SHOWN = {"/", "/streams/{name}", "/durable/{name}", "/v1/responses/{id}", "/v1/responses/{id}/input_items"}

#: The operations that start runs, with their bodies.
STARTS = (
    ("/agui", AGENT),
    ("/api/chat", CHAT),
    ("/v1/chat/completions", HELLO),
    ("/v1/completions", LEGACY),
    ("/v1/messages", MESSAGE),
    ("/v1/responses", RESPONSE),
    ("/streams", b"{}"),
)


def readRecorded() -> list[Told]:
    """Read the recorded answers, without those of a site whose resource is mounted below a path."""
    told = []
    text = re.sub("<epoch ([0-9]+)>", lambda found: found[1].zfill(22), ANSWERS.read_text("ascii"))
    for answer in json.loads(text):
        words = answer["request"].partition("\n")[0].split(" ")
        if "status" not in answer or answer["scenario"] == "recordMounted" or len(words) < 3:
            continue
        body = None if re.match("<[0-9]+ bytes", answer["body"]) else answer["body"].encode()
        told.append(Told(words[0], words[1], int(answer["status"].rpartition(" ")[2]), answer["headers"], body))
    return told


class MissingKeys:
    """Keys in the network that cannot be fetched."""

    def knows(self, digest: bytes) -> bool:
        """See `KeySet.knows`."""
        return False

    def find(self, kid: str | None) -> Deferred[Any]:
        """See `KeySet.find`."""
        return fail(KeysUnavailable("The keys cannot be fetched."))


class FullStore:
    """
    A store that can do nothing for a time.

    Args:
        store: Does everything when it can.

    Attributes:
        isFull: Whether it can do nothing.
    """

    def __init__(self, store: MemoryStore) -> None:
        self.isFull = False
        self._store = store

    def __getattr__(self, name: str) -> Any:
        isRefused = self.isFull and name in {"create", "list", "describe", "find", "publish", "end", "delete"}
        return _refuse if isRefused else getattr(self._store, name)


def _refuse(*_: object, **__: object) -> Deferred[Any]:
    return fail(StoreUnavailable("The store is full."))


class DescribedTestCase(SecretsTestCase):
    """
    A server with credentials of all kinds, and the judge of its answers.

    Attributes:
        document: Its document.
        judge: Judges by it.
    """

    #: Codes that other tests show: a bug of the server, and foreign values in a Redis.
    ELSEWHERE = frozenset({"internal_error", "store_damaged"})

    #: Outcomes that other tests show: a chat and a run of AG-UI are looked up in a store only if servers share that.
    UNTRIED = frozenset(Outcome(name, "503", "store_unavailable") for name in ("resumeChat", "joinAgentRun"))

    def setUp(self) -> None:
        super().setUp()
        # They are asked for tokens only.
        self.tokens = TokenVerifier(TokenRules("HS256", "issuer", "here"), MissingKeys(), self.reactor.seconds)
        self.credentials.replace(self.makeSecrets())
        self.guarded = self.makeSite()
        self.judge = self.makeJudge(self.guarded)
        self.document = self.connect(self.guarded).ask("/openapi.json").json

    def makeSite(self) -> Any:
        """Make a site of the newest service that answers to loopback names, and asks for credentials."""
        return self.site(StreamResource(self.service, None, self.credentials, ()))

    def makeJudge(self, site: Any) -> Judge:
        """Make a judge by the document of a site."""
        return Judge(self.connect(site).ask("/openapi.json").json)

    def check(self, target: str, method: str = "GET", credential: str | None = None, **keywords: Any) -> Response:
        """Send a request, and judge the answer; return it."""
        response: Response = self.send(target, method, credential, **keywords).response
        body = response.body if response.complete else None
        self.judge.judge(Told(method, target, response.status, response.headers, body))
        return response

    def checkBytes(self, data: bytes, method: str, target: str) -> None:
        """Send a request as it is written, and judge the answer, which may take its time."""
        wire = self.connect(self.guarded)
        wire.methods.append(method)
        wire.send(data)
        self.reactor.advance(LONG)
        response = wire.response
        self.judge.judge(Told(method, target, response.status, response.headers, response.body))

    def listOperations(self) -> list[tuple[str, str]]:
        """Return method and target of each operation."""
        paths = self.judge.paths
        return [(method.upper(), path) for path, methods in paths.items() for method in methods]

    def breakRequests(self) -> None:
        """Send requests to each operation that are refused before a resource sees them."""
        for method, path in self.listOperations():
            target = fill(path)
            whole = makeRequest(target, method=method)
            for line in (
                b"Transfer-Encoding: gzip",
                b"Expect: more",
                b"Content-Encoding: gzip",
                b"X-Long: " + b"x" * 20_000,
                b"Content-Length: 10737418240",
                b"Content-Length: 1",
                b"Origin: http://evil.example",
            ):
                self.checkBytes(whole[:-2] + line + b"\r\n\r\n", method, target)
            self.checkBytes(whole.replace(b"localhost", b"evil.example"), method, target)
            long = target + "?" + "x" * 20_000
            self.checkBytes(makeRequest(long, method=method), method, long)

    def lackRights(self) -> None:
        """Send requests without a credential, and with one that lacks the right, to each operation."""
        reader, publisher = self.addKey("reader", "read:*"), self.addKey("publisher", "publish:*")
        self.put("news")
        for method, path in self.listOperations():
            key = publisher if method == "GET" and path in _SHOWN else reader
            accept = EVENTSOURCE if path == "/" else None
            body = BODIES.get(path, b"{}") if method == "POST" else None
            for credential in (None, key, makeToken()):
                self.check(fill(path), method, credential, accept=accept, body=body)

    def exceedLimits(self) -> None:
        """Reach the limits of a client, and those of the server."""
        key = {"Authorization": f"Bearer {self.addKey('all', 'read,publish,run,cancel,delete,list:*')}"}
        few = Settings(maxViewersPerClient=1, runsPerMinute=2, publishesPerSecond=1)
        for settings in (few, Settings(maxViewers=1)):
            self.serve(self.source, settings)
            self.guarded = self.makeSite()
            self.check("/streams/news", "PUT", headers=key)
            self.check("/streams/news", "PUT", headers=key)
            self.check("/streams/news", "POST", body=b'{"token": "a"}', headers=key)
            # Its viewer is gone before the next one comes.
            self.send("/agui", "POST", body=AGENT, headers=key).close()
            self.check("/api/chat", "POST", body=CHAT, headers=key)
            for path, body in STARTS:
                self.check(path, "POST", body=body, headers=key)
            for target in (
                "/agui?runId=r",
                "/api/chat/c/stream",
                "/durable/news?offset=-1&live=sse",
                "/streams/news?format=openai",
                "/?format=openai",
            ):
                self.check(target, headers=key)

    def breakStore(self) -> None:
        """Send a request to each operation, in each format, that a store refuses."""
        store = FullStore(MemoryStore(self.reactor, 1 << 20))
        self.serve(self.source, store=store)
        store.isFull = True
        self.guarded = self.makeSite()
        key = self.addKey("keeper", "read,publish,run,cancel,delete,list:*")
        for method, path in self.listOperations():
            body = BODIES.get(path, b"{}") if method == "POST" else None
            if (method, path) == ("POST", "/streams/{name}"):
                body = b'{"token": "a"}'
            self.check(fill(path), method, key, body=body)
            for form in ("events", "text", "openai", "ui") if method == "GET" else ():
                self.check(f"{fill(path)}?format={form}", method, key)
                self.check(f"{fill(path)}?format={form}&last_event_id={'0' * 22}-1", method, key)
        store.isFull = False

    def useCredentials(self) -> None:
        """Send requests whose answers the recording does not have."""
        self.serve(self.source)
        self.guarded = self.makeSite()
        every = self.addKey("every", "read,publish,run,cancel,delete,list:*")
        some = self.addKey("some", "read:news")
        self.check("/session", "POST", every)
        self.check("/session", "DELETE")
        for target in ("/openapi.json", "/favicon.ico"):
            self.check(target)
            self.check(target, headers={"If-None-Match": "*"})
        self.check("/healthz")
        self.check("/readyz")
        for name, key, body in (("news", every, b""), ("news", every, b'{"seconds": 0}'), ("other", some, b"")):
            self.check(f"/streams/{name}/links", "POST", key, body=body)
        self.check("/streams", "POST", every, body=HELLO.replace(b"{", b'{"model": "other", ', 1))
        for body in (b'{"event": "gap", "data": ""}', b'{"event": "a\\r", "data": ""}', b'{"event": "", "data": ""}'):
            self.check("/streams/a", "PUT", every, body=body)
        for text in (b"a", b"b"):
            headers = {"Idempotency-Key": "k", "Content-Type": "text/plain"}
            self.check("/streams/b", "PUT", every, body=text, headers=headers)
        for path, body in (("/api/chat", CHAT), ("/agui", AGENT)):
            for other in (
                body,
                body.replace(b"Hello", b"Bye"),
                body.replace(b"{", b'{"model": "x", "forwardedProps": {"model": "x"}, ', 1),
            ):
                self.check(path, "POST", every, body=other, headers={"Idempotency-Key": "k"})
        self.continueRun(every)
        self.readDurable(every)
        self.check("/", accept=EVENTSOURCE, credential=every, headers={"Origin": "http://evil.example"})
        self.useMessages(every)
        self.useResponses(every)
        self.credentials.replace(self.makeSecrets(()))
        self.check("/streams/news/links", "POST", every)
        self.service.leave()
        self.check("/readyz")
        self.failSource(every)

    def useMessages(self, key: str) -> None:
        """Send requests for messages whose answers the recording does not have."""
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            for body in (b"{}", MESSAGE.replace(b"script", b"other")):
                self.check(path, "POST", key, body=body)
        self.check("/v1/messages/count_tokens", "POST", key, body=MESSAGE)
        headers = {"Idempotency-Key": "k"}
        self.askMessage(key, lambda run: run.end(), MESSAGE, headers=headers)
        self.check("/v1/messages", "POST", key, body=MESSAGE.replace(b"Hello", b"Bye"), headers=headers)
        whole = MESSAGE.replace(b"true", b"false")
        self.askMessage(key, lambda run: run.end(), whole)
        for status in (429, 502):
            self.askMessage(key, lambda run, status=status: run.fail(SourceError("No.", status=status)), whole)
        self.askMessage(key, self.cancelNewest, whole)
        self.serve(self.source, Settings(window=1 << 16))
        self.guarded = self.makeSite()
        self.askMessage(key, lambda run: run.write("x" * 100_000), whole)

    def useResponses(self, key: str) -> None:
        """Send requests for responses whose answers the recording does not have."""
        for settings in (Settings(maxViewersPerClient=1), Settings(maxViewers=1)):
            self.serve(self.source, settings)
            self.guarded = self.makeSite()
            wire = self.send("/v1/responses", "POST", key, body=RESPONSE.replace(b"{", b'{"background": true, ', 1))
            name = json.loads(wire.response.events[0].data)["response"]["id"]
            self.check(f"/v1/responses/{name}?stream=true", credential=key)
        self.serve(self.source, Settings(window=1 << 16))
        self.guarded = self.makeSite()
        wire = self.send("/v1/responses", "POST", key, body=RESPONSE.replace(b"true", b"false"))
        self.source.run.write("x" * 100_000)
        self.reactor.advance(1)
        told = wire.response
        self.judge.judge(Told("POST", "/v1/responses", told.status, told.headers, told.body))

    def cancelNewest(self, run: object) -> None:
        """Cancel the newest stream."""
        newest = self.ask("/streams").json["streams"][0]["url"]
        self.assertEqual(self.ask(f"{newest}/cancel", method="POST").status, 200)

    def askMessage(self, key: str, act: Callable[[Any], object], body: bytes, **keywords: Any) -> None:
        """Ask for a message, let something happen to its run, and judge the answer."""
        wire = self.send("/v1/messages", "POST", key, body=body, **keywords)
        act(self.source.run)
        self.reactor.advance(1)
        told = wire.response
        self.judge.judge(Told("POST", "/v1/messages", told.status, told.headers, told.body))

    def continueRun(self, key: str) -> None:
        """Continue a run of AG-UI after its last event, and ask for one whose ID is malformed."""
        wire = self.send("/agui", "POST", key, body=AGENT)
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        last = wire.response.events[-1].id
        self.check("/agui", "POST", key, body=AGENT, headers={"Last-Event-ID": last})
        self.check(f"/agui?runId=r&offset={last}", "GET", key)
        self.check("/agui?runId=%20", "GET", key)

    def readDurable(self, key: str) -> None:
        """Start and resume a chat for a reader of Durable Streams, and read it."""
        for method, target in (("POST", "/api/chat"), ("GET", "/api/chat/c/stream")):
            body = CHAT if method == "POST" else None
            url = self.check(target, method, key, body=body, headers={"Prefer": "respond-async"}).json["streamUrl"]
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.check(url)
        self.check(url, headers={"If-None-Match": "*"})
        self.check("/durable/none", credential=key)
        self.check(f"{url}&offset=now&live=long-poll")
        self.check(f"{url}&offset={0:019}_{'0' * 22}&live=sse")

    def failSource(self, key: str) -> None:
        """Ask for the models of a source that cannot list them."""
        for status in (429, 502):
            problem = SourceError("There are no models.", status=status)
            self.serve(ScriptedModels(lambda problem=problem: fail(problem)))
            self.guarded = self.makeSite()
            self.check("/v1/models", credential=key)
            self.check("/v1/models/a", credential=key)


def fill(path: str) -> str:
    """Return a target of a path."""
    path = path.replace("/responses/{id}", "/responses/resp_news")
    return path.replace("{name}", "news").replace("{file}", "app.js").replace("{id}", "c")
