"""
Foreign parsers read our streams and agree with the published entries: Chromium's EventSource, `httpx-sse`, and npm's
`eventsource` and `eventsource-parser`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.browser import SWITCHES
from tests.integration.node import missing, nodeFolder
from tests.integration.servers import ENVIRONMENT, ask, freePort, serving, stream, twistd

#: Published as tokens and as events: pieces that some parser may take for a line end, an end of the text, a field or
#: nothing. As tokens they are published in this order, so that one CR LF spans two tokens.
PIECES = [
    *(
        "plain",
        " one space",
        "  two ",
        " ",
        "\t",
        "\u2028",
        "a\u2028b",
        "\u2029c",
        "d\x85",
        "\x0b",
        "e\x0cf",
        "\x1c\x1d\x1e",
    ),
    *("\r", "\n", "g\r", "\r\n", "\nh", "\n\n", "i\n\n\nj", "\r\r", "k\r\n\r\nl\rm\nn", "\n", "\r"),
    *("😀", "👩‍👩‍👧", "e\u0301", "\ufeff", "o\ufeff", "p\x00q", "\x00", "\x7f", "\ufffd", "\U0010ffff", "\ue000"),
    *(":", ": comment", "data: r", "data", "id: 7\n\nevent: done\ndata: {}\n\n", "retry: 1", "event: s\n", "</script>"),
    *("\n ", " \n", "x" * 10_000, "\u00a0", "\u200b", "\u202e", "end"),
]

#: Types of events, each with some of the pieces.
TYPES = ["note", "é", "a b", "a:b", "\u2028", "😀", "update", "data", "id", "message "]

#: Text of the runs, in words at a pace.
TEXT = " ".join(piece for piece in PIECES if len(piece) < 100)

#: Fixed versions, so that a new release does not fail our tests; the last ones for Node 18.
PACKAGES = ["eventsource@3.0.7", "eventsource-parser@3.1.1"]

#: Script that follows each URL until its terminal event, and then prints or returns the dispatched events.
EVENTSOURCE_SCRIPT = """
const follow = (EventSource, url, types) => new Promise((resolve, reject) => {
    const seen = [], source = new EventSource(url);
    const note = event => {
        seen.push([event.type, event.data, event.lastEventId]);
        if (event.type === "done") { source.close(); resolve(seen); }
    };
    for (const type of types) source.addEventListener(type, note);
    source.onerror = event => { source.close(); reject(new Error(`cut after ${JSON.stringify(seen.at(-1))}`)); };
});
"""

NODE_SCRIPT = (
    EVENTSOURCE_SCRIPT
    + """
import {EventSource} from "eventsource";
import {createParser} from "eventsource-parser";

