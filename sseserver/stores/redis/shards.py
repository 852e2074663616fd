"""
Shards: calls the scripts, and renews shards that belong to an earlier generation of the server.

Redis may lose its last writes when it restarts, or when a replica takes over. So each shard notes the generation of the
server that had it last, and a script that finds another one changes nothing. Before it is called again, the shard is
renewed: each open stream that is published into gets a new epoch. A run keeps its epoch, since its owner still has the
entries that Redis lost, and appends them again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Argument, Reply
from sseserver.stores.redis.layout import NEVER, Layout
from sseserver.stores.redis.script import Script
from sseserver.stores.redis.scripts import RENEW

log = Logger(__name__)

#: Times that a script is called again because its shard had to be renewed.
ATTEMPTS = 4

_RENEW = "generation"


class Shards:
    """
    Calls scripts that change streams.

    Args:
        client: The Redis.
        layout: Names of the keys.
        onOwners: Called with the owners of the open runs of each shard that was renewed.

    Attributes:
        complaints: Names foreign values in the log.
        layout: See above.
    """

    def __init__(self, client: Client, layout: Layout, onOwners: Callable[[list[bytes]], object]) -> None:
        self.complaints = client.complaints
        self.layout = layout
        self._client = client
        self._onOwners = onOwners
        # The calls that wait for a shard to be renewed.
        self._renewing: dict[int, list[Deferred[None]]] = {}

    @inlineCallbacks
    def run(
        self, script: Script, shard: int, keys: Sequence[bytes], arguments: Sequence[Argument]
    ) -> Generator[Deferred[Any], Any, Reply]:
        """
        Run a script on one shard, which is renewed before if that is needed.

        Args:
            script: The script.
            shard: Number of the shard.
            keys: Keys of the script.
            arguments: Its arguments.

        Raises:
            StoreUnavailable: (errback) The script was not run, or it is not known whether it was.
        """
        for _ in range(ATTEMPTS):
            reply = yield self._client.run(script, keys, arguments)
            if not isRefusedBy(reply, _RENEW):
                return reply
            yield self.renew(shard)
        raise StoreUnavailable("The store changes servers too fast; retry later.")

    def renew(self, shard: int) -> Deferred[None]:
        """
        Give a shard to the present generation of the server.

        Args:
            shard: Number of the shard.

        Raises:
            StoreUnavailable: (errback) That is not possible now.
        """
        renewed: Deferred[None] = Deferred()
        waiting = self._renewing.setdefault(shard, [])
        waiting.append(renewed)
        if len(waiting) == 1:
            base = self.layout.findBase(shard)
            keys = [base + b"generation", base + b"streams", base + b"runs", base + NEVER]
            arguments = (base, secrets.token_hex(20))
            self._client.run(RENEW, keys, arguments).addBoth(self._noteRenewed, shard)
        return renewed

    def _noteRenewed(self, result: Any, shard: int) -> None:
        if isinstance(result, list) and result:
            self._onOwners(sorted(set(result)))
        for renewed in self._renewing.pop(shard):
            renewed.callback(result if not isinstance(result, list) else None)


def isRefusedBy(reply: Reply, word: str) -> bool:
    """
    Return whether a script has refused with a word.

    Args:
        reply: Its reply.
        word: The word.
    """
    written = word.encode("ascii")
    return bool(reply == written or (isinstance(reply, list) and reply and reply[0] == written))
