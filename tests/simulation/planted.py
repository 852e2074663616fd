"""
Planted bugs: does the simulation notice when the server is broken?

`python -m tests.simulation.planted` copies the tree, breaks the copy in one way after the other, and runs seeds until
one breaks a promise. `python -m tests.simulation.planted WORD` plants only the bugs whose names contain the word.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.simulation.play import play
from tests.simulation.runner import Play

ROOT = Path(__file__).resolve().parent.parent.parent

#: Seeds in which each bug must be found.
SEEDS = 200

_FOUND = re.compile("seed ([0-9]+): (.*)")


@dataclass(frozen=True, slots=True)
class Bug:
    """
    One way to break the server.

    Attributes:
        name: The fault.
        file: The module, below the package.
        old: Text that stands there once.
        new: Text that replaces it.
    """

    name: str
    file: str
    old: str
    new: str

    def plant(self, root: Path) -> None:
        """
        Plant the bug into a copy of the tree.

        Raises:
            LookupError: The text does not stand there exactly once.
        """
        path = root / "sseserver" / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            raise LookupError(f"{self.name}: {self.old!r} stands {text.count(self.old)} times in {self.file}")
        path.write_text(text.replace(self.old, self.new), "utf-8")


BUGS = (
    Bug("rights without an end", "delivery/producer.py", "        if now >= self.expires:\n", "        if now < 0:\n"),
    Bug("strangers see", "web/access/rights.py", "    if principal.allows(right, name):\n", "    if True:\n"),
    Bug("ack before commit", "streams/log.py", "        if self.last == appended:\n", "        if appended:\n"),
    Bug(
        "visible before commit",
        "streams/log.py",
        "            self.sealed = True\n        if self._durable:\n            self._keeper.write(self)\n",
        "            self.sealed = True\n        if self._durable:\n            self._keeper.write(self)\n"
        "            self.commit(number)\n",
    ),
    Bug(
        "lost wake-up after a flush tick",
        "streams/followed.py",
        "            self.sole.wake()\n        elif self._round is None",
        "            return\n        elif self._round is None",
    ),
    Bug(
        "resume one too far",
        "streams/log.py",
        "        return number\n\n    def measureAhead",
        "        return min(number + 1, self.last)\n\n    def measureAhead",
    ),
    Bug(
        "resume one too early",
        "streams/log.py",
        "        return number\n\n    def measureAhead",
        "        return max(start, number - 1)\n\n    def measureAhead",
    ),
    Bug(
        "an ID of any epoch is taken",
        "streams/log.py",
        "if number > (self.last if epoch == self.epoch else min(self.last, self.earlier.get(epoch, -1))):",
        "if False:",
    ),
    Bug(
        "wrong number of missed entries",
        "streams/log.py",
        'raise GapError("trimmed", start, start - number)',
        'raise GapError("trimmed", start, start - number + 1)',
    ),
    Bug(
        "silent gap",
        "streams/log.py",
        '            raise GapError("trimmed", start, start - number)\n',
        "            return start\n",
    ),
    Bug("ack of a refused publish", "streams/log.py", "stored.errback(error)", "stored.callback(None)"),
    Bug(
        "the key of a refused publish is kept",
        "streams/log.py",
        "if use.last <= self.last}",
        "if use.last}",
    ),
    Bug(
        "refused entries stay in the ledger",
        "streams/log.py",
        "self.account.used -= self.buffer.cut(self.last)",
        "self.buffer.cut(self.last)",
    ),
    Bug(
        "a deleted stream stays in the ledger",
        "stores/memory.py",
        "self.account(streamLog.published).subtract(streamLog.drop(), isOpen)",
        "streamLog.drop()",
    ),
    Bug(
        "a prompt stays in the ledger",
        "service/runqueue.py",
        "            run.prompt.release()\n",
        "            pass\n",
    ),
    Bug(
        "the key of a deleted run stays in the ledger",
        "service/localdirectory.py",
        "            self._digests.pop(key, None)\n            self._account.subtract(KEY_COST + len(key))\n",
        "            self._digests.pop(key, None)\n",
    ),
    Bug(
        "forgotten terminal entry",
        "service/run.py",
        "        if appends and entry is not None and not self.streamLog.sealed:\n",
        '        if appends and entry is not None and not self.streamLog.sealed and b"linger" not in entry.data:\n',
    ),
    Bug(
        "done in place of failed",
        "service/run.py",
        "return packFailed(failure.value)",
        'return packDone("stop", 0)',
    ),
    Bug(
        "an end before the last tokens",
        "service/run.py",
        "            self._append(_TOKEN, frames.encodeText(token))",
        "            number = self.streamLog.last\n"
        "            if not (number and number % 7 == 0):\n"
        "                self._append(_TOKEN, frames.encodeText(token))",
    ),
    Bug(
        "a pause is never evaluated again",
        "service/pause.py",
        "> self._enough:",
        ">= 0:",
    ),
    Bug(
        "the linger never ends",
        "service/linger.py",
        "        if not self._streamLog.viewers:\n            self._end()\n",
        "        return\n",
    ),
    Bug(
        "a turn is never given back",
        "service/runturns.py",
        "        self._turns.release()\n        return result\n",
        "        return result\n",
    ),
    Bug(
        "the key of a refused run is kept",
        "service/startkeys.py",
        "        self._directory.release(key, error=failure.value)\n",
        "",
    ),
    Bug(
        "the key of a run is not looked up",
        "service/startkeys.py",
        "        if stream is None:\n",
        "        if True:\n",
    ),
    Bug(
        "the key of a publish is not looked up",
        "stores/publishing.py",
        "use = streamLog.keys.get(key)",
        "use = None",
    ),
    Bug(
        "a refused group of runs is dropped",
        "stores/persistent.py",
        "                self.pending.dirty[entries.stream] = entries.log\n",
        "                pass\n",
    ),
    Bug(
        "epochs are used again after a loss of power",
        "stores/sqlite/database.py",
        "if (rebooted and not clean) or _isCopy(file, original, rebooted):",
        "if False:",
    ),
    Bug(
        "interrupted runs have no end",
        "stores/sqlite/database.py",
        "        self._interruptRuns()\n",
        "",
    ),
    Bug(
        "entries that are not filed are lost",
        "stores/sqlite/database.py",
        'ORDER BY place"):',
        'ORDER BY place LIMIT 2"):',
    ),
    Bug(
        "204 for a viewer without the terminal event",
        "web/viewing.py",
        ".complete(number)",
        ".complete(streamLog.last)",
    ),
    Bug(
        "no 204 after the terminal event",
        "web/viewing.py",
        ".complete(number)",
        ".complete(-1)",
    ),
    Bug(
        "the halves of a CR LF are two line ends",
        "formats/events.py",
        "if text[0] == _LF and self._followsCR(index):",
        "if False:",
    ),
    Bug(
        "a stale frame for the newest entry",
        "formats/rendering.py",
        "            if self._newestAt == last:\n                return self._newest\n",
        "            if self._newestAt:\n                return Reading(last, self._newest.data)\n",
    ),
    Bug(
        "a joined event with the ID before its last entry",
        "formats/rendering.py",
        "self.addPiece(last, text, index, parts)",
        "self.addPiece(last - 1, text, index, parts)",
    ),
    Bug(
        "[DONE] after a failure",
        "formats/openai.py",
        "        return self._event(number, error)",
        "        return self._event(number, _DONE)",
    ),
    Bug(
        "no reading after a pause",
        "delivery/producer.py",
        '            self.finish("refused")\n        self.wake()\n',
        '            self.finish("refused")\n',
    ),
    Bug(
        "viewers never leave the log",
        "delivery/producer.py",
        "        self.streamLog.leave(self)\n        self._delivery.onEnd(self)\n",
        "        self._delivery.onEnd(self)\n",
    ),
    Bug(
        "the response stays open after the end",
        "delivery/producer.py",
        '                        self.finish("complete")\n',
        "                        pass\n",
    ),
    Bug(
        "the rest of a partial send is lost",
        "speedups/sendbuffer.py",
        "            waiting = waiting[sent:]\n",
        '            waiting = b"" if sent else waiting\n',
    ),
    Bug(
        "a chunk is framed as the one before",
        "speedups/body.py",
        "if data is not self._framed:",
        "if len(data) != len(self._framed):",
    ),
    Bug(
        "an answer without its end is a success",
        "sources/upstreamanswer.py",
        "            elif self.relay.finishReason is None:\n",
        "            elif False:\n",
    ),
    Bug("a page repeats the stream before it", "stores/listing.py", "newest), 1, None)", "newest), 0, None)"),
    Bug(
        "a deleted stream comes back with a restart",
        "stores/sqlite/database.py",
        '(("segments", "stream"), ("keys", "stream"), ("streams", "number"))',
        '(("segments", "stream"), ("keys", "stream"))',
    ),
    Bug("a stream with viewers ends as idle", "service/idle.py", "if stream.viewers:", "if False:"),
    Bug("idle streams never end", "service/idle.py", "        return self._end(stream)\n", "        return None\n"),
    Bug("the key of a failed run is kept", "service/startkeys.py", "return kind == Kind.FAILED", "return False"),
    Bug("the exit status is ignored", "sources/process.py", "        elif status:\n", "        elif False:\n"),
    Bug(
        "a character is cut in two",
        "sources/process.py",
        "self._write(self._decoder.decode(data))",
        'self._write(data.decode("utf-8", "replace"))',
    ),
    Bug(
        "the rest of a program's output is lost",
        "sources/process.py",
        '(self._left,) = unpack("i", ioctl(self._output.file, FIONREAD, bytes(4)))',
        "self._left = 0",
    ),
    Bug("programs stay zombies", "sources/process.py", "        self._process.wait()\n", ""),
    Bug(
        "a stop cuts the responses",
        "service/drain.py",
        "self._schedule(self._seconds, self._endRuns)",
        "self._schedule(0, self._cut)",
    ),
    Bug(
        "the client does not resume",
        "client/request.py",
        'headers.setRawHeaders(b"Last-Event-ID", [self.lastEventID.encode("utf-8")])',
        "pass",
    ),
    Bug(
        "keys are forgotten with the oldest entries",
        "streams/log.py",
        "self.keys = {key: use for key, use in self.keys.items() if use.last >= buffer.first}",
        "self.keys = {}",
    ),
    Bug(
        "a client may have one more than its limit",
        "service/clients.py",
        "self.counts.get(client.name) < limit",
        "self.counts.get(client.name) <= limit",
    ),
    Bug(
        "shares are never given back",
        "service/clients.py",
        "            self.counts.remove(client.name)\n",
        "            pass\n",
    ),
    Bug(
        "guests have no limits",
        "service/clients.py",
        'return Client(f"principal {name}", False) if name else None',
        "return None",
    ),
    Bug("each address of a network is a client", "service/clients.py", "_SITE_BITS = 64", "_SITE_BITS = 128"),
    Bug("Retry-After is a second too short", "service/clients.py", "math.ceil(wait)", "math.floor(wait)"),
    Bug(
        "permits come back too late",
        "service/buckets.py",
        "self._turned, period / size",
        "self._turned, 2 * period / size",
    ),
    Bug(
        "permits come back too early",
        "service/buckets.py",
        "self._turned, period / size",
        "self._turned, period / size / 2",
    ),
    Bug(
        "what a client says about its address is believed",
        "web/access/proxies.py",
        "            if not self.trusts(found):\n",
        "            if not entry:\n",
    ),
    Bug(
        "everybody is a proxy",
        "web/access/proxies.py",
        "            return self._trustsHost(address.host)\n",
        "            return bool(self._networks)\n",
    ),
    Bug(
        "the drain begins at once",
        "command/stopping.py",
        "self._reactor.callLater(wait, self._stop)",
        "self._reactor.callLater(0, self._stop)",
    ),
    Bug(
        "a server that leaves says that it is ready",
        "command/stopping.py",
        "            self._streams.leave()\n",
        "",
    ),
    Bug("a second signal has no effect", "command/stopping.py", "            self._hurry()\n", "            pass\n"),
    Bug(
        "no sign of life",
        "command/supervisor.py",
        "            self._signs.start(self._interval)\n",
        "            pass\n",
    ),
    Bug(
        "a large prompt is not sent as bytes",
        "client/bodies.py",
        "consumer.write(bytes(self._body))\n            return",
        "consumer.write(self._body)\n            return",
    ),
    Bug(
        "a publish that is tried again costs twice",
        "service/buckets.py",
        "                buckets[client] -= self._period / size\n",
        "                pass\n",
    ),
    Bug(
        "a foreign origin may read answers",
        "web/access/cors.py",
        "self._listed.get(origin, self._all) if origin",
        "_listFields(origin) if origin",
    ),
    Bug("a key that was taken back is known", "web/access/credentials.py", "        self.verdicts.clear()\n", ""),
    Bug(
        "a body without an end has all the time",
        "web/deadlines.py",
        "                self._begin(BODY_TIMEOUT, _RECEIVING)\n",
        "                self._begin(1000 * BODY_TIMEOUT, _RECEIVING)\n",
    ),
    Bug(
        "published entries are counted as one",
        "service/publisher.py",
        "-> Publication:\n        if not publication.repeated:\n"
        "            self._ledger.publishedEntries += publication.last + 1 - publication.first",
        "-> Publication:\n        if not publication.repeated:\n            self._ledger.publishedEntries += 1",
    ),
    Bug(
        "a TLS port answers plain HTTP with TLS",
        "speedups/clienthello.py",
        "return data[:1].isalpha() and not data.startswith(HANDSHAKE)",
        "return False",
    ),
    Bug(
        "the end of a response over TLS is lost",
        "web/connection.py",
        "        super().loseConnection()\n        if isConnected",
        "        self.transport.abortConnection()\n        if isConnected",
    ),
    Bug(
        "a closed connection still counts for its address",
        "web/openconnections.py",
        "        self.clients.remove(channel.client)\n",
        "",
    ),
    Bug(
        "a credential that was seen before has no end",
        "interfaces/access.py",
        "return self.expires is not None and self.expires <= now",
        "return False",
    ),
    Bug(
        "links of anybody are taken",
        "web/access/links.py",
        "if key is None or not",
        "if not",
    ),
    Bug(
        "a cookie has no end",
        "web/access/sessions.py",
        "return Principal(content.name, readGrants(content.grants), content.expires, key)",
        "return Principal(content.name, readGrants(content.grants), None, key)",
    ),
)


def copyTree(folder: str) -> Path:
    """Copy what a simulation needs, and return the root of the copy."""
    root = Path(folder)
    for name in ("sseserver", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return root


class Plantable(Protocol):
    """Something that breaks the server."""

    def plant(self, root: Path) -> None:
        """
        Break a copy of the tree.

        Args:
            root: The copy.
        """


def find(bug: Plantable, seeds: int = SEEDS, play: Play = play) -> str:
    """
    Plant a bug and run seeds.

    Args:
        bug: The bug.
        seeds: Number of seeds.
        play: Runs a seed of the server without the bug.

    Returns:
        The seed that found it, with the broken promise; an empty string if none did. A seed that
        breaks a promise of the server without the bug, too, has not found it.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = copyTree(folder)
        bug.plant(root)
        first = 0
        while first < seeds:
            done = _run(play.__module__.rpartition(".")[0], root, first, seeds - first)
            match = _FOUND.search(done.stdout)
            if match is None:
                # A simulation that breaks down has noticed, too.
                return f"breaks down: {done.stderr[-200:]}" if done.returncode else ""
            if not play(int(match[1]), frozenset()).violations:
                return f"seed {match[1]}: {match[2]}"
            first = int(match[1]) + 1
    return ""


def _run(module: str, root: Path, first: int, count: int) -> subprocess.CompletedProcess[str]:
    """Run seeds in a copy of the tree, until one breaks a promise."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    seeds = ["--first", str(first), "--count", str(count)]
    command = [sys.executable, "-m", module, *seeds, "--once", "--stop", "--strict"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted", description=__doc__)
    parser.add_argument("words", nargs="*", help="plant only the bugs whose names contain one of these words")
    options = parser.parse_args(arguments)
    missed = 0
    for bug in BUGS:
        if options.words and not any(word in bug.name for word in options.words):
            continue
        start = time.perf_counter()
        found = find(bug)
        missed += not found
        sys.stdout.write(f"{bug.name}: {found[:200] or 'NOT FOUND'} ({time.perf_counter() - start:.0f} s)\n")
        sys.stdout.flush()
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
