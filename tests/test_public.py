"""
The public names of the package, which are imported when they are first used.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import sseserver
from tests.integration.servers import ENVIRONMENT


class PublicNameTests(SynchronousTestCase):
    """The names of `sseserver`."""

    def test_names(self) -> None:
        """Each public name is there, from the module from which type checkers take it."""
        [told] = [node for node in ast.parse(Path(sseserver.__file__).read_text("utf-8")).body if type(node) is ast.If]
        places = {
            name.name: line.module for line in told.body if isinstance(line, ast.ImportFrom) for name in line.names
        }
        self.assertEqual({*places, "__version__"}, set(sseserver.__all__))
        for name, place in places.items():
            self.assertIs(getattr(sseserver, name), getattr(import_module(str(place)), name))
        self.assertLessEqual(set(sseserver.__all__), set(dir(sseserver)))

    def test_unknown(self) -> None:
        """Any other name is an `AttributeError` that names it, also one that a module of the package has."""
        for name in ("Nothing", "log"):
            error = self.assertRaises(AttributeError, getattr, sseserver, name)
            self.assertIn(repr(name), str(error))

    def test_whenUsed(self) -> None:
        """The module of a public name is imported when the name is first used: commands start without the server."""
        look = "print('sseserver.web.site' in sys.modules)"
        program = f"import sys, sseserver.links; {look}; sseserver.StreamSite; {look}"
        told = subprocess.run(
            [sys.executable, "-c", program], env=ENVIRONMENT, check=True, capture_output=True, text=True
        )
        self.assertEqual(told.stdout.split(), ["False", "True"])
