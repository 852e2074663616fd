"""
Tests for `sseserver.service.models`; those of the APIs and of `sseserver.sources.upstreams` show more.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from sseserver.errors import ModelNotFound
from sseserver.interfaces import IUpstreams
from sseserver.service.models import findModel, listModels, nameModel
from tests.recording.recorder import ScriptedModels
from tests.served import ScriptedSource


class ModelTests(SynchronousTestCase):
    """The models of sources of all kinds."""

    def find(self, source: Any, name: str) -> Any:
        """Find a model."""
        return self.successResultOf(Deferred.fromCoroutine(findModel(source, name)))

    def test_one(self) -> None:
        """A source without a list is one model."""
        source: Any = ScriptedSource(True)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(listModels(source))), [source.model])
        self.assertEqual(self.find(source, source.model), source.model)
        self.failureResultOf(Deferred.fromCoroutine(findModel(source, "other")), ModelNotFound)

    def test_list(self) -> None:
        """A model of a list is found by its name, and one of several upstreams before any list is read."""
        source: Any = ScriptedModels(lambda: succeed(["a", {"id": "b"}]))  # type: ignore[list-item]
        self.assertEqual([self.find(source, name) for name in ("a", "b")], ["a", {"id": "b"}])
        self.failureResultOf(Deferred.fromCoroutine(findModel(source, "one/c")), ModelNotFound)
        alsoProvides(source, IUpstreams)
        source.findModel = lambda name: succeed({"id": name} if name == "one/c" else None)
        self.assertEqual([self.find(source, name) for name in ("one/c", "a")], [{"id": "one/c"}, "a"])

    def test_names(self) -> None:
        """The name of a model is itself, or its ID."""
        self.assertEqual([nameModel(model) for model in ("a", {"id": "b"}, {})], ["a", "b", ""])
