"""
Settings for pytest: the order of the tests, and a scratch folder.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.unittest import TestCaseFunction


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run `TestCase`s first, then plain test functions; of both, integration tests first.

    pytest-twisted runs a plain test function inside the reactor's greenlet and leaves the reactor running. A
    `TestCase` of trial that waits for a Deferred afterwards fails with a dirty or running reactor
    (https://github.com/pytest-dev/pytest-twisted/issues/147). The sort is stable, so that all parts keep their
    order.

    With several processes (pytest-xdist) the last files decide how long the others idle: those of unit tests are short.
    """
    items.sort(key=lambda item: (not isinstance(item, TestCaseFunction), "integration" not in item.path.parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes for `--numprocesses=auto`: more than cores, since integration tests often wait."""
    return (os.cpu_count() or 1) * 2


@pytest.fixture(scope="session", autouse=True)
def scratchFolder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """
    Run the tests in a scratch folder, as trial does in `_trial_temp`.

    `TestCase.mktemp` makes its folders in the current one, which would be the tree.
    """
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("scratch"))
    yield
    os.chdir(before)
