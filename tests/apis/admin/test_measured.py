"""
Tests for `sseserver.apis.admin.measured`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.measured import MetricType


class TypeTests(SynchronousTestCase):
    """The types of the families."""

    def test_types(self) -> None:
        """Each family has one of the types that Prometheus knows, and each type has families."""
        self.assertEqual({family.type for family in FAMILIES}, set(MetricType))
        self.assertEqual({each.value for each in MetricType}, {"gauge", "counter", "histogram"})
