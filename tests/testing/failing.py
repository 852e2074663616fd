"""Helper of the tests of the contracts: which tests of a contract fail for a part that breaks it."""

from __future__ import annotations

import unittest

from twisted.trial.unittest import SynchronousTestCase


def findFailures(case: type[SynchronousTestCase]) -> set[str]:
    """Run the tests of a class, and return the names of those that fail."""
    result = unittest.TestResult()
    for name in dir(case):
        if name.startswith("test_"):
            case(name).run(result)
    return {test.id().rpartition(".")[2] for test, _ in (*result.failures, *result.errors)}
