"""
Servers on a Redis cluster and on a Redis with a Sentinel, both over TLS only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd
from tests.integration.test_redis import Watcher, isReady, servers, startRun, until
from tests.redisclusters import RedisCluster
from tests.redissentinels import WatchedRedis
from tests.redisservers import findMissing, isReplicated, makeTLSLines

pytestmark = pytest.mark.skipif(findMissing() is not None, reason=str(findMissing()))

_TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Make a certificate that the servers of the test trust; return the lines of the configuration that use it."""
    lines = makeTLSLines(tmp_path)
    before = os.environ.get("SSL_CERT_FILE")
    ENVIRONMENT["SSL_CERT_FILE"] = str(tmp_path / "certificate")
    yield lines
    del ENVIRONMENT["SSL_CERT_FILE"]
    if before is not None:
        ENVIRONMENT["SSL_CERT_FILE"] = before


def publish(port: int, number: int) -> bool:
    """Publish a number with a key, and return whether the store has it."""
    headers = {**_TEXT, "Idempotency-Key": f"k{number}"}
    return ask(port, "POST", "/streams/a", headers, b"%d" % number)[0] == 200


def test_cluster(tls: tuple[str, ...]) -> None:
    """Streams of all masters work over TLS, and go on when a replica takes over."""
    cluster = RedisCluster(1, *tls, tls=True)
    try:
        cluster.start()
        with servers(cluster.url, "--interval=0.05") as ((first, second), _):
            paths = [startRun(first) for _ in range(6)]
            watchers = [Watcher(second, path) for path in paths]
            until(lambda: all(watcher.words for watcher in watchers))
            # A replica that has not heard of a run yet would lose it.
            until(lambda: isReplicated(cluster.nodes[0]))
            cluster.nodes[0].kill()
            until(lambda: not isReady(first) and not isReady(second))
            until(lambda: isReady(first) and isReady(second))
            for path, watcher in zip(paths, watchers, strict=True):
                watcher.join(PATIENCE)
                assert watcher.events[-1].type == "done"
                text = ask(first, "GET", path, {"Accept": "text/plain"})[2].decode()
                assert "".join(data for _, data in watcher.words) == text
    finally:
        cluster.remove()


def test_sentinel(tls: tuple[str, ...]) -> None:
    """The Sentinel and the Redis are reached over TLS, and publishes go on at the replica that takes over."""
    redis = WatchedRedis(*tls)
    try:
        redis.start()
        with servers(redis.url) as ((first, second), _):
            assert ask(first, "PUT", "/streams/a")[0] == 201
            watcher = Watcher(second, "/streams/a")
            for number in range(5):
                assert publish(first, number)
            until(lambda: isReplicated(redis.master))
            redis.master.kill()
            until(lambda: not isReady(first) and not isReady(second))
            until(lambda: isReady(first) and isReady(second))
            for number in range(5, 10):
                until(lambda number=number: publish(second, number))
            until(lambda: len(watcher.words) == 10)
            assert [data for _, data in watcher.words] == [str(number) for number in range(10)]
    finally:
        redis.remove()


def test_untrusted(tmp_path: Path) -> None:
    """A certificate that is not trusted is refused by either: the server says so, and does not become ready."""
    lines = makeTLSLines(tmp_path)
    for redis in (RedisCluster(0, *lines, tls=True), WatchedRedis(*lines)):
        try:
            redis.start()
            port = freePort()
            command = twistd("sseserver", "--listen", f"tcp:{port}:interface=127.0.0.1", "--store", redis.url)
            with (tmp_path / "log").open("w+b") as log, serving(command, port, log, env=ENVIRONMENT):
                until(lambda: b"certificate" in (tmp_path / "log").read_bytes())
                assert not isReady(port)
        finally:
            redis.remove()
