"""
The store of `--store redis://…`.
"""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from twisted.internet import reactor
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.parsing import Options
from sseserver.command.redisstore import isRedis, makeRedisStore
from sseserver.options.variables import REDIS_VARIABLE
from tests.redisservers import findMissing


class RedisStoreTests(SynchronousTestCase):
    """The options of a Redis."""

    def make(self, *words: str) -> object:
        """Make the store of a command line."""
        options = Options()
        options.parseOptions(words)
        return makeRedisStore(reactor, options, 1000, None, bool)

    def test_recognized(self) -> None:
        """A URL of a Redis is not the path of a file."""
        self.assertEqual(
            [isRedis(text) for text in ("redis://a", "rediss://a", "redis.db", None)], [True, True, False, False]
        )

    def test_package(self) -> None:
        """Without the extra the message says how to install it."""
        with patch.dict("sys.modules", {"hiredis": None}):
            error = self.assertRaises(usage.UsageError, self.make, "--store=redis://db")
        self.assertIn("sseserver[redis]", str(error))


class ConfiguredTests(RedisStoreTests):
    """With the extra."""

    skip = findMissing()

    def test_made(self) -> None:
        """Address, prefix and credentials come from options, a file or the environment."""
        path = Path(self.mktemp())
        path.write_text("user\nsecret\n")
        self.make("--store=redis://db:7000/1", "--redis-prefix=app:", f"--redis-credentials-file={path}")
        with patch.dict("os.environ", {REDIS_VARIABLE: "secret"}):
            self.make("--store=redis+unix:///run/redis")

    def test_mistakes(self) -> None:
        """Mistakes are named, and no password is repeated."""
        empty, broken = Path(self.mktemp()), Path(self.mktemp())
        empty.write_text("\n\n\n")
        broken.write_bytes(b"\xff")
        for words in (
            ("--store=redis://u:secret@db",),
            ("--store=redis://db/x",),
            ("--store=redis://db", "--redis-prefix={x}"),
            ("--store=redis://db", "--redis-credentials-file=/nowhere"),
            ("--store=redis://db", f"--redis-credentials-file={empty}"),
            ("--store=redis://db", f"--redis-credentials-file={broken}"),
        ):
            error = self.assertRaises(usage.UsageError, self.make, *words)
            self.assertNotIn("secret", str(error))
