"""
The options in effect, as a configuration file that can be read again: what `--check` prints.

Secrets are left out: a line with one is a comment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sseserver.command.effects import findConflict, isNeeded
from sseserver.command.given import Given
from sseserver.options import OPTIONS
from sseserver.options.row import Group, Option, Origin
from sseserver.options.tomltext import writeValue
from sseserver.options.types import FLAG, NAMED_HEADER, NAMED_URL, STORE, URL, Form
from sseserver.redaction import hasSecret, hideCredentials

#: Forms of values that a limit of the process may lower.
_NUMBERS = frozenset({Form.WHOLE})


def writeOptions(values: Mapping[str, Any], sources: Mapping[str, Given]) -> str:
    """
    Return the options in effect as the text of a configuration file.

    Args:
        values: The values of all options, checked.
        sources: The options that were given, by their names.

    Returns:
        A line for each option that has an effect, with its origin in a comment.
    """
    parts = []
    for group in Group:
        options = [option for option in OPTIONS if option.group is group and Origin.FILE in option.origins]
        lines = [line for option in options for line in _writeLine(option, values, sources)]
        if lines:
            parts.append("\n".join([f"# {group.value}", *lines]))
    return "\n\n".join(parts) + "\n"


def _writeLine(option: Option, values: Mapping[str, Any], sources: Mapping[str, Given]) -> Iterator[str]:
    """Yield the line of an option; none if it has no value, or no effect."""
    source = sources.get(option.name)
    if source is not None and source.texts:
        if isSecret(option, source.texts):
            yield f"# {option.name}: not shown, since it has a secret  # {source.origin.value}"
        elif _isLowered(option, source, values):
            lowered = writeValue(option, (option.type.write(values[option.name]),))
            yield f"{lowered}  # {source.origin.value}, lowered to the limit of open files"
        else:
            yield f"{writeValue(option, source.texts)}  # {source.origin.value}"
        return
    given = frozenset(name for name, each in sources.items() if each.isOn)
    if hasEffect(option, values, given):
        texts = _writeTexts(option, values[option.name])
        if texts:
            yield f"{writeValue(option, texts)}  # {Origin.DEFAULT.value}"


def hasEffect(option: Option, values: Mapping[str, Any], given: frozenset[str]) -> bool:
    """
    Return whether an option that was not given has an effect: a file would be refused that gave it with others.

    Args:
        option: The option.
        values: The values of all options.
        given: Names of the options that were given.
    """
    return isNeeded(option.needs, given) and findConflict(values, {*given, option.name}) is None


def _isLowered(option: Option, source: Given, values: Mapping[str, Any]) -> bool:
    return option.type.form in _NUMBERS and option.type.read(source.texts[-1]) != values[option.name]


def _writeTexts(option: Option, value: Any) -> tuple[str, ...]:
    """Return the texts of a value that was not given; none if there is no value."""
    if option.type is FLAG:
        return ("true" if value else "false",)
    if option.type is STORE:
        return ("memory",)
    if option.repeatable:
        return tuple(value)
    return () if value is None else (option.type.write(value),)


def isSecret(option: Option, texts: Sequence[str]) -> bool:
    """
    Return whether the value of an option has a secret, as far as it shows.

    Args:
        option: The option.
        texts: The texts of its values.
    """
    if option.type is NAMED_HEADER:
        return any(not text.partition(":")[2].strip().startswith(("@", "$")) for text in texts)
    if option.type in {URL, NAMED_URL} and any("@" in text or _hasCredentials(text) for text in texts):
        return True
    return any(hasSecret(text) for text in texts)


def _hasCredentials(url: str) -> bool:
    return hideCredentials(url.encode("utf-8")) != url.encode("utf-8")
