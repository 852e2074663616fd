"""
Fills an SQLite file with two long answers of Responses, `tokens` and `chunks`: own tokens, and an upstream's chunks.

    python benchmarks/peers/fill_answers.py FILE TOKENS
"""

import json
import sys
from typing import Any

from twisted.internet import task

from sseserver.stores.sqlite import SQLiteStore

#: Kinds of entries, see `sseserver.values.Kind`.
TOKEN, CHUNK, DONE, INPUT = 0, 2, 8, 5

#: A chunk as OpenAI writes it.
FRAME = (
    '{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","created":1764500000,'
    '"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}\n%s'
)

#: Entries that are appended before they must be stored.
GROUP = 4000


async def main(reactor: Any, path: str, tokens: str) -> None:
    """Write both answers."""
    store = SQLiteStore(reactor, path, 1 << 30)
    store.start()
    for name in ("tokens", "chunks"):
        streamLog = await store.create(name, published=False)
        streamLog.append(INPUT, b'{"model": "m"}\n[]')
        for number in range(1, int(tokens) + 1):
            text = f"word{number % 1000} "
            if name == "tokens":
                streamLog.append(TOKEN, text.encode())
            else:
                streamLog.append(CHUNK, (FRAME % (json.dumps(text), text)).encode())
            if not number % GROUP:
                await streamLog.awaitStored()
        streamLog.append(DONE, json.dumps({"reason": "stop", "tokens": int(tokens)}).encode())
        await streamLog.awaitStored()
    await store.stop()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
