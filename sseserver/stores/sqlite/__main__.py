"""Command `python -m sseserver.stores.sqlite backup FILE COPY`: backs up a store, also a running one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sseserver.errors import StoreUnavailable
from sseserver.stores.sqlite.backup import makeBackup


def makeParser() -> argparse.ArgumentParser:
    """Make the parser of the command line. Its texts are the documentation of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m sseserver.stores.sqlite",
        description="Care for the file of `twistd sseserver --store sqlite:FILE`.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    backup = commands.add_parser(
        "backup",
        help="copy a store, also while a server uses it",
        description="Copy a store to a new file, also while a server uses it. A server can be started on the copy.",
    )
    backup.add_argument("file", metavar="FILE", type=Path, help="file of the store")
    backup.add_argument("copy", metavar="COPY", type=Path, help="the copy, which must not exist")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command.

    Args:
        arguments: The command line without the program's name; `None` takes that of the process.

    Raises:
        SystemExit: The backup was not made (status 1, with one line on standard error), or the command line is wrong
            (status 2).
    """
    options = makeParser().parse_args(arguments)
    try:
        makeBackup(options.file, options.copy)
    except StoreUnavailable as error:
        sys.exit(f"sseserver.stores.sqlite: {error}")


if __name__ == "__main__":
    main()
