"""
A JSON Web Key Set (RFC 7517) at a URL: fetched when it is needed, kept, and fetched again when keys may have changed.

`sseserver.command.access` makes `RemoteKeys` for a URL of keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NoReturn

import jwt
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from sseserver.client.bodies import readBodyStart
from sseserver.errors import KeysUnavailable, SSEServerError
from sseserver.redaction import hideSecrets
from sseserver.timing.patience import addPatientTimeout
from sseserver.web.access.jwts import TokenKey

log = Logger(__name__)

#: Seconds after which the set is fetched again.
KEPT_SECONDS = 600.0

#: Seconds for which keys are accepted that could not be fetched again.
STALE_SECONDS = 86_400.0

#: Seconds between two fetches, whatever keys tokens name.
PAUSE_SECONDS = 10.0

#: Seconds that a fetch may take.
FETCH_SECONDS = 10.0

#: Bytes. Largest set.
SET_BYTES = 256 * 1024

#: Number of keys of a set.
MAX_KEYS = 100


class RemoteKeys:
    """
    The keys of a set.

    Args:
        clock: The reactor.
        agent: Fetches the set. It must not follow redirects.
        url: URL of the set.
        algorithm: The algorithm of the tokens; other keys of the set are ignored.
        onChange: Called after a fetch that has brought other keys than the one before.
    """

    def __init__(
        self, clock: Any, agent: IAgent, url: str, algorithm: str, onChange: Callable[[], object] = lambda: None
    ) -> None:
        self._clock = clock
        self._agent = agent
        self._url = url.encode("ascii")
        self._shown = hideSecrets(url)
        self._algorithm = algorithm
        self.onChange = onChange
        self._keys: dict[str | None, TokenKey] = {}
        self._body = b""
        # The times of the last fetch that has brought keys, and of the last one that was begun.
        self._received: float | None = None
        self._asked: float | None = None
        self._waiting: list[Deferred[None]] | None = None

    def knows(self, digest: bytes) -> bool:
        """See `KeySet.knows`: the keys are those of the last fetch."""
        return any(key.digest == digest for key in self._keys.values())

    def find(self, kid: str | None) -> TokenKey | Deferred[TokenKey | None] | None:
        """See `KeySet.find`. A token without `kid` is verified with the only key of the set."""
        isMissing = self._lookUp(kid) is None
        if isMissing or self._isOlderThan(KEPT_SECONDS):
            fetching = self._fetch()
            # Otherwise the present key is good enough while the others come.
            if fetching is not None and (isMissing or self._isOlderThan(STALE_SECONDS)):
                return fetching.addCallback(lambda _: self._require(kid))
        return self._require(kid)

    def _require(self, kid: str | None) -> TokenKey | None:
        """
        Return a key, or `None`.

        Raises:
            KeysUnavailable: There are no keys that are new enough.
        """
        if self._isOlderThan(STALE_SECONDS):
            raise KeysUnavailable("The keys that verify tokens cannot be fetched now; retry later.")
        return self._lookUp(kid)

    def _lookUp(self, kid: str | None) -> TokenKey | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _isOlderThan(self, seconds: float) -> bool:
        """Tell whether the keys are older than a time, or there are none."""
        return self._received is None or not 0 <= self._clock.seconds() - self._received < seconds

    def _fetch(self) -> Deferred[None] | None:
        """Fetch the set, or join the fetch that is under way. Return `None` if the last one was just now."""
        now = self._clock.seconds()
        isNew = self._waiting is None
        if isNew and self._asked is not None and 0 <= now - self._asked < PAUSE_SECONDS:
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting = [*(self._waiting or ()), waiting]
        if isNew:
            self._asked = now
            asking = Deferred.fromCoroutine(self._ask())
            addPatientTimeout(asking, self._clock, FETCH_SECONDS, _raiseTimeout)
            asking.addCallbacks(self._receive, self._fail)
        return waiting

    async def _ask(self) -> bytes:
        response = await self._agent.request(b"GET", self._url, Headers({b"Accept": [b"application/json"]}))
        body = await readBodyStart(self._clock, response, SET_BYTES + 1, FETCH_SECONDS)
        if response.code != 200:
            raise KeysUnavailable(f"The answer has the status {response.code}.")
        if len(body) > SET_BYTES:
            raise KeysUnavailable(f"The answer has more than {SET_BYTES} bytes.")
        return body

    def _receive(self, body: bytes) -> None:
        try:
            keys = readKeySet(body, self._algorithm)
        except ValueError as error:
            log.error("The key set at {url} cannot be used: {error}", url=self._shown, error=error)
        else:
            self._received = self._clock.seconds()
            self._keys = keys
            if body != self._body:
                self._body = body
                self.onChange()
        self._endFetch()

    def _fail(self, failure: Failure) -> None:
        error = failure.value if failure.check(SSEServerError) else failure.getErrorMessage()
        log.error("The key set at {url} cannot be fetched: {error}", url=self._shown, error=error)
        self._endFetch()

    def _endFetch(self) -> None:
        waiting, self._waiting = self._waiting, None
        for one in waiting or ():
            one.callback(None)


def readKeySet(body: bytes, algorithm: str) -> dict[str | None, TokenKey]:
    """
    Read a key set.

    Args:
        body: JSON.
        algorithm: The algorithm that the keys are for. Keys for anything else are left out.

    Returns:
        The keys by their names.

    Raises:
        ValueError: It is not a key set, has too many keys, or has no key for the algorithm.
    """
    try:
        described = json.loads(body)["keys"]
        keys = {each.get("kid"): _readKey(each, algorithm) for each in described[:MAX_KEYS] if _isFor(each, algorithm)}
    except Exception:
        # The body is foreign: each wrong shape raises another error, in this line or in the libraries.
        raise ValueError("it is not a JSON Web Key Set") from None
    if len(described) > MAX_KEYS:
        raise ValueError(f"it has more than {MAX_KEYS} keys")
    if not keys:
        raise ValueError(f"it has no key for {algorithm}")
    return keys


#: Types of keys, by algorithms. A shared key must never come from a URL.
_TYPES = {"RS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", None)}

#: Members that make a public key (RFC 7638 section 3.2, RFC 8037 section 2).
_THUMBPRINT = ("kty", "crv", "n", "e", "x", "y")


def _isFor(described: Mapping[str, Any], algorithm: str) -> bool:
    kind, curve = _TYPES[algorithm]
    return (
        described.get("kty") == kind
        and described.get("use", "sig") == "sig"
        and described.get("alg", algorithm) == algorithm
        and (curve is None or described.get("crv") == curve)
    )


def _readKey(described: Mapping[str, Any], algorithm: str) -> TokenKey:
    material = jwt.PyJWK({name: value for name, value in described.items() if name != "d"}, algorithm=algorithm).key
    # The members of its thumbprint: the rest, such as a certificate, may change.
    numbers = [described.get(name) for name in _THUMBPRINT]
    return TokenKey(material, sha256(json.dumps(numbers).encode("utf-8")).digest())


def _raiseTimeout(seconds: float) -> NoReturn:
    """Give up a fetch."""
    raise KeysUnavailable(f"There was no answer within {seconds:g} seconds.")
