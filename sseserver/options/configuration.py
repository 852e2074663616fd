"""
The options of configuration: where the other options come from. `sseserver.options.table` puts them beside these.
"""

from __future__ import annotations

from sseserver.options.row import Group, Option, Origin
from sseserver.options.types import FILE, FLAG

CONFIGURATION = (
    Option(
        "config",
        FILE,
        None,
        Group.CONFIGURATION,
        "Read options from this TOML file, such as `max-viewers = 500`. Variables, such as `SSESERVER_MAX_VIEWERS`, "
        "come before it, and the command line comes first.",
        short="c",
        origins=frozenset({Origin.COMMAND_LINE, Origin.ENVIRONMENT}),
        otherNames=("configuration", "config-file", "conf", "settings"),
    ),
    Option(
        "check",
        FLAG,
        False,
        Group.CONFIGURATION,
        "Check everything that does not need a start, print the options in effect as a TOML file, and exit: with "
        "status 0, or 1 and the fault.",
        origins=frozenset({Origin.COMMAND_LINE}),
        otherNames=("check-config", "dry-run", "test-config", "validate"),
    ),
)
