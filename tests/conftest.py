"""
Settings for pytest: the order of the tests, their distribution to processes, and a scratch folder.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.unittest import TestCaseFunction
from xdist.scheduler import LoadScopeScheduling

# Until the tests are collected: nearly nothing of what is imported and collected is garbage, and looking for it takes a
# fifth of the time.
gc.disable()

#: Tests that see no difference between builds: of the source tree, copies of it and its documents, of the scripts of
#: the pages, and of foreign clients, whose protocols the tests of the formats and of `test_responses.py` see in all
#: ways. With `SSESERVER_BUILD_TESTS=1` they are left out.
ONCE = (
    "tests/integration/test_access_browser.py",
    "tests/integration/test_admin_page.py",
    "tests/integration/test_agui.py",
    "tests/integration/test_ai.py",
    "tests/integration/test_ai_resume.py",
    "tests/integration/test_anthropic.py",
    "tests/integration/test_benchmarks.py",
    "tests/integration/test_browser.py",
    "tests/integration/test_chat_features.py",
    "tests/integration/test_chat_page.py",
    "tests/integration/test_deployment.py",
    "tests/integration/test_documents.py",
    "tests/integration/test_foreign.py",
    "tests/integration/test_forkserver.py",
    "tests/integration/test_generatedclients.py",
    "tests/integration/test_guides.py",
    "tests/integration/test_guides_browser.py",
    "tests/integration/test_house.py",
    "tests/integration/test_howto.py",
    "tests/integration/test_legacy.py",
    "tests/integration/test_markdown.py",
    "tests/integration/test_ollama.py",
    "tests/integration/test_origins.py",
    "tests/integration/test_page.py",
    "tests/integration/test_page_speed.py",
    "tests/integration/test_planted.py",
    "tests/integration/test_redis_cluster.py",
    "tests/integration/test_redis_clustermodel.py",
    "tests/integration/test_redis_kill.py",
    "tests/integration/test_redis_outages.py",
    "tests/integration/test_redis_retry.py",
    "tests/integration/test_redis_sentinel.py",
    "tests/integration/test_redis_tls.py",
    "tests/integration/test_reliability.py",
    "tests/integration/test_schemathesis.py",
    "tests/integration/test_scripting.py",
    "tests/integration/test_tutorial.py",
    "tests/reliability/test_checker.py",
    "tests/simulation/redis/test_keyspace.py",
    "tests/simulation/redis/test_planted.py",
    "tests/simulation/test_planted.py",
    "tests/test_house.py",
    "tests/test_prose.py",
)

#: Folders of tests of packages that know no speedup (pyproject.toml has a contract): the same lines run with
#: speedups and without. With `SSESERVER_BUILD_TESTS=1` and `SSESERVER_PLAIN=1` they are left out.
SAME = ("tests/formats", "tests/options", "tests/protocols", "tests/stores", "tests/streams", "tests/wire")

#: Folders of tests that mostly wait: for servers, browsers and clocks.
WAITING = ("tests/integration", "tests/stores/redis")

#: Tests among them that share something slow to make, a browser or a package: the tests of such a file stay together.
SHARING = (
    "test_access_browser.py",
    "test_admin_page.py",
    "test_browser.py",
    "test_chat_features.py",
    "test_chat_page.py",
    "test_foreign.py",
    "test_guides_browser.py",
    "test_markdown.py",
    "test_origins.py",
    "test_packaging.py",
    "test_page.py",
    "test_page_speed.py",
    "test_scripting.py",
)

#: Files with the longest tests, which start first: none of them must begin when all others have ended.
LONGEST = (
    "test_reliability.py::",
    "test_kill.py",
    "test_packaging.py",
    "test_browser.py",
    "test_page.py",
    "test_documents.py",
    "test_oracle.py",
    "test_simulation.py",
    "test_power.py",
)

#: Factor. Place of the last test that waits in the order; 1.0 is that of the last of the others.
BESIDE = 0.8


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests of `ONCE` and `SAME` where they have nothing new to see."""
    if os.environ.get("SSESERVER_BUILD_TESTS") != "1":
        return None
    left = ONCE + SAME if os.environ.get("SSESERVER_PLAIN") == "1" else ONCE
    return collection_path.as_posix().endswith(left) or None


def findScope(name: str) -> str:
    """Return the name of what stays in one process: the file of a test, or a test that may run by itself."""
    path = name.partition("::")[0]
    alone = path.startswith(WAITING) and not path.endswith(SHARING)
    return name if alone or path.endswith("test_simulation.py") else path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run `TestCase`s first, then plain test functions; spread those that wait between the files of the others.

    Several processes then wait and compute at the same time. The last tests decide how long the other processes idle:
    unit tests are short.

    pytest-twisted runs a plain test function inside the reactor's greenlet and leaves the reactor running. A
    `TestCase` of trial that waits for a Deferred afterwards fails with a dirty or running reactor
    (https://github.com/pytest-dev/pytest-twisted/issues/147).
    """
    scopes = sorted(dict.fromkeys(findScope(item.nodeid) for item in items), key=_rank)
    waiting = [scope for scope in scopes if scope.startswith(WAITING)]
    others = [scope for scope in scopes if not scope.startswith(WAITING)]
    places = {scope: BESIDE * number / len(waiting) for number, scope in enumerate(waiting)}
    places |= {scope: number / len(others) for number, scope in enumerate(others)}
    items.sort(key=lambda item: (not isinstance(item, TestCaseFunction), places[findScope(item.nodeid)]))


def _rank(scope: str) -> int:
    return next((number for number, name in enumerate(LONGEST) if f"/{name}" in scope), len(LONGEST))


class Scheduler(LoadScopeScheduling):
    """Hands out files, and single tests that wait, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return findScope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """
    Choose the number of processes for `--numprocesses=auto`: more than processor cores only for tests that wait.

    Each process collects all tests, which takes the CPU time of hundreds of them.
    """
    waits = all(name.startswith(WAITING) for name in config.args)
    return (os.cpu_count() or 1) * (2 if waits else 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler | None:
    """Distribute the tests to processes as `findScope` says, unless another way was asked for."""
    return Scheduler(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """
    Start the collector, and keep it from the modules and the thousands of collected tests, which outlive the tests.

    A test that collects would walk over them.
    """
    gc.freeze()
    gc.enable()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """
    Keep it from what the tests of a file have left, and from the modules if one of them has undone the above.

    Whether one has done so is not asked: counting what is kept walks over all of it, for 10 to 30 ms.
    """
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def scratchFolder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """
    Run the tests in a scratch folder, as trial does in `_trial_temp`.

    `TestCase.mktemp` makes its folders in the current one, which would be the tree. What is slow to make is in a folder
    for all processes of the tests.
    """
    before = Path.cwd()
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["SSESERVER_SHARED_FOLDER"] = str(shared)
    os.chdir(tmp_path_factory.mktemp("scratch"))
    yield
    os.chdir(before)
