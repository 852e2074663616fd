"""
Options: one table of everything that can be set, the types of its values, and the help text that is made from it.

The command line, `Settings` and the option reference are made from the table. To add an option, add a row to `table`,
or to the module with the rows of its topic: `clients` (limits for each), `credentials` (access), `gate` (hosts and
origins), `operation` (logs, stop, health). `row` describes a row, and `types` the types of values.
"""

from __future__ import annotations

from sseserver.options.table import KEY_VARIABLE, OPTIONS, defaultOf, optionNamed

__all__ = ["KEY_VARIABLE", "OPTIONS", "defaultOf", "optionNamed"]
