"""
Cut a release, and print its notes; CONTRIBUTING.md explains the process.

    python .ci/release.py cut 0.2.0
    python .ci/release.py notes

The first command sets the version, and gives the section Unreleased of CHANGELOG.md its name and date. The second one
prints the section of the present version. Links become absolute if $SSESERVER_REPOSITORY has the address of the
repository.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_VERSION = re.compile(r'^VERSION = "(\d+\.\d+\.\d+)"$', re.MULTILINE)
_UNRELEASED = re.compile(r"^## Unreleased\n+(.*?)\s*(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_RELATIVE = re.compile(r"(!?)(\[[^\]]*\])\((?!https?:|#|mailto:)([^)]+)\)")


class ReleaseError(Exception):
    """There is nothing to release, or not under this version."""


def findVersion(root: Path) -> str:
    """Return the version of the package, without an import of it."""
    found = _VERSION.search((root / "sseserver" / "values.py").read_text("utf-8"))
    assert found is not None
    return found[1]


def makeAbsolute(text: str, repository: str, version: str) -> str:
    """
    Make relative links of a page absolute.

    Args:
        text: Markdown of a page in the root of the tree.
        repository: Address of the repository on a code host, such as `https://code.example/team/sseserver`; empty
            leaves the text as it is.
        version: Version whose tag has the files.
    """
    place = repository.rstrip("/")

    def replace(link: re.Match[str]) -> str:
        picture, label, path = link.groups()
        return f"{picture}{label}({place}/{'raw' if picture else 'blob'}/v{version}/{path})"

    return _RELATIVE.sub(replace, text) if repository else text


def cut(root: Path, version: str, date: str) -> None:
    """
    Turn the section Unreleased into that of a version, and set the version of the package.

    Args:
        root: Root of the tree.
        version: As in `1.2.0`.
        date: Day of the release, as in `2026-11-30`.

    Raises:
        ReleaseError: The version is malformed, has been released or is lower than the present one; or nothing has
            changed.
    """
    if re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version) is None:
        raise ReleaseError(f"A version has three numbers, as in 1.2.0, unlike {version}.")
    changelog, values = root / "CHANGELOG.md", root / "sseserver" / "values.py"
    text, before = changelog.read_text("utf-8"), findVersion(root)
    if f"\n## {version} (" in text:
        raise ReleaseError(f"CHANGELOG.md has a section of {version} already.")
    if [int(part) for part in version.split(".")] < [int(part) for part in before.split(".")]:
        raise ReleaseError(f"The version must not be lower than {before}.")
    found = _UNRELEASED.search(text)
    if found is None or not found[1]:
        raise ReleaseError("The section Unreleased of CHANGELOG.md is empty.")
    changelog.write_text(text.replace("## Unreleased\n", f"## Unreleased\n\n## {version} ({date})\n", 1), "utf-8")
    values.write_text(_VERSION.sub(f'VERSION = "{version}"', values.read_text("utf-8")), "utf-8")


def findNotes(root: Path) -> str:
    """
    Return the changes of the present version, without the heading.

    Args:
        root: Root of the tree.

    Raises:
        ReleaseError: CHANGELOG.md has no section of this version.
    """
    version = re.escape(findVersion(root))
    text = (root / "CHANGELOG.md").read_text("utf-8")
    found = re.search(rf"^## {version} \([^)\n]*\)\n+(.*?)\s*(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no section of {findVersion(root)}: cut the release first.")
    return f"{found[1]}\n"


def makeParser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python .ci/release.py", description="Cut a release, or print its notes.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("cut", help="set version and changelog").add_argument("version", metavar="VERSION")
    notes = commands.add_parser("notes", help="print the changes of the present version")
    notes.add_argument("--tag", help="fail unless the tag of the present version is this one, such as v1.2.0")
    return parser


def main(arguments: list[str] | None = None, root: Path = ROOT) -> None:
    """
    Run the command.

    Args:
        arguments: The command line without the program's name; `None` takes that of the process.
        root: Root of the tree.

    Raises:
        SystemExit: It is not possible (status 1, with one line), or the command line is wrong (status 2).
    """
    options = makeParser().parse_args(arguments)
    try:
        if options.command == "cut":
            cut(root, options.version, dt.datetime.now(dt.UTC).date().isoformat())
            return
        version = findVersion(root)
        if options.tag not in {None, f"v{version}"}:
            raise ReleaseError(f"The tag is {options.tag}, but the version {version}.")
        notes = makeAbsolute(findNotes(root), os.environ.get("SSESERVER_REPOSITORY", ""), version)
    except ReleaseError as error:
        sys.exit(f"release.py: {error}")
    sys.stdout.write(notes)


if __name__ == "__main__":
    main()
