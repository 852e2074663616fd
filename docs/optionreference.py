"""
Writes docs/options.md, the option reference, from the table in `sseserver.options`.

Run it after a change of the table, from the root of the repository:

    python docs/optionreference.py

tests/test_options.py fails while page and table differ.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from sseserver.options import OPTIONS
from sseserver.options.helptext import writeDefault
from sseserver.options.row import Group, Option
from sseserver.options.types import FLAG, writeSize

PAGE = Path(__file__).with_name("options.md")

INTRODUCTION = """\
<!-- Written by docs/optionreference.py from sseserver/options/table.py; edit the table instead. -->

# Options

For operators and embedders: every option of `twistd sseserver`, with its default. `twistd
sseserver --help` prints the same texts. A program passes the options that name a field of
`Settings` to `StreamService` instead.

`SECONDS` may have a fraction. `SIZE` is a number of bytes; `K`, `M` and `G` stand for powers of
1024. The largest number is 1000000000, and the largest size is 1048576G. `ENDPOINT` is a server
endpoint in Twisted's notation. `COMMAND` is quoted as in a shell.
"""


def heading(option: Option) -> str:
    """Return the heading of an option: its names as they are typed."""
    names = [f"`--{option.name}`", *([f"`-{option.short}`"] if option.short else [])]
    return f"### {', '.join(names)}"


def properties(option: Option) -> Iterator[str]:
    """Yield the list items below an option's help text."""
    if option.type is not FLAG:
        yield f"Value: `{option.type.metavar}`"
        default = writeDefault(option)
        yield "Default: none" if default is None else f"Default: `{default}`"
    if option.minimum is not None:
        yield f"Minimum: `{writeSize(option.minimum)}`"
    if option.needs:
        yield f"Needs: {' or '.join(f'`--{name}`' for name in option.needs)}"
    if option.excludes:
        yield f"Not with: {', '.join(f'`--{name}`' for name in option.excludes)}"
    if option.setting is not None:
        yield f"Setting: `{option.setting}`"
    if option.environment is not None:
        yield f"Environment: `{option.environment}=1`"


def section(option: Option) -> str:
    """Return the section of one option."""
    items = "".join(f"* {item}\n" for item in properties(option))
    return f"{heading(option)}\n\n{textwrap.fill(option.help, 99)}\n" + (f"\n{items}" if items else "")


def reference() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for group in Group:
        parts.append(f"## {group.value}\n")
        parts.extend(section(option) for option in OPTIONS if option.group is group)
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
