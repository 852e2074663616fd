"""
The text of `twistd sseserver --help`, made from the table of options. `sseserver.command.parsing` prints it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from sseserver.options.row import Group, Option
from sseserver.options.table import OPTIONS
from sseserver.options.types import FLAG, STORE

#: Columns of a terminal.
_WIDTH = 80

_INTRODUCTION = (
    "Streams text token by token to browsers and programs over Server-Sent Events. Without options it serves a page on "
    "http://127.0.0.1:8000/ on which a built-in text appears word by word. In production, put a reverse proxy in front "
    "of it that terminates TLS, speaks HTTP/2 and does not buffer responses."
)

_EXAMPLES = """\
Examples:
  twistd -n sseserver
        The page with the built-in text. Ctrl-C stops the server.
  twistd -n sseserver --text README.md --interval 0.05
        A file, 20 words a second.
  twistd -n sseserver --upstream http://127.0.0.1:11434/v1 --model llama3.2
        A chat with a model.
  twistd -n sseserver --exec 'grep -i --line-buffered -- {prompt} README.md'
        The output of a program, which is started for each prompt.
  twistd -n sseserver --store sqlite:streams.db
        Streams that survive a restart.
"""

_NOTES = (
    "SIZE is a number of bytes; K, M and G stand for powers of 1024, as in 64M. SECONDS may have a fraction. "
    "The options of twistd itself, such as -n (stay in the foreground) and --pidfile, come before the word sseserver. "
    "Each option may also stand in the file of --config, or in a variable such as SSESERVER_MAX_VIEWERS; --metrics is "
    "SSESERVER_METRICS=1."
)


def writeDefault(option: Option) -> str | None:
    """Return the default of an option as the command line takes it; `None` if it has none."""
    if option.type is STORE:
        return "memory"
    return None if option.default is None or option.type is FLAG else option.type.write(option.default)


def makeHelp(synopsis: str) -> str:
    """
    Return the help.

    Args:
        synopsis: First line: how the command is called.
    """
    parts = [synopsis.strip(), textwrap.fill(_INTRODUCTION, _WIDTH), _EXAMPLES.rstrip()]
    for group in Group:
        options = [option for option in OPTIONS if option.group is group]
        parts.append("\n".join([f"{group.value}:", *(line for option in options for line in _describe(option))]))
    parts.append("Help:\n  -h, --help\n        Print this text.\n      --version\n        Print the version.")
    parts.append(textwrap.fill(_NOTES, _WIDTH))
    return "\n\n".join(parts) + "\n"


def _describe(option: Option) -> Iterator[str]:
    """Yield the lines about one option."""
    short = f"-{option.short}," if option.short else "   "
    yield f"  {short} --{option.name} {option.type.metavar}".rstrip()
    text = option.help.replace("`", "")
    default = writeDefault(option)
    if option.needs:
        text += f" Needs {' or '.join(f'--{name}' for name in option.needs)}."
    if default is not None:
        text += f" [default: {default}]"
    yield textwrap.indent(textwrap.fill(text, _WIDTH - 8, break_long_words=False, break_on_hyphens=False), " " * 8)
