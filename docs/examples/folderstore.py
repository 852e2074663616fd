"""A store that keeps each stream in a file of JSON lines. python folderstore.py FOLDER"""

import json
import os
import sys
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from sseserver import Settings, StreamResource, StreamService, StreamSite, TextSource
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IPersistence
from sseserver.stores.persistent import PersistentStore
from sseserver.streams.terminal import INTERRUPTED
from sseserver.values import Addition, Creation, Deletion, Entry, KeyUse, Kind, StoredEntries, StoredStream, Trim


class Stream:
    """The contents of one file."""

    def __init__(self, path):
        self.path = path
        self.head, self.entries, self.keys, self.ended = None, {}, {}, None
        self.first, self.last, self.before = 1, 0, (0, False)
        self.size = 0
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):  # or else it is being written, or the process died while it was
                self.size += len(line)
                self.apply(json.loads(line))

    def apply(self, change):
        if "name" in change:
            self.head = change
        elif "entries" in change:
            self.entries.update((number, (kind, data)) for number, kind, data in change["entries"])
            self.keys.update(change["keys"])
            self.ended = change["ended"]
            self.last = max(self.entries, default=self.last)
        else:
            self.first, self.last = change["first"], change["last"]
            self.before = change["before"]

    def describe(self):
        size = sum(len(data) for _, data in self.entries.values())
        tokensBefore, trimmedCR = self.before
        return StoredStream(
            **self.head,
            ended=self.ended,
            first=self.first,
            last=self.last,
            size=size,
            tokensBefore=tokensBefore,
            trimmedCR=trimmedCR,
        )

    def trim(self, first, *before):
        """Write a file without the oldest entries, and put it in the place of the old one."""
        entries = [[number, *entry] for number, entry in sorted(self.entries.items()) if number >= first]
        keys = {key: use for key, use in self.keys.items() if use[2] >= first}
        start = {"first": first, "last": max(first - 1, self.last), "before": before}
        content = [self.head, start, {"entries": entries, "keys": keys, "ended": self.ended}]
        temporary = self.path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        append(temporary, content)
        temporary.replace(self.path)


def append(path, lines):
    """Append lines, and wait until they are on the disk."""
    with path.open("ab") as file:
        file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def listEntry(entry):
    # JSON has no bytes: each byte becomes one character.
    return [entry.number, entry.kind, entry.data.decode("latin-1")]


def listUse(use):
    return [use.digest.hex(), use.first, use.last]


@implementer(IPersistence)
class FolderPersistence:
    def __init__(self, folder, inThread=deferToThread):
        self.folder = Path(folder)
        self.inThread = inThread
        self.lock = None

    def start(self, now):
        self.folder.mkdir(exist_ok=True)
        self.lock = (self.folder / "lock").open("w")
        try:
            flock(self.lock, LOCK_EX | LOCK_NB)
        except OSError as error:
            self.lock.close()
            raise StoreUnavailable(f"{self.folder} is in use.") from error
        return [stored for path in sorted(self.folder.glob("*.jsonl")) if (stored := self.recover(path, now))]

    def recover(self, path, now):
        stream = Stream(path)
        if stream.head is None:
            path.unlink()  # the process died while it made the stream
            return None
        os.truncate(path, stream.size)
        if stream.ended is None and not stream.head["published"]:
            entry = listEntry(Entry(stream.last + 1, *INTERRUPTED))
            end = {"entries": [entry], "keys": {}, "ended": now}
            append(path, [end])
            stream.apply(end)
        return stream.describe()

    def stop(self):
        return self.inThread(self.lock.close)

    def write(self, changes):
        # Entries are copied here: the thread must not touch them.
        lines, trims, deletions = {}, [], []
        for change in changes:
            path = self.folder / f"{change.epoch}.jsonl"
            match change:
                case Creation():
                    lines[path] = [change._asdict()]
                case Addition(_, entries, keys, ended):
                    entry = {"entries": list(map(listEntry, entries)), "ended": ended}
                    entry["keys"] = {key: listUse(use) for key, use in keys.items()}
                    lines.setdefault(path, []).append(entry)
                case Trim(_, first, tokensBefore, trimmedCR):
                    trims.append((path, first, tokensBefore, trimmedCR))
                case Deletion():
                    deletions.append(path)
        return self.inThread(self.writeFiles, lines, trims, deletions)

    def writeFiles(self, lines, trims, deletions):
        sizes = {path: path.stat().st_size if path.exists() else 0 for path in lines}
        try:
            for path, each in lines.items():
                append(path, each)
            for path, *start in trims:
                Stream(path).trim(*start)
            for path in deletions:
                path.unlink()
        except OSError as error:
            for path, size in sizes.items():  # all or none
                if path.exists():
                    os.truncate(path, size)
            raise StoreUnavailable(f"The store cannot write: {error.strerror}.") from error

    def read(self, epoch, first, last):
        return self.inThread(self.readFile, self.folder / f"{epoch}.jsonl", first, last)

    def readFile(self, path, first, last):
        stream = Stream(path)
        entries = [
            Entry(number, Kind(kind), data.encode("latin-1"))
            for number, (kind, data) in sorted(stream.entries.items())
            if first <= number <= last
        ]
        keys = {key: KeyUse(bytes.fromhex(digest), *range_) for key, (digest, *range_) in stream.keys.items()}
        return StoredEntries(entries, keys)


if __name__ == "__main__":
    settings = Settings()
    store = PersistentStore(reactor, FolderPersistence(sys.argv[1]), settings.window)
    source = TextSource(reactor, "Words that outlive the process. ")
    service = StreamService(reactor, source, settings, store)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    try:
        listening("tcp:8080:interface=127.0.0.1", StreamSite(StreamResource(service))).startService()
    except CannotListenError as error:
        sys.exit(str(error))
    reactor.run()
