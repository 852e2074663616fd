"""Tests of `sseserver.apis.ollama.models`."""

from __future__ import annotations

from twisted.internet.defer import succeed

from sseserver.service.service import Settings
from tests.apis.chat.cases import ChatTestCase
from tests.recording.recorder import ScriptedModels


class ModelsTests(ChatTestCase):
    """The models, and the version."""

    settings = Settings(ollama=True)

    def test_tags(self) -> None:
        """The models are those of the source, by name."""
        (model,) = self.ask("/ollama/api/tags").json["models"]
        self.assertEqual((model["name"], model["model"]), ("script", "script"))
        self.serve(ScriptedModels(lambda: succeed(["a", {"id": "b"}])))  # type: ignore[list-item]
        self.assertEqual([model["name"] for model in self.ask("/ollama/api/tags").json["models"]], ["a", "b"])

    def test_show(self) -> None:
        """One model is described, if there is such a model; tools are passed on to an upstream only."""
        shown = self.post("/ollama/api/show", {"model": "script:latest"}).response.json
        self.assertEqual(shown["model_info"]["general.basename"], "script")
        self.assertEqual(shown["capabilities"], ["completion"])
        self.assertEqual(self.post("/ollama/api/show", {"name": "script"}).response.json, shown)
        self.assertEqual(self.post("/ollama/api/show", {"model": "other"}).response.status, 404)
        self.serve(ScriptedModels(lambda: succeed(["a", {"id": "b"}])))  # type: ignore[list-item]
        shown = self.post("/ollama/api/show", {"model": "b"}).response.json
        self.assertEqual(
            (shown["model_info"]["general.basename"], shown["capabilities"]), ("b", ["completion", "tools"])
        )
        self.assertEqual(self.post("/ollama/api/show", {"model": "a:latest"}).response.status, 404)

    def test_version(self) -> None:
        """The version is that of an Ollama whose API this is."""
        self.assertRegex(self.ask("/ollama/api/version").json["version"], r"^\d+\.\d+\.\d+$")
