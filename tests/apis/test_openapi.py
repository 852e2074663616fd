"""
The OpenAPI documents and the code: resources, methods, statuses, media types and error codes are the same, both ways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from twisted.web.resource import IResource, Resource

import sseserver.errors
from sseserver.apis import describeAPIs, describeOperators, makeAdmin, makeAPIs
from sseserver.apis.admin.site import AdminResource
from sseserver.apis.admin.workers import WorkersMetrics, WorkersReadiness
from sseserver.apis.root import StreamResource
from sseserver.errors import SSEServerError
from sseserver.settings import Settings
from sseserver.web.accept import JSON
from sseserver.web.access.gate import Gate
from sseserver.web.access.jwts import FixedKey, TokenRules, TokenVerifier
from sseserver.web.access.rights import Access
from sseserver.web.openapi.resource import OpenAPI
from sseserver.web.resource import AsyncResource, NotFoundResource
from tests.apis.admin.cases import MetricsTestCase
from tests.described import Judge
from tests.house import ROOT
from tests.http import CHROME, EVENTSOURCE
from tests.openapicases import DescribedTestCase, Outcome, readRecorded
from tests.web.access.tokens import SHARED

#: Errors that are no answers: what the formats raise, and what the clients of `sseserver.client` see.
NO_ANSWERS = {"event_too_large", "gap", "refused", "unfinished", "event_source"}

#: Codes of requests that belong to no operation.
ANYWHERE = {(404, "not_found"), (405, "method_not_allowed"), (501, "method_not_supported")}

#: Values of the parameters of paths.
VALUES = {"{name}": "news", "{file}": "app.js"}


def locate(resources: dict[str, IResource], path: str) -> Any:
    """Return the resource of a path, found as `twisted.web` does."""
    segments = [VALUES.get(segment, segment) for segment in path.strip("/").split("/")]
    for length in range(len(segments), 0, -1):
        node: Any = resources.get("/".join(segments[:length]))
        if node is not None:
            for segment in segments[length:]:
                node = Resource.getChildWithDefault(node, segment.encode(), None)
            return node
    raise AssertionError(path)


def listClasses(base: type[AsyncResource] = AsyncResource) -> Iterator[type[AsyncResource]]:
    """Yield the classes of resources that have a method of their own."""
    for derived in base.__subclasses__():
        if derived.__module__.startswith("sseserver.") and derived is not NotFoundResource:
            if any(name in vars(derived) for name in ("GET", "PUT", "POST", "DELETE")):
                yield derived
            yield from listClasses(derived)


def listErrors(base: type[SSEServerError] = SSEServerError) -> Iterator[type[SSEServerError]]:
    """Yield the classes of errors."""
    yield base
    for derived in base.__subclasses__():
        yield from listErrors(derived)


class ResourceTests(DescribedTestCase, MetricsTestCase):
    """The resources, and the paths of the documents."""

    def walk(self, document: dict[str, Any], resources: dict[str, IResource]) -> set[type]:
        """Check the methods of each path of a document; return the classes of the resources."""
        classes = set()
        for path, methods in document["paths"].items():
            resource = locate(resources, path)
            self.assertEqual(set(resource.listMethods()) - {"HEAD"}, {name.upper() for name in methods}, path)
            classes.add(type(resource))
        return classes

    def test_resources(self) -> None:
        """Every resource is in a document with all its methods, and each path of a document is a resource."""
        self.serve(self.source, Settings(ollama=True))
        access = Access(self.credentials, self.reactor.seconds)
        apis = makeAPIs(self.service, None, access, Gate())
        admin = makeAdmin(self.measured, access=Access(None, self.reactor.seconds))
        readiness, metrics = WorkersReadiness(lambda: None), WorkersMetrics(lambda: None, dict)  # type: ignore[arg-type,return-value]
        described = self.connect(self.site(admin)).ask("/openapi.json").json
        found = self.walk(describeAPIs(self.service, access), apis)
        found |= self.walk(described, {name.decode(): each for name, each in admin.children.items()})
        pool = AdminResource(readiness, metrics, OpenAPI(partial(describeOperators, None, ())), ())
        described = self.connect(self.site(pool)).ask("/openapi.json").json
        found |= self.walk(described, {name.decode(): each for name, each in pool.children.items()})
        self.assertEqual(found, set(listClasses()))

    def test_paths(self) -> None:
        """Each API is in the document."""
        roots = {path.strip("/").split("/")[0] for path in self.document["paths"]}
        apis = makeAPIs(self.service, None, Access(self.credentials, self.reactor.seconds), Gate())
        self.assertEqual(roots, {path.split("/")[0] for path in apis})

    def test_open(self) -> None:
        """Without credentials there are no sessions, and nothing is unauthorized; all else is the same."""
        judge = self.makeJudge(self.factory)
        guarded = {"unauthorized", "forbidden", "keys_unavailable"}
        kept = {each for each in self.judge.list() if each.code not in guarded and "Session" not in each.operation}
        self.assertEqual(judge.list(), kept)
        self.assertNotIn("security", self.ask("/openapi.json").json)

    def test_operators(self) -> None:
        """Every answer of the site for operators is as its document says, and the document has no others."""
        self.judge = judge = self.makeJudge(self.admin)
        self.guarded = self.admin
        for path in ("/metrics", "/healthz", "/readyz", "/openapi.json"):
            self.check(path)
        self.check("/openapi.json", headers={"If-None-Match": "*"})
        self.breakRequests()
        self.service.leave()
        self.check("/readyz")
        unseen = {each for each in judge.list() - judge.seen if each.code != "internal_error"}
        self.assertEqual(unseen, {Outcome("readMetrics", "501", "package_missing")})

    def test_page(self) -> None:
        """Every answer of the operator's page is as its document says; other tests show those of the streams."""
        admin = makeAdmin(self.measured, (), Access(self.credentials, self.reactor.seconds))
        self.guarded = self.site(admin)
        self.judge = judge = self.makeJudge(self.guarded)
        self.view("/")
        self.breakRequests()
        self.lackRights()
        key = self.addKey("operator", "list,read,cancel,delete:*")
        for target in ("/admin", "/admin/status.json", "/admin/viewers.json?after=0", "/streams?open=true&prefix=n"):
            self.check(target, credential=key)
        self.check("/admin/assets/app.js")
        self.check("/admin/assets/app.js", headers={"If-None-Match": "*"})
        self.check("/admin/assets/nothing.js")
        for accept in (CHROME, JSON, EVENTSOURCE):
            self.check("/streams/news", credential=key, accept=accept)
        self.check("/streams/news/cancel", "POST", key)
        self.check("/streams/news", "DELETE", key)
        unseen = {each for each in judge.list() - judge.seen if each.code not in self.ELSEWHERE}
        page = {"readPage", "readAsset", "readStatus", "listViewers"}
        # Pools only.
        noWorker = Outcome("listViewers", "503", "overloaded")
        self.assertEqual({each for each in unseen if each.operation in page}, {noWorker})


