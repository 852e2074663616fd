"""
docs/errors.md, the reference of the error codes. That each code is an answer of a test, and which classes are answers,
is checked in tests/apis/test_openapi.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.values import Reason
from tests.apis.test_openapi import NO_ANSWERS, listErrors
from tests.docs.generators import loadGenerator
from tests.house import ROOT

#: Reasons of `done`, of `cancelled`, and one that is never stored.
OTHERS = {
    *(Reason.STOP, Reason.LENGTH, Reason.CONTENT_FILTER, Reason.TOOL_CALLS, Reason.FUNCTION_CALL),
    *(Reason.ASKED, Reason.DELETED, Reason.LINGER, Reason.IDLE),
    Reason.TOO_LONG,
}


def findFailures() -> Iterator[tuple[Reason, int]]:
    """Yield the reason of each `SourceError` in the source, and its status where that is a number in the code."""
    for path in (ROOT / "sseserver").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "SourceError" and len(call.args) > 1:
                name = ast.unparse(call.args[1])
                if name.startswith("Reason."):
                    reason = Reason[name.removeprefix("Reason.")]
                    told = call.args[2] if len(call.args) > 2 else ast.Constant(None)
                    numbers = [node.value for node in ast.walk(told) if isinstance(node, ast.Constant)]
                    yield from (
                        (reason, SourceError("", reason, number).status)
                        for number in numbers
                        if number is None or type(number) is int
                    )


class ErrorReferenceTests(SynchronousTestCase):
    """The page, its generator, and the code."""

    def setUp(self) -> None:
        self.generator = loadGenerator("errorreference")

    def test_page(self) -> None:
        """The page is what docs/errorreference.py makes."""
        self.assertEqual(self.generator.reference(), self.generator.PAGE.read_text("utf-8"))

    def test_codes(self) -> None:
        """Each error of the code has a text, and each text is about one."""
        codes = {each.code for each in listErrors() if each.__module__.startswith("sseserver.")}
        self.assertEqual(set(self.generator.PYTHON_ONLY), NO_ANSWERS)
        self.assertEqual(set(self.generator.ADVICE), codes - NO_ANSWERS - {SourceError.code})

    def test_askers(self) -> None:
        """Each code is the answer of a request."""
        for error in self.generator.listCodes():
            self.assertTrue(self.generator.askers(error), error.code)

    def test_reasons(self) -> None:
        """Each reason of a failure has a row with its statuses."""
        rows = self.generator.FAILURES
        self.assertEqual({*rows}, {*Reason} - OTHERS | {"behind"})
        found = list(findFailures())
        self.assertGreater(len(found), 20)
        for reason, status in found:
            self.assertIn(status, rows[reason].statuses, reason)
