"""
Every block of code in the pages is run by a test as it is printed, or there is a reason why not.

* Commands (`sh`) of README, CONTRIBUTING and docs/*.md: tests/integration/test_documents.py.
* Everything in docs/guides: tests/integration/test_guides.py, and other tests that name the guide.
* Python: tests/house.py checks that it is part of a program in docs/examples, which the tests run.
* The rest: the list below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.house import PRINTED, ROOT
from tests.integration.documents import PAGES

#: Languages of instructions for Sphinx, of which `tox -e docs` makes the site.
SITE = {"{toctree}", "{eval-rst}"}

#: The places and the reasons of other blocks, by page and language. An empty language is a block without one.
ELSEWHERE = {
    ("benchmarks/README.md", "sh"): "takes hours; tests/integration/test_benchmarks.py runs each question shortly",
    ("docs/access.md", "js"): "a piece of tests/integration/test_access_browser.py",
    ("docs/architecture.md", ""): "the layers; tests/house.py compares them with pyproject.toml",
    ("docs/configuration.md", "text"): "output of --check; tests/command/test_checking.py has another",
    ("docs/deployment.md", "text"): "needs Podman: tests/integration/test_deployment.py follows the Containerfile",
    ("docs/errors.md", "json"): "the shape of an answer; tests/apis/test_openapi.py",
    ("docs/events.md", "html"): "tests/integration/test_browser.py shows this page",
    ("docs/events.md", "text"): "written by the formats themselves; tests/docs/test_eventreference.py",
    ("docs/examples/cluster/README.md", "sh"): "tests/integration/test_cluster.py",
    ("docs/http-api.md", ""): "heads of answers (tests/recording); tools of others, which the tests run in their way:"
    " tests/integration/test_generatedclients.py and test_schemathesis.py",
    ("docs/idea.md", "text"): "a picture",
    ("docs/metrics.md", ""): "queries; tests/apis/admin/test_reference.py",
    ("docs/metrics.md", "yaml"): "tests/apis/admin/test_collector.py shows it to promtool",
    ("docs/operations.md", "json"): "the answer of /readyz; tests/apis/admin/test_health.py",
    ("docs/operations.md", "nginx"): "tests/integration/test_proxies.py",
    ("docs/operations.md", "text"): "proxies: tests/integration/test_proxies.py; lines of logs",
    ("docs/operations.md", "yaml"): "Traefik is not in Debian: not run, and the page says so",
    ("docs/scaling.md", ""): "commands with a Redis of another machine; tests/integration/test_redis*.py",
    ("docs/scaling.md", "text"): "pictures",
}


class Block(NamedTuple):
    """A block of code: its page, relative to the root, and its language."""

    page: str
    language: str


def listBlocks(root: Path) -> Iterator[Block]:
    """Yield the blocks of all pages that readers get, those inside lists as well."""
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), root / "benchmarks" / "README.md"]
    for page in pages:
        isOpen = False
        for found in re.finditer(r"^ *(```|~~~)(.*)$", page.read_text("utf-8"), re.MULTILINE):
            isOpen = not isOpen
            if isOpen:
                yield Block(page.relative_to(root).as_posix(), found[2].strip())


def isRun(block: Block) -> bool:
    """Tell whether a test runs all blocks of this kind."""
    page, language = block
    if page.startswith("docs/guides/"):
        name = re.compile(rf"[\"'/]{Path(page).stem}(\.md)?[\"']")
        return any(name.search(path.read_text("utf-8")) for path in (ROOT / "tests" / "integration").glob("test_*.py"))
    return language in SITE or (page in PAGES and language == "sh") or (page in PRINTED and language == "python")


class BlockTests(SynchronousTestCase):
    """The blocks, and the list."""

    def test_blocks(self) -> None:
        """Each block is run, or has its place or its reason in the list; the list has no others."""
        blocks = set(listBlocks(ROOT))
        self.assertGreater(len(blocks), 30)
        self.assertEqual({each for each in blocks if not isRun(each)}, set(ELSEWHERE))

    def test_files(self) -> None:
        """Each test that the list names is there."""
        for text in [*ELSEWHERE.values(), __doc__ or ""]:
            for name in re.findall(r"tests/[\w/*]+(?:\.py)?", text):
                self.assertTrue(list(ROOT.glob(name)), name)

    def test_commands(self) -> None:
        """The blocks of commands that tests run begin at the margin, where they are found."""
        for name in PAGES:
            text = (ROOT / name).read_text("utf-8")
            self.assertEqual(re.findall(r"^ +```sh", text, re.MULTILINE), [], name)
