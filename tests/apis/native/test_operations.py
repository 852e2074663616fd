"""
Tests of `sseserver.apis.native.operations`: what it says of bodies is what the resources take.
"""

from __future__ import annotations

import json
from typing import Any

from sseserver.apis.native.publishing import RESERVED_TYPES
from sseserver.formats.registry import makeFormats
from sseserver.web.access.links import MAX_LIFETIME
from tests.described import Validator
from tests.openapicases import DescribedTestCase


class BodyTests(DescribedTestCase):
    """Bodies that the document allows are taken, all others are refused."""

    def allows(self, method: str, path: str, value: object) -> bool:
        """Tell whether the document allows a body in JSON."""
        schema = self.document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
        return bool(Validator({"components": self.document["components"], **schema}).is_valid(value))

    def compare(self, method: str, path: str, credential: str, values: list[Any]) -> None:
        """Compare the document with the answers."""
        for value in values:
            target = path.replace("{name}", "news")
            status = self.send(target, method.upper(), credential, body=json.dumps(value).encode()).response.status
            self.assertEqual(status < 300, self.allows(method, path, value), (path, value, status))

    def test_publishes(self) -> None:
        """Events and tokens, one or many."""
        key = self.addKey("a", "publish,read:*")
        self.put("news")
        types = ["", "a", "a b", "\x85", "\x07", "a\nb", "x" * 128, "x" * 129, *RESERVED_TYPES]
        values: list[Any] = [{"event": name, "data": ""} for name in types]
        values += [
            {"token": ""},
            {"token": "a"},
            {"token": "a", "data": ""},
            {"event": "a"},
            {"data": 1},
            {"data": "", "id": ""},
        ]
        self.compare("post", "/streams/{name}", key, [*values, *([each] for each in values), [], {}, None, "a", [[]]])

    def test_runs(self) -> None:
        """A prompt, the messages of a chat, or nothing; the other members of a chat are not in the schema."""
        key = self.addKey("a", "run,read:*")
        hello = [{"role": "user", "content": "Hello"}]
        values: list[Any] = [
            {},
            {"prompt": "a"},
            {"prompt": None},
            {"prompt": 1},
            {"messages": hello},
            {"messages": []},
        ]
        values += [{"messages": None}, {"messages": hello, "prompt": None}, {"messages": hello, "prompt": "a"}]
        values += [{"messages": [{"content": "a"}]}, {"messages": hello, "more": 1}, []]
        values += [{"messages": hello, "stop": ["a"]}, {"more": 1}, 1, None]
        self.compare("post", "/streams", key, values)

    def test_links(self) -> None:
        """The rights of a link and its lifetime."""
        key = self.addKey("a", "read,publish,run,cancel,delete,list:*")
        values: list[Any] = [
            {},
            {"seconds": 0},
            {"seconds": 1},
            {"seconds": MAX_LIFETIME},
            {"seconds": MAX_LIFETIME + 1},
        ]
        values += [{"rights": []}, {"rights": ["read", "list"]}, {"rights": ["run"]}, {"rights": "read"}, {"more": 1}]
        self.compare("post", "/streams/{name}/links", key, values)

    def test_formats(self) -> None:
        """The formats are those of the server."""
        parameters = self.document["paths"]["/streams/{name}"]["get"]["parameters"]
        formats = next(each["schema"]["enum"] for each in parameters if each["name"] == "format")
        self.assertEqual(formats, list(makeFormats("")))
