"""
Tests for `sseserver.options.variables`: the names of environment variables.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import OPTIONS
from sseserver.options.variables import SECRETS, nameVariable


class VariableTests(SynchronousTestCase):
    """Names of variables."""

    def test_names(self) -> None:
        """Each option has a variable of its own, whose name is the one of the option; none is that of a secret."""
        names = [option.variable for option in OPTIONS]
        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(nameVariable("max-viewers"), "SSESERVER_MAX_VIEWERS")
        self.assertTrue(all(re.fullmatch(r"SSESERVER_[A-Z]+(_[A-Z]+)*", name) for name in names))
        self.assertFalse(SECRETS.keys() & set(names))

    def test_secrets(self) -> None:
        """The option beside each secret names a file; its variable is that of the secret with `_FILE` behind it."""
        variables = {option.variable for option in OPTIONS}
        self.assertLessEqual({f"{name}_FILE" for name in SECRETS}, variables)
        self.assertLessEqual(set(SECRETS.values()), {option.name for option in OPTIONS})
