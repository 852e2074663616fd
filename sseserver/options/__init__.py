"""
Options: one table of everything that can be set, the types of its values, and the help text that is made from it.

The command line, `Settings` and the option reference are made from the table. To add an option, add a row to `table`.
"""

from __future__ import annotations

from sseserver.options.table import KEY_VARIABLE, OPTIONS, defaultOf, optionNamed

__all__ = ["KEY_VARIABLE", "OPTIONS", "defaultOf", "optionNamed"]
