"""
Tests for `sseserver.options.table` and `sseserver.options.row`: the table of options.
"""

from __future__ import annotations

import os
import runpy
from dataclasses import fields

from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import OPTIONS, defaultOf, optionNamed
from sseserver.options.row import Group
from sseserver.options.types import FLAG
from sseserver.settings import Settings
from tests.house import ROOT


class OptionTableTests(SynchronousTestCase):
    """The table as a whole."""

    def test_namesAreUnique(self) -> None:
        """No two options share a long name, a short name or a setting."""
        for attribute in ("name", "short", "setting"):
            values = [value for option in OPTIONS if (value := getattr(option, attribute)) is not None]
            self.assertEqual(len(values), len(set(values)), attribute)

    def test_settings(self) -> None:
        """Each field of `Settings` is filled by one option, and each setting in the table is a field."""
        settings = sorted(option.setting for option in OPTIONS if option.setting is not None)
        self.assertEqual(settings, sorted(field.name for field in fields(Settings)))

    def test_flags(self) -> None:
        """A flag is off by default; only the variable of a flag counts in programs."""
        for option in OPTIONS:
            if option.type is FLAG:
                self.assertIs(option.default, False)
            else:
                self.assertFalse(option.inPrograms)

    def test_defaultsAreValues(self) -> None:
        """The text of a default converts to the default itself."""
        for option in OPTIONS:
            if option.default is not None and option.type is not FLAG:
                value = option.type.read(option.type.write(option.default))
                self.assertEqual((type(value), value), (type(option.default), option.default), option.name)

    def test_help(self) -> None:
        """Each option has a help text that is a sentence, with its literals in pairs of back-quotes."""
        for option in OPTIONS:
            self.assertRegex(option.help, r"^[A-Z].*\.$")
            self.assertEqual(option.help.count("`") % 2, 0, option.name)

    def test_groups(self) -> None:
        """Each group has an option; the reference would print an empty section otherwise."""
        self.assertEqual({option.group for option in OPTIONS}, set(Group))

    def test_reference(self) -> None:
        """docs/options.md is what docs/optionreference.py makes of the table."""
        made = runpy.run_path(str(ROOT / "docs" / "optionreference.py"))["reference"]()
        self.assertEqual(made, (ROOT / "docs" / "options.md").read_text("utf-8"))
        self.assertTrue(all(f"`--{option.name}`" in made for option in OPTIONS))


class DefaultTests(SynchronousTestCase):
    """`defaultOf` and `optionNamed`."""

    def test_table(self) -> None:
        """The default is the one in the table."""
        for option in OPTIONS:
            if not option.inPrograms:
                self.assertIs(defaultOf(option.name), option.default)

    def test_environment(self) -> None:
        """A flag whose variable counts in programs is on unless the variable is unset, empty, 0 or false."""
        for environment, expected in (
            ({}, False),
            ({"SSESERVER_PLAIN": ""}, False),
            ({"SSESERVER_PLAIN": "0"}, False),
            ({"SSESERVER_PLAIN": "false"}, False),
            ({"SSESERVER_PLAIN": "1"}, True),
            ({"SSESERVER_PLAIN": "yes"}, True),
        ):
            self.patch(os, "environ", environment)
            self.assertIs(defaultOf("plain"), expected, environment)

    def test_unknown(self) -> None:
        """An unknown name is a `LookupError` that quotes it."""
        for find in (defaultOf, optionNamed):
            self.assertIn("'nope'", str(self.assertRaises(LookupError, find, "nope")))
