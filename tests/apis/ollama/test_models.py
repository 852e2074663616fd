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

    def test_version(self) -> None:
        """The version is that of an Ollama whose API this is."""
        self.assertRegex(self.ask("/ollama/api/version").json["version"], r"^\d+\.\d+\.\d+$")
