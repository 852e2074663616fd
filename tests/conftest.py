"""
What pytest, and only pytest, has to know.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.unittest import TestCaseFunction


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run the `TestCase`s first, then plain test functions.

    pytest-twisted runs each plain test function inside the reactor's greenlet
    and leaves the reactor running; a trial `TestCase` that waits for a
    Deferred after that fails with a dirty or a running reactor
    (https://github.com/pytest-dev/pytest-twisted/issues/147). The sort is
    stable: within both parts the order stays.
    """
    items.sort(key=lambda item: not isinstance(item, TestCaseFunction))


@pytest.fixture(scope="session", autouse=True)
def scratchFolder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """
    Run the tests in a scratch folder, as trial does in `_trial_temp`.

    `TestCase.mktemp` makes its folders in the current one; without this they
    would stay in the tree.
    """
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("scratch"))
    yield
    os.chdir(before)
