"""
The documentation of the metrics: docs/metrics.md, and the dashboard docs/grafana.json.
"""

from __future__ import annotations

import json
import re

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.measured import MetricType
from tests.apis.admin.cases import MetricsTestCase
from tests.docs.generators import loadGenerator
from tests.house import ROOT

#: Labels that Prometheus adds.
ADDED = {"job", "instance", "le"}


class ReferenceTests(MetricsTestCase):
    """docs/metrics.md."""

    def test_page(self) -> None:
        """The page is what docs/metricsreference.py makes of the table."""
        module = loadGenerator("metricsreference")
        self.assertEqual(module.reference(), module.PAGE.read_text("utf-8"))

    def test_alerts(self) -> None:
        """Each query that the page advises has names and label values that the server exports."""
        page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
        queries = re.findall(r"^\| `([^`]*sseserver_[^`]*)` \|", page, re.MULTILINE)
        self.assertGreater(len(queries), 5)
        for query in queries:
            self.checkQuery(query)

    def test_rules(self) -> None:
        """Each rule of docs/alerts.yml has names and label values that the server exports, a delay and what to do."""
        text = (ROOT / "docs" / "alerts.yml").read_text("utf-8")
        rules = text.split("- alert: ")[1:]
        self.assertGreater(len(rules), 8)
        for rule in rules:
            for member in ("for: ", "severity: ", "summary: ", "description: "):
                self.assertIn(member, rule)
            [query] = re.findall(r" expr: (?:>-\n)?(.*?)\n +for: ", rule, re.DOTALL)
            if "sseserver_" in query:
                self.checkQuery(query)

    def test_dashboard(self) -> None:
        """Each query of the dashboard has names and labels that the server exports, and each metric has a panel."""
        dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text("utf-8"))
        panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
        queries = [target["expr"] for panel in panels for target in panel["targets"]]
        for query in queries:
            self.checkQuery(query)
        shown = set(re.findall(r"sseserver_\w+", " ".join(queries)))
        bases = {re.sub(r"_bucket$", "", name) for name in shown}
        self.assertEqual(bases, {family.name for family in FAMILIES})
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))

    def test_legends(self) -> None:
        """A legend shows only labels that its query keeps."""
        dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text("utf-8"))
        targets = [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
        for target in targets:
            query = target["expr"]
            grouped = re.search(r"by \(([^)]*)\)", query)
            kept = set(re.split(r",\s*", grouped[1])) if grouped else self.findLabels(query) | ADDED
            self.assertLessEqual(set(re.findall(r"{{(\w+)}}", target["legendFormat"])), kept, query)

    def checkQuery(self, query: str) -> None:
        """Check the names, the labels and the label values of a query."""
        samples = self.read()
        exported = {name for name, _ in samples}
        names = set(re.findall(r"sseserver_\w+", query))
        self.assertTrue(names, query)
        self.assertLessEqual(names, exported, query)
        known = self.findLabels(query) | ADDED
        for labels in re.findall(r"by \(([^)]*)\)", query):
            self.assertLessEqual(set(re.split(r",\s*", labels)), known, query)
        for name, matchers in re.findall(r"(sseserver_\w+)\{([^}]*)\}", query):
            for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
                pairs = {pair for each, pairs in samples if each == name for pair in pairs}
                self.assertTrue(label in ADDED or (label, value) in pairs, query)
        for family in FAMILIES:
            if family.name in names and family.type is MetricType.COUNTER:
                self.assertIn("rate(", query)

    def findLabels(self, query: str) -> set[str]:
        """Return the labels of the metrics in a query."""
        names = set(re.findall(r"sseserver_\w+", query))
        return {label for family in FAMILIES if family.name in names for label in family.labels}
