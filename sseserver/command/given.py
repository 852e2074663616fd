"""
The options that are given beside the command line: by environment variables, and in a configuration file.

`sseserver.command.parsing` puts the command line before the environment, and the environment before the file.
"""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.python import usage

from sseserver.command.textfiles import TextFiles
from sseserver.options import OPTIONS
from sseserver.options.row import Option, Origin
from sseserver.options.tomltext import readValue
from sseserver.options.types import FLAG
from sseserver.options.variables import KEY_VARIABLE, PREFIX, SECRETS

#: Bytes. Largest configuration file: a pool sends its content to its workers.
_MAX_FILE = 128 << 10

#: Share. Likeness to the name of an option from which on a name is taken for a misspelling of it.
_LIKENESS = 0.8

#: Variables that Kubernetes makes for a service whose name begins with `sseserver`.
_SERVICE = re.compile(r"(_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)\Z")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Given:
    """
    An option that was given.

    Attributes:
        option: The option.
        origin: Where it was given.
        place: The same for messages, such as `$SSESERVER_MODEL`.
        texts: The texts of its values, as on a command line; `true` or `false` for a flag.
    """

    option: Option
    origin: Origin
    place: str
    texts: tuple[str, ...]

    @property
    def isOn(self) -> bool:
        """Whether it counts as given: a flag that is off, and an empty array, do not."""
        return bool(self.texts) and not (self.option.type is FLAG and self.texts == ("false",))


@dataclass(frozen=True, slots=True)
class Document:
    """
    A configuration file as it was read. A server reads it once: its workers get the same text.

    Attributes:
        name: Path of the file.
        text: Content.
    """

    name: str
    text: str


def readDocument(files: TextFiles, name: str, place: str) -> Document:
    """
    Read a configuration file.

    Args:
        files: Reads it.
        name: Path of the file.
        place: Names the option in messages.

    Raises:
        usage.UsageError: It cannot be read.
    """
    return Document(name, files.read(name, place, _MAX_FILE))


def findInDocument(document: Document) -> Iterator[Given]:
    """
    Yield the options that a configuration file gives.

    Raises:
        usage.UsageError: It is not TOML, has an unknown key, or a value of the wrong form.
    """
    try:
        content = tomllib.loads(document.text)
    except (ValueError, RecursionError) as error:
        raise usage.UsageError(f"{document.name}: {_explainTOML(error)}") from None
    options = {option.name: option for option in OPTIONS}
    for key, value in content.items():
        place = f"{document.name}: {key}"
        option = options.get(key)
        if option is None:
            raise usage.UsageError(f"{document.name}: {explainKey(key, value)}")
        if Origin.FILE not in option.origins:
            raise usage.UsageError(f"{place}: this option cannot stand in a file")
        try:
            yield Given(option, Origin.FILE, place, readValue(option, value))
        except ValueError as error:
            raise usage.UsageError(f"{place}: {error}") from None


def _explainTOML(error: Exception) -> str:
    return "the file is nested too deeply" if isinstance(error, RecursionError) else f"not TOML: {error}"


def explainKey(key: str, value: Any) -> str:
    """
    Return why a key of a file is none, with the nearest option.

    Args:
        key: The key.
        value: Its value.
    """
    if isinstance(value, dict):
        return f"there is no table [{key}]; options stand at the top, without tables"
    meant = suggestOption(key, 0.6, byOtherNames=True)
    return f"there is no option {key!r}" + ("; see --help" if meant is None else f"; did you mean {meant}?")


def suggestOption(name: str, likeness: float, byOtherNames: bool) -> str | None:
    """
    Return the name of the option that somebody probably means.

    Args:
        name: What is written, in any case, with dashes or underscores.
        likeness: Share of it that must be right.
        byOtherNames: Whether names that newcomers use count as well.
    """
    name = name.lower().replace("_", "-")
    if byOtherNames:
        for option in OPTIONS:
            if name in option.otherNames:
                return option.name
    return next(iter(difflib.get_close_matches(name, [option.name for option in OPTIONS], 1, likeness)), None)


def findInEnvironment(environment: Mapping[str, str]) -> Iterator[Given]:
    """
    Yield the options that environment variables give. An empty variable gives none.

    Args:
        environment: The environment.

    Raises:
        usage.UsageError: A variable seems to be misspelt, or a value has the wrong form.
    """
    options = {option.variable: option for option in OPTIONS if Origin.ENVIRONMENT in option.origins}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or not value:
            continue
        option = options.get(variable)
        if option is not None:
            yield Given(option, Origin.ENVIRONMENT, f"${variable}", _readVariable(option, variable, value))
        elif not isForeign(variable, value):
            _checkSpelling(variable, options)


def isForeign(variable: str, value: str) -> bool:
    """
    Return whether a variable is none that names an option: one with a secret, or one that Kubernetes makes.

    Args:
        variable: Its name.
        value: Its value.
    """
    if variable in SECRETS or variable.startswith(f"{KEY_VARIABLE}_"):
        return True
    service = _SERVICE.search(variable)
    return service is not None and (service[0] != "_PORT" or _SERVICE_URL.match(value) is not None)


def _checkSpelling(variable: str, known: Iterable[str]) -> None:
    """
    Check that a variable which names no option does not nearly do so.

    Raises:
        usage.UsageError: It does. Other variables with our prefix may belong to other programs.
    """
    # The prefix that all have in common would make any two of them alike.
    words = [name.removeprefix(PREFIX) for name in (*known, *SECRETS)]
    for meant in difflib.get_close_matches(variable.removeprefix(PREFIX), words, 1, _LIKENESS):
        raise usage.UsageError(f"${variable} is no option; did you mean ${PREFIX}{meant}?")


def findUnknown(environment: Mapping[str, str]) -> Iterator[str]:
    """
    Yield a sentence about each variable that newcomers take for the one of an option.

    Args:
        environment: The environment.
    """
    names = {option.variable for option in OPTIONS}
    for variable, value in sorted(environment.items()):
        if variable.startswith(PREFIX) and variable not in names and not isForeign(variable, value):
            word = variable.removeprefix(PREFIX).lower().replace("_", "-")
            meant = next((option for option in OPTIONS if word in option.otherNames), None)
            if meant is not None:
                yield f"${variable} is no option; did you mean ${meant.variable}?"


def _readVariable(option: Option, variable: str, value: str) -> tuple[str, ...]:
    """
    Convert the value of a variable to the texts of a command line.

    Raises:
        usage.UsageError: A quotation is not closed, or a flag is neither on nor off.
    """
    try:
        if option.type is FLAG:
            return ("true" if option.type.read(value) else "false",)
        return splitWords(value) if option.repeatable else (value,)
    except ValueError as error:
        raise usage.UsageError(f"${variable}: {str(error).lower()}") from None


def splitWords(text: str) -> tuple[str, ...]:
    r"""
    Split the value of a variable into the values of an option that may be given more than once.

    Args:
        text: Values that are separated by spaces; one with spaces stands in quotes. A backslash is one: endpoints have
            `\:`.

    Raises:
        ValueError: A quotation is not closed.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    return tuple(lexer)
