"""Tests for `sseserver.apis.admin.collector`."""

from __future__ import annotations

import json
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

RULES = ROOT / "docs" / "alerts.yml"

#: Series of a server in every trouble, by name, as promtool writes their values; and those of one without any.
TROUBLED = {
    'up{job="sseserver"}': "0x60",
    "sseserver_ready": "0x60",
    "sseserver_start_time_seconds": "0+1x60",
    'sseserver_ledger_bytes{account="viewers"}': "81x60",
    'sseserver_ledger_limit_bytes{account="viewers"}': "100x60",
    'sseserver_ledger_bytes{account="runs"}': "91x60",
    'sseserver_ledger_limit_bytes{account="runs"}': "100x60",
    "sseserver_connections": "81x60",
    "sseserver_connections_limit": "100x60",
    'sseserver_reactor_lag_seconds_bucket{le="0.25"}': "0+1x60",
    'sseserver_reactor_lag_seconds_bucket{le="1"}': "0+2x60",
    'sseserver_reactor_lag_seconds_bucket{le="+Inf"}': "0+2x60",
    'sseserver_streams_ended_total{kind="run",state="done"}': "0+8x60",
    'sseserver_streams_ended_total{kind="run",state="failed"}': "0+1x60",
    "sseserver_store_failures_total": "0+1x60",
    'sseserver_gaps_total{reason="trimmed"}': "0+1x60",
}
CALM = TROUBLED | {
    'up{job="sseserver"}': "1x60",
    "sseserver_ready": "1x60",
    "sseserver_start_time_seconds": "5x60",
    'sseserver_ledger_bytes{account="viewers"}': "79x60",
    'sseserver_ledger_bytes{account="runs"}': "89x60",
    "sseserver_connections": "79x60",
    'sseserver_reactor_lag_seconds_bucket{le="0.25"}': "0+2x60",
    'sseserver_streams_ended_total{kind="run",state="done"}': "0+100x60",
    "sseserver_store_failures_total": "0x60",
    'sseserver_gaps_total{reason="trimmed"}': "0x60",
}


def runPromtool(*arguments: str, input: str = "") -> str:
    """Run promtool, and return its output; it must be content. Without promtool the test is skipped."""
    program = shutil.which("promtool")
    if program is None:
        reason = "There is no promtool, which is in Debian's package prometheus."
        raise AssertionError(reason) if os.environ.get("CI") else SkipTest(reason)
    command = [program, *arguments]
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
        self.assertEqual(runPromtool("check", "metrics", input=self.scrape()), "")

    def test_configuration(self) -> None:
        """Prometheus accepts the configuration that docs/metrics.md prints."""
        page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
        [block] = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        file = Path(self.mktemp())
        file.write_text(block, "utf-8")
        self.assertIn("SUCCESS", runPromtool("check", "config", str(file)))

    def test_rules(self) -> None:
        """Prometheus accepts the alerts of docs/alerts.yml."""
        self.assertIn("SUCCESS", runPromtool("check", "rules", str(RULES)))

    def test_alerts(self) -> None:
        """Each alert fires if there is reason, and none fires without."""
        names = re.findall(r"- alert: (\w+)", RULES.read_text("utf-8"))
        for series, fired in ((TROUBLED, names), (CALM, [])):
            samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in fired]
            firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
            test = {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": firing, "eval_time": "40m", "exp_samples": samples}],
            }
            file = Path(self.mktemp())
            # JSON is YAML.
            file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [test]}), "utf-8")
            self.assertIn("SUCCESS", runPromtool("test", "rules", str(file)))

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