class ErrorTests(DescribedTestCase, MetricsTestCase):
    """The errors of the code, of the document, and of docs/errors.md."""

    def codes(self) -> set[tuple[int, str]]:
        """Return the statuses and codes of the document."""
        return {(int(each.status), each.code) for each in self.judge.list() if each.code}

    def test_classes(self) -> None:
        """Each error of the code is in the document, and the document has no others."""
        package = "sseserver."
        found = {
            (each.status, each.code)
            for each in listErrors()
            if each.__module__.startswith(package) and each.code not in NO_ANSWERS
        }
        # A token source has a status and a code of its own; the package of metrics is missing for operators alone.
        others = {(sseserver.errors.SourceError.status, sseserver.errors.SourceError.code), (501, "package_missing")}
        self.assertEqual(self.codes() | ANYWHERE, found - others)

    def test_page(self) -> None:
        """The sections in docs/errors.md have the same codes and statuses; `/metrics` has one more."""
        text = (ROOT / "docs" / "errors.md").read_text("utf-8")
        listed = {(int(status), code) for code, status in re.findall(r"(?m)^### `(\w+)`\n\n\* Status: (\d+)$", text)}
        self.assertEqual(self.codes() | ANYWHERE | {(501, "package_missing")}, listed)

    def test_requests(self) -> None:
        """The lists of requests in docs/http-api.md have the same methods and paths, also that for operators."""
        clients, operators = (ROOT / "docs" / "http-api.md").read_text("utf-8").split("\n## For operators\n")
        self.assertEqual(listRequests(self.document), findRequests(clients))
        admin = makeAdmin(self.measured, (), Access(None, self.reactor.seconds))
        described = self.connect(self.site(admin)).ask("/openapi.json").json
        self.assertEqual(listRequests(described), findRequests(operators))