const parse = async url => {
    const seen = [], decoder = new TextDecoder();
    const parser = createParser({
        onEvent: event => seen.push([event.event ?? "message", event.data, event.id]),
        onError: error => { throw error; },
    });
    const response = await fetch(url, {headers: {Accept: "text/event-stream"}});
    for await (const piece of response.body) parser.feed(decoder.decode(piece, {stream: true}));
    return seen;
};
const [kind, types, ...urls] = process.argv.slice(2);
const one = kind === "parser" ? parse : url => follow(EventSource, url, JSON.parse(types));
process.stdout.write(JSON.stringify(await Promise.all(urls.map(one))));
"""
)

#: Type, data and ID of each event that a parser read.
Reading = list[tuple[str, str, str]]


def byNode(kind: str) -> Callable[[list[str]], list[Reading]]:
    """Read with a package of npm."""
    folder = nodeFolder(NODE_SCRIPT, *PACKAGES)

    def read(urls: list[str]) -> list[Reading]:
        command = ["node", "main.js", kind, json.dumps(ALL_TYPES), *urls]
        result = subprocess.run(command, cwd=folder, capture_output=True, timeout=1200, check=False)
        assert result.returncode == 0, result.stderr.decode()
        return json.loads(result.stdout)

    return read


def byHTTPX(urls: list[str]) -> list[Reading]:
    """Read with `httpx-sse`."""

    def read(url: str) -> Reading:
        with httpx.Client(trust_env=False, timeout=120) as client, httpx_sse.connect_sse(client, "GET", url) as source:
            return [(event.event, event.data, event.id) for event in source.iter_sse()]

    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(read, urls))


#: Event types that an EventSource listens to; `failed` shows the error.
ALL_TYPES = ["message", "stream", "done", "failed", "cancelled", "gap", *TYPES]


class ForeignTests(SynchronousTestCase):
    """Each parser, live and late, in both formats, with tokens and events, for a published stream and a run."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / "text").write_bytes(TEXT.encode())
        self.port = freePort()
        listen = ["--listen", f"tcp:{self.port}:interface=127.0.0.1"]
        command = twistd("sseserver", *listen, "--text", str(folder / "text"), "--interval", "0.02")
        server = serving(command, self.port, cwd=folder, env=ENVIRONMENT)
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Send a request that must succeed, and return its JSON."""
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = ask(self.port, method, path, {"Content-Type": "application/json", **headers}, data)
        self.assertIn(status, {200, 201}, answer)
        return json.loads(answer)

    def check(self, read: Callable[[list[str]], list[Reading]]) -> None:
        """Let a parser follow the streams live and late, and compare its events with the published entries."""
        epoch = self.ask("PUT", "/streams/a")["epoch"]
        run = self.ask("POST", "/streams", {})["url"]
        paths = ["/streams/a", "/streams/a?format=text", run, f"{run}?format=text"]
        urls = [f"http://127.0.0.1:{self.port}{path}" for path in paths]
        with ThreadPoolExecutor(1) as pool:
            live = pool.submit(read, urls)
            self.untilViewers(2)
            entries = self.publish()
            liveEvents, liveText, *runs = (list(map(tuple, reading)) for reading in live.result(300))
        lateEvents, lateText, *lateRuns = (list(map(tuple, reading)) for reading in read(urls))

        for reading in (liveEvents, lateEvents):
            self.checkEvents(reading, epoch, entries)
        for reading in (liveText, lateText):
            self.checkText(reading, epoch, entries)
        # Live, each token is an event; late, adjacent tokens are one event. In the format `text` the late text is one
        # event.
        tokens = sum(kind == "token" for kind, _ in entries)
        self.assertEqual([name for name, _, _ in liveEvents].count("message"), tokens)
        self.assertEqual(len([name for name, _, _ in lateEvents if name == "message"]), len(_rows(entries)))
        self.assertEqual([data for _, data, _ in lateText[:-1]], ["", _lines("".join(map(_token, entries)))])
        self.checkRun(run, [*runs, *lateRuns])

    def publish(self) -> list[tuple[str, str]]:
        """Publish all pieces one by one, and return their types and data; tokens have the type `token`."""
        entries = [("token", piece) for piece in PIECES]
        for number, piece in enumerate(["", *PIECES]):
            entries.append((TYPES[number % len(TYPES)], piece))
            if number % 3 == 0:
                entries.append(("token", piece or "."))
        for kind, data in entries:
            self.ask("POST", "/streams/a", {"token": data} if kind == "token" else {"event": kind, "data": data})
            # Longer than a flush tick, so that no token waits for the next one.
            time.sleep(0.025)
        self.ask("POST", "/streams/a", [], **{"Stream-Closed": "true"})
        return entries

    def untilViewers(self, viewers: int) -> None:
        """Wait until a number of viewers follow."""
        deadline = time.monotonic() + 120
        while self.ask("GET", "/streams/a", Accept="application/json")["viewers"] < viewers:
            self.assertLess(time.monotonic(), deadline, "nobody follows")
            time.sleep(0.02)

    def checkEvents(self, reading: Reading, epoch: str, entries: list[tuple[str, str]]) -> None:
        """Check that in the format `events` each event is one published event, or the tokens since the event before."""
        (first, told, place), *events, (last, end, _) = reading
        self.assertEqual((first, place, json.loads(told)["epoch"]), ("stream", f"{epoch}-0", epoch))
        self.assertEqual((last, json.loads(end)["reason"]), ("done", "stop"))
        before = 0
        for name, data, identifier in events:
            number = _number(identifier, epoch)
            self.assertGreater(number, before)
            if name == "message":
                expected = _since("".join(map(_token, entries[:before])), "".join(map(_token, entries[before:number])))
            else:
                self.assertEqual((name, number), (entries[number - 1][0], before + 1))
                expected = _lines(entries[number - 1][1])
            self.assertEqual(data, expected, identifier)
            before = number
        self.assertEqual(before, len(entries))

    def checkText(self, reading: Reading, epoch: str, entries: list[tuple[str, str]]) -> None:
        """Check that in the format `text` each event is the text up to its ID."""
        *events, (last, _, _) = reading
        self.assertEqual(last, "done")
        for name, data, identifier in events:
            text = "".join(map(_token, entries[: _number(identifier, epoch)]))
            self.assertEqual((name, data), ("message", _lines(text)), identifier)
        self.assertEqual(events[0][1:], ("", f"{epoch}-0"))
        self.assertEqual(events[-1][1], _lines("".join(map(_token, entries))))

    def checkRun(self, url: str, readings: list[Reading]) -> None:
        """Check that the text of a run is the text of the file, and that our own decoder agrees."""
        events, text, lateEvents, lateText = readings
        own = [(event.type, event.data, event.id) for event in stream(self.port, url)]
        # Everything but the state, which was different before the end.
        self.assertEqual(lateEvents[1:], own[1:])
        for reading in (events, lateEvents):
            self.assertEqual("".join(data for name, data, _ in reading if name == "message"), _lines(TEXT))
        for reading in (text, lateText):
            self.assertEqual(reading[-2][1], _lines(TEXT))

    def test_httpxSSE(self) -> None:
        """`httpx-sse` agrees with the published entries."""
        self.check(byHTTPX)

    def test_eventsource(self) -> None:
        """npm's `eventsource` agrees with the published entries."""
        self.check(byNode("eventsource"))

    def test_eventsourceParser(self) -> None:
        """npm's `eventsource-parser` agrees with the published entries."""
        self.check(byNode("parser"))

    def test_chromium(self) -> None:
        """Chromium's EventSource agrees with the published entries."""
        browser = self.startBrowser()
        # Any document of the same origin without a script.
        browser.get(f"http://127.0.0.1:{self.port}/assets/app.css")
        browser.set_script_timeout(300)

        def read(urls: list[str]) -> list[Reading]:
            script = f"""
                {EVENTSOURCE_SCRIPT}
                const [urls, types, done] = arguments;
                Promise.all(urls.map(url => follow(EventSource, url, types))).then(done, error => done(String(error)));
            """
            seen: Any = browser.execute_async_script(script, urls, ALL_TYPES)
            self.assertIsInstance(seen, list, seen)
            return seen

        self.check(read)

    def startBrowser(self) -> Any:
        """Start Chromium with an empty profile."""
        for program in ("chromium", "chromedriver"):
            if shutil.which(program) is None:
                raise missing(f"{program} is not installed")
        try:
            from selenium.webdriver import Chrome, ChromeOptions
            from selenium.webdriver.chrome.service import Service
        except ImportError:
            raise missing("selenium is not installed") from None
        profile = tempfile.mkdtemp(prefix="sseserver-")
        self.addCleanup(shutil.rmtree, profile, ignore_errors=True)
        options = ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for switch in [*SWITCHES, f"--user-data-dir={profile}"]:
            options.add_argument(switch)
        browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.addCleanup(browser.quit)
        return browser


def _token(entry: tuple[str, str]) -> str:
    """Return the text that an entry adds."""
    kind, data = entry
    return data if kind == "token" else ""


def _rows(entries: list[tuple[str, str]]) -> list[int]:
    """Return the places at which rows of tokens begin."""
    kinds = [kind for kind, _ in entries]
    return [
        number for number, kind in enumerate(kinds) if kind == "token" and (number == 0 or kinds[number - 1] != kind)
    ]


def _lines(text: str) -> str:
    """Return a text as a parser has it: with LF for each CR LF, CR and LF, and nothing else (section 9.2.5)."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _since(before: str, text: str) -> str:
    """Return the text after another text; the LF of a CR LF that was cut in two belongs to the first one."""
    return _lines(text[1:] if before.endswith("\r") and text.startswith("\n") else text)


def _number(identifier: str, epoch: str) -> int:
    """Return the number in an event ID."""
    before, _, number = identifier.rpartition("-")
    assert before == epoch, identifier
    return int(number)
