"""
Writes docs/options.md, the option reference, from the table in `sseserver.options`.

Run it after a change of the table, from the root of the repository:

    python docs/optionreference.py

tests/options/test_table.py fails while page and table differ.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sseserver.options import OPTIONS
from sseserver.options.conflicts import CONFLICTS
from sseserver.options.helptext import writeDefault
from sseserver.options.row import Group, Option, Origin
from sseserver.options.tomltext import writeValue
from sseserver.options.types import FLAG, Form, writeSize

#: Breaks lines where no option has a dash.
fill = partial(textwrap.fill, width=99, break_long_words=False, break_on_hyphens=False)

PAGE = Path(__file__).with_name("options.md")

INTRODUCTION = """\
<!-- Written by docs/optionreference.py from sseserver/options/table.py; edit the table instead. -->

# Options

For operators and embedders: every option of `twistd sseserver`, with its default. `twistd
sseserver --help` prints the same texts. Each option may also stand in a file or be given by a
variable, see [Configuration](configuration.md). A program passes the options that name a field of
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
    yield from conflicts(option)
    if option.setting is not None:
        yield f"Setting: `{option.setting}`"
    if Origin.FILE in option.origins:
        yield f"File: `{example(option)}`"
    if Origin.ENVIRONMENT in option.origins:
        yield f"Variable: `{option.variable}`"


def conflicts(option: Option) -> Iterator[str]:
    """Yield the options that exclude an option, then a sentence about each case in which its value does not fit."""
    pairs = [each for each in CONFLICTS if each.when is None and option.name in {each.option, each.other}]
    others = [each.other if each.option == option.name else each.option for each in pairs]
    if others:
        yield f"Not with: {', '.join(f'`--{name}`' for name in others)}"
    for conflict in CONFLICTS:
        if conflict.when is not None and conflict.option == option.name:
            yield re.sub(r"--[a-z-]+[a-z]( -(?=[:.]))?|\{prompt\}", r"`\g<0>`", f"{conflict.message}.")


def example(option: Option) -> str:
    """Return a line of a configuration file, with the default or a placeholder."""
    default = writeDefault(option)
    if option.type is FLAG:
        return writeValue(option, ("true",))
    if default is not None:
        return writeValue(option, (default,))
    placeholder = "…" if option.type.form is Form.TEXT else "1"
    return writeValue(option, (placeholder,))


def section(option: Option) -> str:
    """Return the section of one option."""
    items = "".join(f"{fill(f'* {item}', subsequent_indent='  ')}\n" for item in properties(option))
    return f"{heading(option)}\n\n{fill(option.help)}\n" + (f"\n{items}" if items else "")


def reference() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for group in Group:
        parts.append(f"## {group.value}\n")
        parts.extend(section(option) for option in OPTIONS if option.group is group)
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
