"""Tests of `sseserver.apis.ollama.operations`: the answers are as the document says."""

from __future__ import annotations

from sseserver.service.service import Settings
from tests.apis.chat.cases import ChatTestCase
from tests.described import Judge, Told
from tests.wires import Wire


class OperationsTests(ChatTestCase):
    """The document of a server with this API."""

    settings = Settings(ollama=True)

    def test_answers(self) -> None:
        """Answers and errors of each endpoint are as the document says."""
        judge = Judge(self.ask("/openapi.json").json)

        def check(method: str, target: str, wire: Wire) -> None:
            response = wire.response
            judge.judge(Told(method, target, response.status, response.headers, response.body))

        for endpoint in ("chat", "generate"):
            path = f"/ollama/api/{endpoint}"
            asked = {"model": "script", "prompt": "Hello", "messages": [{"role": "user", "content": "Hello"}]}
            for body in ({**asked, "stream": False}, asked, {**asked, "model": "other"}, b"{"):
                wire = self.post(path, body)
                if isinstance(body, dict) and body["model"] == "script":
                    self.write("a")
                    self.end()
                check("POST", path, wire)
        for path in ("/ollama/api/tags", "/ollama/api/version"):
            wire = self.connect(self.factory)
            wire.ask(path)
            check("GET", path, wire)
        for model in ("script", "other", 1):
            check("POST", "/ollama/api/show", self.post("/ollama/api/show", {"model": model}))
        names = {each.operation for each in judge.seen}
        expected = {"chatWithOllama", "generateWithOllama", "listOllamaModels", "readOllamaVersion", "showOllamaModel"}
        self.assertEqual(names, expected)
