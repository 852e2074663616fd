"""
Foreign values at the keys of a store: each key of the layout, each kind of damage, each kind of request.

Tests of `sseserver.stores.redis.damage`, `sseserver.stores.redis.entries`, `sseserver.stores.redis.indices` and
`sseserver.stores.redis.script`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.redisservers import findMissing
from tests.stores.redis.foreigncases import LONG, ForeignCase

if findMissing() is None:
    from sseserver.stores.redis.layout import Place

#: The fields of a stream, and nonsense for them. Each field gets some of these, in turn.
FIELDS = (
    *("epoch", "state", "first", "last", "owner", "terminal", "published", "created", "ended", "size", "tokens"),
    *("trimmedCR", "keyBytes", "epochs", "question", "node", "name"),
)
NONSENSE = (None, b"", b"x", b"9" * 40, b"-1", b"\xff\xfe", b"nan", b"1.5", b"x" * 200_000, b"1e3")

#: Damages of a field that are tried.
_EACH = 2


class KeyTests(ForeignCase):
    """Damaged keys of streams, and of indices."""

    def locate(self, path: str) -> Place:
        """Return the keys of a stream."""
        return self.layout.locate(path.rpartition("/")[2])

    def spoilEach(self, spoils: Iterable[tuple[str, Callable[[], object]]]) -> None:
        """
        Change something in several ways, each on new streams.

        Args:
            spoils: What is changed, and the change.
        """
        for what, spoil in spoils:
            self.prepare()
            spoil()
            self.attack(what)
            self.clear()

    def replace(self, findKey: Callable[[], bytes], *words: str | bytes | int) -> Callable[[], object]:
        """Return a change: the key is deleted, and a command is sent with it, unless there is none."""

        def spoil() -> None:
            key = findKey()
            self.redis.call("DEL", key)
            if words:
                self.redis.call(words[0], key, *words[1:])

        return spoil

    def change(self, findKey: Callable[[], bytes], *words: str | bytes | int) -> Callable[[], object]:
        """Return a change: a command is sent with a key."""
        return lambda: self.redis.call(words[0], findKey(), *words[1:])

    def listTypes(self, findKey: Callable[[], bytes]) -> list[tuple[str, Callable[[], object]]]:
        """Return changes that replace a key by values of other types."""
        return [
            ("a string", self.replace(findKey, "SET", "x")),
            ("an empty string", self.replace(findKey, "SET", "")),
            ("a list", self.replace(findKey, "LPUSH", "x")),
            ("nothing", self.replace(findKey)),
        ]

    def test_types(self) -> None:
        """A key of a stream has another type, or is gone."""
        for name in ("a", "run"):

            def find(word: str, name: str = name) -> bytes:
                key: bytes = getattr(self.locate(self.run_ if name == "run" else name), word)
                return key

            for word in ("stream", "entries", "keys"):
                self.spoilEach(
                    (f"{what} at {word} of {name}", spoil)
                    for what, spoil in self.listTypes(lambda word=word, find=find: find(word))
                )

    def test_indices(self) -> None:
        """An index of a shard has another type, or is gone."""
        for word in ("streams", "runs", "idle", "generation"):
            for name in ("a", "run"):

                def find(word: str = word, name: str = name) -> bytes:
                    key: bytes = getattr(self.locate(self.run_ if name == "run" else name), word)
                    return key

                self.spoilEach((f"{what} at {word} of {name}", spoil) for what, spoil in self.listTypes(find)[2:])

    def test_members(self) -> None:
        """Indices have names that are none, names of another shard, and foreign scores."""
        names = (b"\xff\xfe", b"elsewhere", b"x" * 100_000, b"")
        for word, score in (("streams", "inf"), ("idle", "-inf"), ("idle", "1e300")):
            place = self.layout.locate("a")

            def spoil(key: bytes = getattr(place, word), score: str = score) -> None:
                for name in (*names, b"a"):
                    self.redis.call("ZADD", key, score, name)

            self.spoilEach([(f"names in {word}", spoil)])
            if score == "1e300":
                # Nobody looks at those that are not due.
                continue
            self.prepare()
            spoil()
            self.passTime(LONG)
            self.assertEqual([self.redis.call("ZSCORE", getattr(place, word), name) for name in names], [None] * 4)
            self.clear()

        def spoilRuns() -> None:
            for name in names:
                self.redis.call("HSET", self.locate(self.run_).runs, name, "\xff")
            self.redis.call("HSET", self.locate(self.run_).runs, self.run_.rpartition("/")[2], "")

        self.spoilEach([("names in runs", spoilRuns)])

    def test_fields(self) -> None:
        """A field of a stream is missing, or nonsense."""
        for number, field in enumerate(FIELDS):
            for turn in range(_EACH):
                value = NONSENSE[(number + turn * 5) % len(NONSENSE)]
                words = ("HDEL", field) if value is None else ("HSET", field, value)

                def find(isRun: bool = (number + turn) % 2 == 1) -> bytes:
                    return self.locate(self.run_ if isRun else "a").stream

                self.spoilEach([(f"{field} {(value or b'missing')[:9]!r}", self.change(find, *words))])

    def test_states(self) -> None:
        """A state makes sense, but is not that of the stream."""
        for isRun in (False, True):

            def find(isRun: bool = isRun) -> bytes:
                return self.locate(self.run_ if isRun else "a").stream

            self.spoilEach(
                [
                    ("ended", self.change(find, "HSET", "state", "done", "ended", "5", "terminal", "{}")),
                    ("ended without an end", self.change(find, "HSET", "state", "failed", "ended", "5")),
                    ("another epoch", self.change(find, "HSET", "epoch", "e" * 22)),
                    ("fewer entries", self.change(find, "HSET", "last", "1")),
                    ("more entries", self.change(find, "HSET", "last", "7")),
                    ("another kind of stream", self.change(find, "HSET", "published", str(int(isRun)))),
                ]
            )

    def test_renewed(self) -> None:
        """A shard goes to another generation while one of its streams is damaged."""

        def spoil() -> None:
            place = self.locate("a")
            self.redis.call("SET", place.stream, "x")
            self.redis.call("SET", place.generation, "x")

        self.spoilEach([("a damaged stream in a shard of another generation", spoil)])

    def test_unread(self) -> None:
        """A server that does not know the stream tells that it is damaged, or serves what is there."""
        place = self.layout.locate("b")
        for words, isRight in (
            (("XADD", "2-7", "kind", "0", "data", "x"), True),
            (("HSET", "x", "y"), True),
            (("XADD", "2-0", "kind", "0", "data", b"\xff"), False),
            (("XADD", "2-0", "kind", "8", "data", "{}"), False),
            (("XADD", "2-0", "kind", "1", "data", "a\r\nb"), False),
            (("XADD", "1-1", "kind", "0", "data", "a"), False),
            (("HSET", "state", "done", "ended", "5"), False),
            (("HSET", "created", "inf"), False),
            (("HSET", "question", b"\xff"), False),
            (("HSET", "epochs", "x"), False),
        ):
            self.assertEqual(self.answer(0, "/streams/b", "PUT").status, 201)
            for token in ("one", "two"):
                self.publish(0, "b", token)
            key = place.stream if words[0] == "HSET" else place.entries
            if words[0] == "XADD" and not isRight:
                self.redis.call("DEL", key)
            self.redis.call(words[0], key, *words[1:])
            seen = self.watch(1, "/streams/b").wire
            if isRight:
                self.assertEqual("".join(seen.response.texts), "onetwo", words)
            else:
                self.assertEqual((seen.response.status, seen.response.error["code"]), (503, "store_damaged"), words)
            seen.close()
            listed = self.answer(1, "/streams")
            self.assertEqual(listed.status, 200)
            self.assertEqual(self.answer(1, "/streams/b", "DELETE").status, 204, words)
            self.passTime(4.0)

    def test_entries(self) -> None:
        """Entries are nonsense, have foreign IDs, or are ahead."""
        end = ("XADD", "2-7", "kind", "0", "data", "x")
        for isRun in (False, True):

            def find(isRun: bool = isRun) -> bytes:
                return self.locate(self.run_ if isRun else "a").entries

            self.spoilEach(
                [
                    ("a second sequence", self.change(find, *end)),
                    ("an entry ahead", self.change(find, "XADD", "9-0", "kind", "0", "data", "x")),
                    ("an ID ahead", self.change(find, "XSETID", "9-0")),
                    ("no fields of ours", self.replace(find, "XADD", "1-0", "a", "b")),
                    ("a foreign kind", self.replace(find, "XADD", "1-0", "kind", "77", "data", "x")),
                    ("no UTF-8", self.replace(find, "XADD", "2-0", "kind", "0", "data", b"\xff")),
                    ("no number", self.replace(find, "XADD", "2-0", "kind", "x", "data", "x")),
                    ("an end", self.replace(find, "XADD", "2-0", "kind", "8", "data", "{}")),
                    ("foreign entries only", self.replace(find, "XADD", "2-2", "kind", "0", "data", "x")),
                ]
            )

    def test_nodes(self) -> None:
        """The leases are gone, have another type, or foreign members."""

        def hurry(spoil: Callable[[], object]) -> Callable[[], object]:
            """Return a change after which the leases are renewed."""

            def change() -> None:
                spoil()
                for store in self.stores:
                    store.session.node.hurry()
                self.settle()
                self.assertEqual(self.redis.call("TYPE", self.layout.nodes), b"zset")

            return change

        def find() -> bytes:
            return self.layout.nodes

        changes = [(f"{what} at nodes", hurry(spoil)) for what, spoil in self.listTypes(find)]
        for score, member in (("-inf", ""), ("0", b"\xff"), ("0", "x" * 100_000), ("inf", "y")):
            changes.append((f"a member at {score}", hurry(self.change(find, "ZADD", score, member))))
        self.spoilEach(changes)

    def test_directory(self) -> None:
        """The idempotency key of a run is damaged: its request is refused, or begins a run; others work."""
        for words in (
            ("SET", "x"),
            ("SET", ""),
            ("LPUSH", "x"),
            ("HSET", "digest", ""),
            ("HSET", "digest", "zz", "name", "x", "epoch", "y"),
            ("HSET", "name", b"\xff", "epoch", b"\xff"),
            ("HSET", "epoch", "x"),
            ("HSET", "x", "y"),
            ("HSET", "name", "x" * 100_000, "epoch", "x" * 22),
        ):

            def find() -> bytes:
                return self.layout.nameKey("starts", f"streams start{self.count}")

            self.spoilEach([(f"{words} at the key of a start", self.replace(find, *words))])

    def test_fieldsOfKeys(self) -> None:
        """A field of the idempotency key of a run is nonsense."""

        def find() -> bytes:
            return self.layout.nameKey("starts", f"streams start{self.count}")

        self.spoilEach(
            (f"{field} {value!r} of the key of a start", self.change(find, "HSET", field, value))
            for field, value in (("digest", "x"), ("name", b"\xff"), ("name", ""), ("epoch", b"\xff"), ("epoch", ""))
        )

    def test_publishKeys(self) -> None:
        """An idempotency key of a publish is nonsense."""
        self.spoilEach(
            (f"the key of a publish: {value!r}", self.change(lambda: self.locate("a").keys, "HSET", "k", value))
            for value in ("", "x", b"\xff", "1 1 ", "9 9 abc", "2 1 abc", "1 1 abc", f"1 {'9' * 40} abc")
        )

    def test_chats(self) -> None:
        """The key of a chat is damaged: it is refused, until a new answer takes the key."""
        body = b'{"id": "c", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]}'
        wire = self.connect(self.sites[0])
        wire.begin("/api/chat", None, "POST", body)
        self.settle()
        (key,) = self.redis.call("KEYS", "*:key:*")
        for words in (("SET", "x"), ("LPUSH", "x"), ("HSET", "name", b"\xff", "epoch", "x"), ("HSET", "epoch", "x")):
            self.replace(lambda: key, *words)()
            refused = self.watch(1, "/api/chat/c/stream").wire
            self.assertEqual((refused.response.status, refused.response.error["code"]), (503, "store_damaged"), words)
            wire = self.connect(self.sites[1])
            wire.begin("/api/chat", None, "POST", body)
            self.settle()
            again = self.watch(0, "/api/chat/c/stream").wire
            self.assertEqual(again.response.status, 200, words)
            for each in (wire, again):
                each.close()
            self.source.run.end()
