"""
An upstream: an OpenAI-compatible API whose answers the seed scripts, and the proxy before it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from random import Random
from typing import Any

from tests.simulation.facts import Work
from tests.simulation.history import History
from tests.simulation.network import Network
from tests.simulation.sources import Script, Scripts

#: Port of the upstream.
UPSTREAM_PORT = 9000

#: Port of the proxy before it.
PROXY_PORT = 9001

#: Seconds that the server waits for a connection.
CONNECT_TIMEOUT = 5

#: Key of the upstream, and password of the proxy. No client may see it.
SECRET = "sk-simulated-secret"

#: Bodies of an upstream's errors.
_ERRORS = (
    b'{"error": {"message": "Slow down"}}',
    b'{"error": {"message": "Slow down", "type": "rate_limit", "code": "slow", "param": null}}',
    b'{"detail": [{"msg": "Slow down"}]}',
    b'[{"error": {"message": "Key %b is not known", "status": "UNAUTHENTICATED", "code": 401}}]' % SECRET.encode(),
    b'{"error": {"message": "No such key", "code": "invalid_api_key"}}',
    b'{"error": "Slow down, %b"}' % SECRET.encode(),
    b'{"message": {"detail": "Slow down"}, "code": "429", "type": "insufficient_quota"}',
    b"<html>Slow down</html>",
    b"",
)

#: Statuses of an upstream that refuses.
_STATUSES = (
    b"400 Bad Request",
    b"401 Unauthorized",
    b"402 Payment Required",
    b"403 Forbidden",
    b"404 Not Found",
    b"418 I'm a teapot",
    b"429 Too Many Requests",
    b"500 Internal Server Error",
    b"502 Bad Gateway",
    b"503 Service Unavailable",
    b"529 Overloaded",
)


class Upstream:
    """
    An OpenAI-compatible API whose answers the seed scripts, on a port of the network.

    Args:
        network: Of the simulation.
        scripts: Writes the answers.
        chance: Decides how they are sent.
        history: Takes the verdicts about requests.
    """

    def __init__(self, network: Network, scripts: Scripts, chance: Random, history: History) -> None:
        self.network = network
        self.history = history
        self.scripts = scripts
        self.chance = chance
        network.listen(UPSTREAM_PORT, lambda sock, peer: _Answerer(self, sock))
        network.listen(PROXY_PORT, lambda sock, peer: _Answerer(self, sock, proxy=True))


class _Answerer:
    """One connection of the upstream, or of the proxy before it."""

    def __init__(self, upstream: Upstream, sock: Any, proxy: bool = False) -> None:
        self._upstream = upstream
        self._proxy = proxy
        self._socket = sock
        self._received = b""
        self._out = b""
        self._ending = False
        self._asked = False
        sock.watch = self._work

    def _work(self) -> None:
        sock = self._socket
        if sock.closed:
            return
        try:
            while sock.readable:
                data = sock.recv(16384)
                if not data:
                    sock.close()
                    return
                self._received += data
            self._read()
            while self._out and sock.writable:
                self._out = self._out[sock.send(self._out) :]
            if self._ending and not self._out:
                sock.close()
        except OSError:
            sock.close()

    def _read(self) -> None:
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._asked:
            return
        self._check(head)
        if head.startswith(b"GET"):
            self._received = body
            self._answer(b"application/json", json.dumps({"data": [{"id": "simulated"}]}).encode())
            return
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return
        self._received = b""
        if b"/v1/chat/completions" not in head.split(b"\r\n", 1)[0]:
            # It speaks nothing else.
            self._answer(b"text/plain", b"Not Found", b"404 Not Found")
            return
        self._asked = True
        self._start(json.loads(body[:length]))

    def _check(self, head: bytes) -> None:
        """Check the credentials of a request, and that the proxy is told whom to ask."""
        lines = head.decode("ascii").split("\r\n")
        wanted = {f"authorization: bearer {SECRET}", f"x-tenant: {SECRET}"}
        if self._proxy:
            wanted.add("proxy-authorization: basic " + b64encode(f"user:{SECRET}".encode()).decode("ascii").lower())
        missing = wanted - {line.lower() for line in lines[1:]}
        whole = f" http://127.0.0.1:{UPSTREAM_PORT}/v1/" in lines[0]
        if missing or whole != self._proxy:
            self._upstream.history.blame("upstream", f"{lines[0]!r} without {sorted(missing)}")

    def _answer(self, kind: bytes, body: bytes, status: bytes = b"200 OK") -> None:
        self._out += b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
            status,
            kind,
            len(body),
            body,
        )

    def _start(self, asked: dict[str, Any]) -> None:
        """Begin the answer that the seed wants."""
        chance = self._upstream.chance
        prompt = asked["messages"][-1]["content"]
        self._upstream.scripts.truth.asked[prompt] += 1
        how = chance.random()
        if how < 0.08:
            self._answer(b"application/json", chance.choice(_ERRORS), chance.choice(_STATUSES))
            self._asked = False
            return
        if how < 0.12:
            self._socket.reset()
            return
        script = self._upstream.scripts.write(prompt)
        if len(script.tokens) == 1 and not script.fails and chance.random() < 0.5:
            self._answerWhole(script)
            return
        self._out += b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        if chance.random() < 0.7:
            self._send({"delta": {"role": "assistant", "content": ""}})
        if chance.random() < 0.3:
            for arguments in ("", '{"city":', '"x"}'):
                call = {"index": 0, "function": {"arguments": arguments}}
                if not arguments:
                    call |= {"id": "call_1", "type": "function"}
                    call["function"] |= {"name": "weather"}
                self._send({"delta": {"tool_calls": [call]}})
        if chance.random() < 0.3:
            self._send({"delta": {"reasoning_content": "Hmm"}, "logprobs": {"content": [{"token": "x"}]}})
        self._next(script, 0, how > 0.2)

    def _answerWhole(self, script: Script) -> None:
        """Answer in one piece, as some APIs do whatever they are asked for."""
        work = self._upstream.scripts.truth.works[script.run]
        work.written, work.end = 1, "ok"
        message = {"role": "assistant", "content": script.tokens[0], "x_unknown": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        answer = {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}
        self._answer(b"application/json", json.dumps(answer).encode())
        self._asked = False

    def _next(self, script: Script, index: int, whole: bool) -> None:
        """Send the next token, or the end."""
        if self._socket.closed or self._socket.broken:
            return
        work = self._upstream.scripts.truth.works[script.run]
        if index == len(script.tokens):
            self._end(work, whole, script.fails)
            return

        def send() -> None:
            work.written += 1
            self._send({"delta": {"content": script.tokens[index]}})
            self._work()
            self._next(script, index + 1, whole)

        self._upstream.network.world.after(script.pauses[index], send)

    def _end(self, work: Work, whole: bool, fails: bool) -> None:
        if fails:
            work.end = "fail"
            self._event('{"error": {"message": "The script says so.", "code": 500}}')
        elif whole:
            work.end = "ok"
            self._send({"delta": {}, "finish_reason": "stop"})
            if self._upstream.chance.random() < 0.5:
                usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
                self._event(json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": usage}))
            self._event("[DONE]")
        else:
            # A response that simply ends is no success.
            work.end = "cut"
        self._out += b"0\r\n\r\n"
        self._asked = False
        self._ending = self._upstream.chance.random() < 0.3
        self._work()

    def _send(self, choice: dict[str, Any]) -> None:
        self._event(json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}))

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self._out += b"%x\r\n%b\r\n" % (len(event), event)
