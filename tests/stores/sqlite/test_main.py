"""Tests for `sseserver.stores.sqlite.__main__`: the command line."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.sqlite.__main__ import main
from sseserver.stores.sqlite.database import Database


class CommandTests(SynchronousTestCase):
    """The command `backup`."""

    def test_F135_backup(self) -> None:
        """F135: the command makes a copy; a second one of the same name is refused in a line, with exit status 1."""
        path, copy = self.mktemp(), self.mktemp()
        database = Database(path)
        database.recover(0.0, iter(()), "boot")
        database.close()
        main(["backup", path, copy])
        self.assertTrue(Path(copy).exists())
        said = str(self.assertRaises(SystemExit, main, ["backup", path, copy]).code)
        self.assertIn("exists already", said)
        self.assertNotIn("\n", said)

    def test_wrong(self) -> None:
        """A wrong command line is explained, with exit status 2."""
        for arguments in ([], ["backup"], ["restore", "a", "b"]):
            with redirect_stderr(StringIO()):
                self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, 2)
