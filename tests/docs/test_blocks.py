"""
Every block of code in the pages is run by a test as it is printed, or there is a reason why not.

* Commands (`sh`) of README, CONTRIBUTING and docs/*.md: tests/integration/test_documents.py.
* Everything in docs/guides: tests/integration/test_guides.py, and other tests that name the guide.
* Python: tests/house.py checks that it is part of a program in docs/examples, which the tests run.
* Pieces of other files in docs/examples and deploy/, which the tests run, too: they are compared here.
* The rest: the list below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.house import PRINTED, ROOT
from tests.integration.documents import PAGES

#: Languages of instructions for Sphinx, of which `tox -e docs` makes the site.
SITE = {"{toctree}", "{eval-rst}"}

#: Suffixes of files of which pages print pieces.
PIECES = {".css", ".html", ".js", ".jsx", ".toml", ".yaml"}

#: The places and the reasons of other blocks, by page and language. An empty language is a block without one.
ELSEWHERE = {
    ("benchmarks/README.md", "sh"): "takes hours; tests/integration/test_benchmarks.py runs each question shortly",
    ("docs/access.md", "js"): "a piece of tests/integration/test_access_browser.py",
    ("docs/architecture.md", ""): "the layers; tests/house.py compares them with pyproject.toml",
    ("docs/configuration.md", "text"): "output of --check; tests/command/test_checking.py has another",
    ("docs/errors.md", "json"): "the shape of an answer; tests/apis/test_openapi.py",
    ("docs/events.md", "html"): "tests/integration/test_browser.py shows this page",
    ("docs/events.md", "text"): "written by the formats themselves; tests/docs/test_eventreference.py",
    ("docs/examples/cluster/README.md", "sh"): "tests/integration/test_cluster.py",
    ("docs/guides/kubernetes.md", "text"): "needs a cluster: tests/integration/test_deployment.py reads the manifest",
    ("docs/http-api.md", ""): "heads of answers (tests/recording); tools of others, which the tests run in their way:"
    " tests/integration/test_generatedclients.py and test_schemathesis.py",
    ("docs/idea.md", "text"): "a picture",
    ("docs/metrics.md", ""): "queries; tests/apis/admin/test_reference.py",
    ("docs/metrics.md", "text"): "an installation",
    ("docs/metrics.md", "yaml"): "tests/apis/admin/test_collector.py shows it to promtool",
    ("docs/operations.md", "json"): "the answer of /readyz; tests/apis/admin/test_health.py",
    ("docs/operations.md", "text"): "lines of logs",
    ("docs/scaling.md", ""): "commands with a Redis of another machine; tests/integration/test_redis*.py",
    ("docs/scaling.md", "text"): "pictures",
}


class Block(NamedTuple):
    """
    A block of code.

    Attributes:
        page: Its page, relative to the root.
        language: Its language.
        text: The code.
    """

    page: str
    language: str
    text: str


def listBlocks(root: Path) -> Iterator[Block]:
    """Yield the blocks of all pages that readers get, those inside lists as well."""
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), root / "benchmarks" / "README.md"]
    for page in pages:
        for found in re.finditer(r"^ *```(.*)\n((?:.*\n)*?) *```$", page.read_text("utf-8"), re.MULTILINE):
            yield Block(page.relative_to(root).as_posix(), found[1].strip(), found[2])


@cache
def readFiles() -> list[str]:
    """Return the files of which pages print pieces, without the indentation of their lines."""
    folders = (ROOT / "docs" / "examples", ROOT / "deploy")
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in PIECES]
    return [flatten(path.read_text("utf-8")) for path in files if "node_modules" not in path.parts]


def flatten(text: str) -> str:
    """Return a text without the indentation of its lines."""
    return "".join(f"\n{line.strip()}" for line in text.split("\n"))


def isRun(block: Block) -> bool:
    """Tell whether a test runs all blocks of this kind."""
    page, language, text = block
    if f".{language}" in PIECES and any(flatten(text) in file for file in readFiles()):
        return True
    if page.startswith("docs/guides/"):
        name = re.compile(rf"[\"'/]{Path(page).stem}(\.md)?[\"']")
        return any(name.search(path.read_text("utf-8")) for path in (ROOT / "tests" / "integration").glob("test_*.py"))
    return language in SITE or (page in PAGES and language == "sh") or (page in PRINTED and language == "python")


class BlockTests(SynchronousTestCase):
    """The blocks, and the list."""

    def test_blocks(self) -> None:
        """Each block is run, or has its place or its reason in the list; the list has no others."""
        blocks = list(listBlocks(ROOT))
        self.assertGreater(len(blocks), 100)
        self.assertEqual({(each.page, each.language) for each in blocks if not isRun(each)}, set(ELSEWHERE))

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