def findRequests(text: str) -> set[tuple[str, str]]:
    """Return the methods and the paths in the tables of requests of a page."""
    rows = re.findall(r"(?m)^\| (`(?:GET|PUT|POST|DELETE) [^|]*) \|", text)
    return {(method, target) for row in rows for method, target in re.findall(r"`([A-Z]+) (/[^`]*)`", row)}


def listRequests(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the methods and the paths of a document."""
    return {
        (method.upper(), re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), path))
        for path, methods in document["paths"].items()
        for method in methods
    }


class AnswerTests(DescribedTestCase):
    """Every answer is as the document says, and the document says nothing else."""

    def test_recorded(self) -> None:
        """Each recorded answer is as the document says."""
        for told in readRecorded():
            self.judge.judge(told)
        self.assertGreater(len(self.judge.seen), 60)

    def test_answers(self) -> None:
        """Each outcome in the document is an answer that was recorded, or that is tried here."""
        for told in readRecorded():
            self.judge.judge(told)
        self.breakRequests()
        self.lackRights()
        self.exceedLimits()
        self.breakStore()
        self.useCredentials()
        unseen = {each for each in self.judge.list() - self.judge.seen if each.code not in self.ELSEWHERE}
        self.assertEqual(unseen, self.UNTRIED)

    def test_parameters(self) -> None:
        """Each operation that can refuse an idempotency key takes one, and no other does."""
        for path, methods in self.judge.paths.items():
            for method, operation in methods.items():
                taken = {each["name"] for each in operation.get("parameters", ())}
                codes = {code for each in operation["responses"].values() for code in each.get("x-error-codes", ())}
                self.assertEqual("Idempotency-Key" in taken, "idempotency_key_reused" in codes, (method, path))

    def test_keys(self) -> None:
        """Keys can be missing only where they are fetched: neither API keys nor a key in a file are."""

        def find() -> set[str]:
            document = self.connect(self.makeSite()).ask("/openapi.json").json
            return {each.code for each in Judge(document).list()}

        self.assertIn("keys_unavailable", find())
        fixed = TokenVerifier(TokenRules("HS256"), FixedKey("HS256", SHARED), self.reactor.seconds)
        for tokens in (None, fixed):
            self.tokens = tokens
            self.credentials.replace(self.makeSecrets())
            self.assertNotIn("keys_unavailable", find())

    def test_judge(self) -> None:
        """An answer that is not in the document is noticed: its status, media type, members, header, or code."""
        told = next(each for each in readRecorded() if b"stream_not_found" in (each.body or b""))
        state = next(each for each in readRecorded() if b'"viewers"' in (each.body or b""))
        members = json.loads(state.body or b"")
        wrong = (
            told._replace(status=402),
            told._replace(headers={**told.headers, "content-type": "text/csv"}),
            told._replace(headers={**told.headers, "x-new": "1"}),
            told._replace(body=b'{"error": {"message": "", "type": "", "code": "new"}}'),
            state._replace(body=json.dumps({**members, "more": 1}).encode()),
            state._replace(body=json.dumps({**members, "viewers": "1"}).encode()),
            told._replace(method="PATCH"),
        )
        for each in wrong:
            self.assertRaises(AssertionError, self.judge.judge, each)


class RootTests(DescribedTestCase):
    """The resource."""

    def test_mounted(self) -> None:
        """Below the path of another site the document is the same: its paths are relative to its own place."""
        outer = Resource()
        outer.putChild(b"chat", StreamResource(self.service, None, self.credentials))
        response = self.connect(self.site(outer)).ask("/chat/openapi.json")
        self.assertEqual(response.json, self.document)
        self.assertEqual(self.document["servers"], [{"url": "."}])
