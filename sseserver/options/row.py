"""
The row of an option in the table of `sseserver.options`, and the topics of the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sseserver.options.types import ValueType
from sseserver.options.variables import nameVariable


class Group(Enum):
    """Topic of an option; the sections of the option reference, in this order."""

    SOURCE = "Token source"
    LISTENING = "Listening"
    ACCESS = "Access"
    VIEWERS = "Viewers"
    RUNS = "Runs"
    STREAMS = "Streams"
    CLIENTS = "Clients"
    SPEED = "Speed"
    OPERATION = "Operation"
    CONFIGURATION = "Configuration"


class Origin(Enum):
    """Place that a value comes from, in the order of precedence."""

    COMMAND_LINE = "command line"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


#: Places that may give a value to most options.
ANYWHERE = frozenset({Origin.COMMAND_LINE, Origin.ENVIRONMENT, Origin.FILE})


@dataclass(frozen=True, slots=True)
class Option:
    """
    One row of the table.

    Attributes:
        name: Long name, without dashes.
        type: Type of the value.
        default: Value if the option is not given; `None` if there is none.
        group: Topic.
        help: Help text: one to three sentences, with literals in back-quotes.
        short: One-letter name.
        otherNames: What newcomers call it; a message about such a name suggests this option.
        setting: Field of `Settings` that the option fills.
        inPrograms: Whether its variable sets the default in programs of embedders as well; for a flag.
        minimum: Smallest value that the command line takes, beside what the type refuses.
        needs: Names of options of which one must be given; without them this one has no effect.
        repeatable: Whether the option may be given more than once.
        origins: Places that may give it a value.
    """

    name: str
    type: ValueType
    default: Any
    group: Group
    help: str
    short: str | None = None
    otherNames: tuple[str, ...] = ()
    setting: str | None = None
    inPrograms: bool = False
    minimum: int | None = None
    needs: tuple[str, ...] = ()
    repeatable: bool = False
    origins: frozenset[Origin] = ANYWHERE

    @property
    def variable(self) -> str:
        """Name of the environment variable that sets it."""
        return nameVariable(self.name)
