"""
Scripting: runs the scripts of the store in a real Lua, as Redis does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

from tests.simulation.redis.keyspace import Reply, Wrong

#: Makes the table `redis` of the scripts. A reply that is an error is raised as a table.
_PRELUDE = b"""
local dispatch, sha1hex = ...
redis = {sha1hex = sha1hex, pcall = dispatch, call = function(...)
  local reply = dispatch(...)
  if type(reply) == 'table' and reply.err then error(reply, 0) end
  return reply
end}
"""


def findMissing() -> str | None:
    """
    Return what the simulation of a Redis lacks on this machine; `None` if nothing is missing.

    Raises:
        AssertionError: Something is missing in CI, where nothing may be.
    """
    missing = [name for name in ("hiredis", "lupa") if find_spec(name) is None]
    assert not (missing and os.environ.get("CI")), f"CI needs {missing}."
    return f"{missing[0]} is not installed" if missing else None


class Program(NamedTuple):
    """
    A script.

    Attributes:
        function: Runs it.
        flags: Its flags.
    """

    function: Callable[[], Any]
    flags: str


class Lua:
    """A Lua 5.1 with what Redis adds to it."""

    def __init__(self) -> None:
        from lupa import lua51

        self._lua = lua51.LuaRuntime(encoding=None, register_eval=False)
        self._globals = self._lua.globals()
        self._load = self._globals[b"loadstring"]
        self._typeOf = lua51.lua_type
        self._call: Callable[[bytes, list[bytes]], Reply] | None = None
        self._load(_PRELUDE)(self._dispatch, lambda text: hashlib.sha1(text).hexdigest().encode())

    def compile(self, text: bytes) -> Program:
        """Compile a script."""
        head, _, body = text.partition(b"\n")
        function = self._load(b"\n" + body, b"@user_script")
        assert callable(function), function
        return Program(function, head.decode().partition("flags=")[2])

    def run(
        self,
        program: Program,
        keys: Sequence[bytes],
        arguments: Sequence[bytes],
        call: Callable[[bytes, list[bytes]], Reply],
    ) -> Reply:
        """
        Run a script.

        Args:
            program: The script.
            keys: Its keys.
            arguments: Its arguments.
            call: Carries out a command.

        Raises:
            Wrong: The script has failed.
        """
        self._call = call
        self._globals[b"KEYS"] = self._lua.table_from(keys)
        self._globals[b"ARGV"] = self._lua.table_from(arguments)
        return self._toReply(program.function())

    def _dispatch(self, name: bytes, *arguments: Any) -> Any:
        assert self._call is not None
        try:
            words = [each if isinstance(each, bytes) else b"%.17g" % each for each in arguments]
            return self._toLua(self._call(name, words))
        except Wrong as wrong:
            return self._lua.table_from({b"err": str(wrong).encode()})
        except TypeError:
            return self._lua.table_from({b"err": b"ERR Lua redis lib command arguments must be strings or integers"})

    def _toLua(self, reply: Reply) -> Any:
        if isinstance(reply, list):
            return self._lua.table_from([self._toLua(each) for each in reply])
        return False if reply is None else reply

    def _toReply(self, value: Any) -> Reply:
        if self._typeOf(value) == "table":
            if value[b"err"] is not None:
                raise Wrong(value[b"err"].decode())
            # As in Redis, the first `nil` ends the list.
            return [self._toReply(value[number]) for number in range(1, len(value) + 1)]
        if isinstance(value, bool):
            return 1 if value else None
        return int(value) if isinstance(value, float) else value


@cache
def sharedLua() -> Lua:
    """Return the Lua of this process. It has no state but the compiled scripts."""
    return Lua()


@cache
def compileScript(text: bytes) -> Program:
    """Compile a script, once."""
    return sharedLua().compile(text)
