"""
Journal: everything that clients have done and seen, and what the nemesis has done, as JSON lines.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Journal:
    """
    A file of JSON lines, each with the time in seconds as `t` and what happened as `do`.

    Args:
        path: Path of the file, which is written anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8")

    def note(self, do: str, **fields: Any) -> None:
        """Write one line."""
        self._file.write(json.dumps({"t": round(time.monotonic(), 4), "do": do, **fields}) + "\n")

    def flush(self) -> None:
        """Write everything to the file."""
        self._file.flush()

    def close(self) -> None:
        """Write everything, and close the file."""
        self._file.close()
