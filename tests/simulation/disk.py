"""
The disk: the files of the SQLite store, and what a kill or a loss of power leaves of them.

SQLite works on real files in a folder of their own. After each commit the disk looks at them and keeps what has been
synchronized: the database and its write-ahead log after a checkpoint and, with `synchronous=FULL`, after each commit.
A loss of power keeps that much, and any part of the bytes that were written later.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.simulation.chance import Patches

#: Bytes that a disk writes as one.
SECTOR = 512

#: Folder of the files: in memory, if the system has such a folder.
_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None

_NAME = "streams.db"
_WAL = "streams.db-wal"


@dataclass(frozen=True, slots=True)
class Image:
    """
    The files of a disk.

    Attributes:
        files: Their contents, by their names.
    """

    files: dict[str, bytes]

    @property
    def database(self) -> bytes:
        """The database without its write-ahead log."""
        return self.files.get(_NAME, b"")

    @property
    def log(self) -> bytes:
        """The write-ahead log."""
        return self.files.get(_WAL, b"")


class Disk:
    """
    One folder with the files of a store.

    Args:
        chance: Decides what a loss of power leaves.
        patches: Knows the connections of SQLite.
        full: Whether the store runs with `synchronous=FULL`.

    Attributes:
        chance: See above.
        full: See above.
        losses: Number of losses of power.
    """

    def __init__(self, chance: Random, patches: Patches, full: bool) -> None:
        self.full = full
        self.losses = 0
        self.chance = chance
        self._patches = patches
        self._root = Path(tempfile.mkdtemp(prefix="simulation-", dir=_FOLDER))
        self._lives = 0
        self._folder = self._root / "0"
        self._folder.mkdir()
        self._synced = Image({})

    @property
    def folder(self) -> Path:
        """Folder of files that are not the store's."""
        return self._root

    @property
    def path(self) -> str:
        """Path of the database in this life of the server."""
        return str(self._folder / _NAME)

    @property
    def boot(self) -> str:
        """Identity of this run of the machine."""
        return f"boot {self.losses}"

    def look(self) -> Image:
        """Return the files as they are now."""
        return Image({path.name: path.read_bytes() for path in sorted(self._folder.iterdir())})

    def written(self) -> bool:
        """
        Look at the files after something was written.

        Returns:
            Whether everything is synchronized now.
        """
        now = self.look()
        # A checkpoint synchronizes the log before it writes the database, and then the database.
        synced = now.database != self._synced.database
        if synced:
            self._synced = now
        return synced

    def started(self) -> None:
        """Note that the store was opened, which synchronizes everything."""
        self._synced = self.look()

    def acknowledged(self) -> None:
        """Note that the commits so far are reported to the server."""
        if self.full:
            self._synced = self.look()

    def kill(self) -> None:
        """Take the files from the server. All that it has written is there."""
        self._replace(self.look())

    def losePower(self) -> None:
        """Take the files from the server, and lose what may be lost."""
        self.losses += 1
        image = self.lose()
        self._replace(image)
        self._synced = image

    def lose(self) -> Image:
        """Return the files as a loss of power could leave them now."""
        now, synced = self.look(), self._synced
        files = {**now.files}
        if _WAL in files:
            files[_WAL] = self._tear(synced.log, now.log)
        return Image(files)

    def copy(self, image: Image) -> str:
        """Write an image into a folder of its own, and return the path of the database."""
        folder = Path(tempfile.mkdtemp(dir=self._root))
        for name, data in image.files.items():
            (folder / name).write_bytes(data)
        return str(folder / _NAME)

    def discard(self, path: str) -> None:
        """Delete a copy."""
        folder = Path(path).parent
        self._patches.closeConnections(str(folder))
        shutil.rmtree(folder)

    def remove(self) -> None:
        """Delete the files."""
        self._patches.closeConnections(str(self._root))
        shutil.rmtree(self._root)

    def _tear(self, old: bytes, new: bytes) -> bytes:
        """Return the bytes of a file, of whose last writes a part is lost."""
        same = _countSame(old, new)
        if same == len(new) or self.chance.random() < 0.2:
            return new
        cut = self.chance.randint(same, len(new))
        if self.chance.random() < 0.6:
            return new[:cut] + old[cut:]
        # Sectors are written in any order; what a file grew by reads as zeros.
        padded = old.ljust(len(new), b"\0")
        kept = bytearray(new)
        for start in range(cut - cut % SECTOR, len(new), SECTOR):
            if self.chance.random() < 0.5:
                end = min(start + SECTOR, len(new))
                kept[max(start, same) : end] = padded[max(start, same) : end]
        return bytes(kept)

    def _replace(self, image: Image) -> None:
        """
        Put an image in the place of the files, in a new folder.

        The database keeps its inode, so that it does not look like a copy.
        """
        self._patches.closeConnections(str(self._folder))
        for path in self._folder.iterdir():
            if path.name not in image.files:
                path.unlink()
        for name, data in image.files.items():
            with (self._folder / name).open("r+b" if (self._folder / name).exists() else "wb") as file:
                file.write(data)
                file.truncate()
        self._lives += 1
        self._folder = self._folder.rename(self._root / str(self._lives))


def _countSame(old: bytes, new: bytes) -> int:
    """Return the number of bytes with which both begin."""
    least, most = 0, min(len(old), len(new))
    while least < most:
        middle = (least + most + 1) // 2
        if old[least:middle] == new[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
