"""Command `python -m sseserver.keys FILE NAME GRANT …`: makes an API key, and adds its hash to a key file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sseserver.web.access.apikeys import makeKey, readKeyFile, writeLine

#: Nobody but the owner of a key file reads or writes it.
_MODE = 0o600


def makeParser() -> argparse.ArgumentParser:
    """Make the parser of the command line. Its texts are the documentation of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m sseserver.keys",
        description="Make an API key for `twistd sseserver --api-keys FILE`. The key is printed once, and the file "
        "gets its hash and its rights. Then send SIGHUP to a running server. To take a key back, delete its line.",
        epilog="example: python -m sseserver.keys keys.txt shop publish:orders-* read,list:*",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the key file; a new one is made with mode 0600")
    parser.add_argument("name", metavar="NAME", help="name of the client: A-Z a-z 0-9 . _ ~ @ -")
    parser.add_argument(
        "grants",
        metavar="GRANT",
        nargs="+",
        help="RIGHTS:PATTERN; the rights are read, publish, run, cancel, delete, list; the pattern is a stream name, "
        "or a prefix and *",
    )
    parser.add_argument("--expires", metavar="TIME", help="end of the key, such as 2027-01-31T00:00:00Z")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command.

    Args:
        arguments: The command line without the program's name; `None` takes that of the process.

    Raises:
        SystemExit: There is no key (status 1, with one line on standard error), or the command line is wrong (status
            2).
    """
    options = makeParser().parse_args(arguments)
    key = makeKey()
    try:
        line = writeLine(options.name, key, options.grants, options.expires)
        addLine(options.file, line)
    except (ValueError, OSError) as error:
        sys.exit(f"sseserver.keys: {getattr(error, 'strerror', None) or error}")
    sys.stdout.write(f"{key}\n")


def addLine(path: Path, line: str) -> None:
    """
    Add a line to a key file.

    Args:
        path: The file. If there is none, it is made with mode 0600.
        line: The line of a key, from `writeLine`, without its end.

    Raises:
        OSError: The file cannot be read or written.
        ValueError: It is no key file, or has the name already. It is not changed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        before = file.read()
        added = f"{'' if not before or before.endswith(chr(10)) else chr(10)}{line}\n"
        readKeyFile(before + added)
        file.write(added)


if __name__ == "__main__":
    main()
