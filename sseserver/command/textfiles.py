"""
Text files that options name: read whole, with a limit.

The readers of texts, secrets and configuration files in `sseserver.command` use it.
"""

from __future__ import annotations

from pathlib import Path

from twisted.python import usage

#: Bytes. Largest file of `--text`.
MAX_TEXT = 64 << 20


def readTextFile(name: str, place: str, limit: int) -> str:
    """
    Return the text of a file.

    Args:
        name: Path of a UTF-8 file.
        place: Names the option in messages.
        limit: Bytes. Size of the largest file: the whole of it is in memory.

    Raises:
        usage.UsageError: The file cannot be read, is too large or is not UTF-8.
    """
    try:
        with Path(name).open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise usage.UsageError(f"{place} {name}: the file has more than {limit} bytes")
        return content.decode("utf-8")
    except OSError as error:
        raise usage.UsageError(f"{place} {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise usage.UsageError(f"{place} {name}: not UTF-8 at byte {error.start}") from None


def readText(name: str) -> str:
    """
    Return the text of the file of `--text`.

    Args:
        name: Path of the file.

    Raises:
        usage.UsageError: See `readTextFile`.
    """
    return readTextFile(name, "--text", MAX_TEXT)
