"""
Options: one table of everything that can be set, the types of its values, and the help text that is made from it.

The command line, environment variables, configuration files, `Settings` and the option reference are made from the
table. To add an option, add a row to `table`, or to the module with the rows of its topic: `clients` (limits for each),
`credentials` (access), `gate` (hosts and origins), `operation` (logs, stop, health), `configuration`. `row` describes a
row, `types` the types of values, and `tomltext` their form in a file. `conflicts` has the pairs that exclude each
other, `variables` the names of environment variables.
"""

from __future__ import annotations

from sseserver.options.table import OPTIONS, defaultOf, optionNamed
from sseserver.options.variables import KEY_VARIABLE

__all__ = ["KEY_VARIABLE", "OPTIONS", "defaultOf", "optionNamed"]
