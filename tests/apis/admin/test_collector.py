"""Tests for `sseserver.apis.admin.collector`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.trial.unittest import SkipTest

from sseserver.apis.admin.collector import MetricsCollector
from sseserver.apis.admin.families import FAMILIES
from sseserver.values import Kind
from tests.apis.admin.cases import MetricsTestCase
from tests.house import ROOT

#: Media type of OpenMetrics, as Prometheus asks for it.
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def runPromtool(*arguments: str, input: str = "") -> str:
    """Let promtool check something, and return its output; it must be content. Without promtool the test is skipped."""
    program = shutil.which("promtool")
    if program is None:
        reason = "There is no promtool, which is in Debian's package prometheus."
        raise AssertionError(reason) if os.environ.get("CI") else SkipTest(reason)
    command = [program, "check", *arguments]
    checked = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked
    return checked.stdout + checked.stderr


class CollectorTests(MetricsTestCase):
    """`MetricsCollector`."""

    def test_families(self) -> None:
        """All families are exported, with help and type, in both formats."""
        text = self.scrape()
        for family in FAMILIES:
            self.assertIn(f"\n# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n", f"\n{text}")
        # The parser of OpenMetrics is strict.
        parsed = {family.name for family in text_string_to_metric_families(self.scrape(OPENMETRICS))}
        self.assertEqual(parsed, {family.name.removesuffix("_total") for family in FAMILIES})

    def test_promtool(self) -> None:
        """`promtool check metrics` of Prometheus has nothing to say."""
        self.startRun()
        self.write("a")
        self.assertEqual(runPromtool("metrics", input=self.scrape()), "")

    def test_configuration(self) -> None:
        """Prometheus accepts the configuration that docs/metrics.md prints."""
        page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
        [block] = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        file = Path(self.mktemp())
        file.write_text(block, "utf-8")
        self.assertIn("SUCCESS", runPromtool("config", str(file)))

    def countCalls(self) -> int:
        """Count the calls of Python functions that one scrape makes."""
        collector = MetricsCollector(self.measured)
        collector.encode("")
        calls = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            collector.encode("")
        finally:
            sys.setprofile(None)
        return calls

    def test_cost(self) -> None:
        """A scrape does the same work with many streams and viewers as without."""
        before, size = self.countCalls(), self.scrape().count("\n")
        for number in range(300):
            self.successResultOf(self.service.open(f"s{number}"))
            self.successResultOf(self.service.find(f"s{number}")).append(Kind.TOKEN, b"x")
            if number % 3 == 0:
                self.view(f"/streams/s{number}")
        # Larger numbers have more digits.
        self.assertLess(self.countCalls(), before * 1.05)
        self.assertEqual(self.scrape().count("\n"), size)
