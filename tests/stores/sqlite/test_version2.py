"""
Files that an earlier sseserver wrote: `tests/stores/data/version2.sqlite` opens and reads as it was written.

The file was made at commit 1f25021. Its process died: most entries are still in the table `fresh`, and the run has no
end.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite import store as module
from sseserver.streams.log import StreamLog
from sseserver.values import EndedStream, Entry, KeyUse, Kind, State

FILE = Path(__file__).parent.parent / "data" / "version2.sqlite"

#: The boot ID of the machine that wrote the file.
BOOT = "11111111-2222-3333-4444-555555555555"

#: Seconds since 1970. Later than all that is in the file.
NOW = 1_000_001_000.0

OPEN, DONE, TRIMMED, RUN = (
    "sUbcn9GaZVDdd3S3fmcFEe",
    "7tmelgN7vJFhPefOXqONIg",
    "LZ8J4o2emnK0RvcsKd0LZb",
    "GIJB7IBg5wTUpURaNY2Zjh",
)


class Version2Tests(SynchronousTestCase):
    """One test for each promise that the file makes."""

    def open(self, boot: str) -> list[EndedStream]:
        """Start a store on a copy of the file, on a machine with this boot ID."""
        path = self.mktemp()
        shutil.copy(FILE, path)
        self.patch(module, "readBootID", lambda: boot)
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = SQLiteStore(self.clock, path, 2000, maybeDeferred)
        ended = list(self.store.start())
        self.addCleanup(self.stop)
        return ended

    def stop(self) -> None:
        """Stop the store."""
        stopped = self.store.stop()
        self.clock.advance(0)
        self.successResultOf(stopped)

    def read(self, name: str) -> tuple[StreamLog, list[Entry]]:
        """Find a stream, and give all entries that are kept."""
        streamLog = self.successResultOf(self.store.find(name))
        numbers = range(streamLog.buffer.first, streamLog.last + 1)
        return streamLog, [
            Entry(number, Kind(streamLog.buffer.kind(number)), streamLog.buffer.entry(number)) for number in numbers
        ]

    def test_ended(self) -> None:
        """
        The store lists the stream that had ended, with its time, and the run that the death interrupted.
        """
        ended = self.open(BOOT)
        self.assertEqual(
            [(round(when, 2), name, epoch) for when, name, epoch, _ in ended],
            [(1_000_000_000.31, "done", DONE), (NOW, "run", RUN)],
        )
        self.assertEqual(self.store.count, 4)

    def test_open(self) -> None:
        """
        An open stream has every kind of entry byte by byte, its key, its epoch, and goes on.
        """
        self.open(BOOT)
        streamLog, entries = self.read("open")
        self.assertEqual((streamLog.epoch, streamLog.state, streamLog.published), (OPEN, State.OPEN, True))
        self.assertEqual((streamLog.created, streamLog.ended, streamLog.buffer.tokens), (1_000_000_000.0, None, 2))
        self.assertEqual(
            entries,
            [
                (1, Kind.TOKEN, "Grüße\r\n".encode()),
                (2, Kind.EVENT, b"weather\nsunny"),
                (3, Kind.CHUNK, b'{"choices":[]}\n text'),
                (4, Kind.SILENT_CHUNK, b'{"usage":null}'),
            ],
        )
        self.assertEqual(streamLog.keys.get("key-1"), KeyUse(b"digest of 1 to 2", 1, 2))
        self.assertEqual(streamLog.append(Kind.TOKEN, b"more"), 5)
        self.clock.advance(0)
        self.assertEqual(streamLog.last, 5)

    def test_done(self) -> None:
        """
        An ended stream has its entries, its end and its key.
        """
        self.open(BOOT)
        streamLog, entries = self.read("done")
        self.assertEqual((streamLog.epoch, streamLog.state), (DONE, State.DONE))
        end = b'{"reason":"stop","tokens":1}'
        self.assertEqual(entries, [(1, Kind.TOKEN, b"The end"), (2, Kind.DONE, end)])
        self.assertEqual(streamLog.keys.get("key-2"), KeyUse(b"digest of 1 to 2", 1, 2))

    def test_trimmed(self) -> None:
        """
        A trimmed stream has the newest entries under their numbers, counts all tokens, and has forgotten the key of
        the entries that went.
        """
        self.open(BOOT)
        streamLog, entries = self.read("trimmed")
        self.assertEqual((streamLog.epoch, streamLog.buffer.tokens), (TRIMMED, 300))
        self.assertEqual(entries, [(number, Kind.TOKEN, b"%d " % number) for number in range(184, 301)])
        self.assertIsNone(streamLog.keys.get("gone"))
        self.assertEqual(streamLog.keys.get("key-3"), KeyUse(b"digest of 299", 299, 299))

    def test_run(self) -> None:
        """
        A run that the death interrupted has its tokens and ends failed.
        """
        self.open(BOOT)
        streamLog, entries = self.read("run")
        self.assertEqual((streamLog.epoch, streamLog.state, streamLog.published), (RUN, State.FAILED, False))
        self.assertEqual(entries[:3], [(number, Kind.TOKEN, b"%d " % number) for number in range(1, 4)])
        self.assertEqual((entries[3].number, entries[3].kind), (4, Kind.FAILED))
        self.assertIn(b'"reason":"interrupted"', entries[3].data)

    def test_afterPowerCut(self) -> None:
        """
        After a boot of the machine the streams that were open have new epochs, and the ended one keeps its own.
        """
        self.open("another boot")
        self.assertNotIn(self.read("open")[0].epoch, {OPEN, DONE, TRIMMED, RUN})
        self.assertNotEqual(self.read("trimmed")[0].epoch, TRIMMED)
        self.assertEqual(self.read("done")[0].epoch, DONE)
