"""Command `python -m sseserver.links GRANT`: makes a signed link, or a key that signs links."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence

from twisted.python import usage

from sseserver.command.textfiles import MAX_KEYS, TextFiles
from sseserver.options.variables import LINK_KEY_VARIABLE
from sseserver.web.access.grants import readGrant
from sseserver.web.access.links import LIFETIME, MAX_LIFETIME, Links
from sseserver.web.access.signing import readSigningKeys


def makeParser() -> argparse.ArgumentParser:
    """Make the parser of the command line. Its texts are the documentation of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m sseserver.links",
        description="Make a signed link for a server with `--link-key-file`, and print its query; with `--url` the "
        "whole URL.",
        epilog="example: python -m sseserver.links --key-file link.key --url https://example.com/streams/a read:a",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("grant", metavar="GRANT", nargs="?", help="RIGHTS:PATTERN, such as read:chat-7 or read:chat-*")
    what.add_argument("--make-key", action="store_true", help="print a new random key for the file instead")
    parser.add_argument("--key-file", metavar="FILE", help=f"by default ${LINK_KEY_VARIABLE} has the key")
    parser.add_argument("--url", default="", help="URL of the stream, before the query")
    parser.add_argument("--seconds", type=int, default=LIFETIME, help=f"lifetime; by default {LIFETIME}")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command.

    Args:
        arguments: The command line without the program's name; `None` takes that of the process.

    Raises:
        SystemExit: There is no link (status 1, with one line on standard error), or the command line is wrong (status
            2).
    """
    options = makeParser().parse_args(arguments)
    try:
        made = secrets.token_urlsafe(48) if options.make_key else makeLink(options)
    except (ValueError, usage.UsageError) as error:
        sys.exit(f"sseserver.links: {error}")
    sys.stdout.write(f"{made}\n")


def makeLink(options: argparse.Namespace) -> str:
    """
    Make a link, or its query.

    Args:
        options: The command line.

    Raises:
        usage.UsageError: The key file cannot be read.
        ValueError: The command line has no grant, or there is no key.
    """
    if not 1 <= options.seconds <= MAX_LIFETIME:
        raise ValueError(f"--seconds: it must be 1 to {MAX_LIFETIME}")
    path = options.key_file
    text = TextFiles().read(path, "--key-file", MAX_KEYS) if path else os.environ.get(LINK_KEY_VARIABLE, "")
    query = Links(readSigningKeys(text)).make(readGrant(options.grant), int(time.time()) + options.seconds)
    mark = "&" if "?" in options.url else "?"
    return f"{options.url}{mark}{query}" if options.url else query


if __name__ == "__main__":
    main()
