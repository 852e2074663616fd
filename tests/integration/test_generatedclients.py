"""
Clients that generators make of the OpenAPI document compile, and call a server: in TypeScript and in Python.
"""

from __future__ import annotations

import compileall
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.access.apikeys import makeKey, writeLine
from tests.integration.node import missing, nodeFolder
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: Packages of the client in TypeScript. The generator does not work with a later TypeScript.
PACKAGES = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3")

#: Options of the compiler.
STRICT = ("--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--noUncheckedIndexedAccess")

#: The client in TypeScript. A wrong name of a member or a path does not compile.
TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };
const [baseUrl, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
const place = { params: { path: { name: "news" } } };

const opened = await client.PUT("/streams/{name}", place);
const state: string | undefined = opened.data?.state;
const published = await client.POST("/streams/{name}", { ...place, body: { event: "headline", data: "It works" } });
const ids: string[] = published.data?.ids ?? [];
await client.POST("/streams/{name}", { ...place, body: [{ token: "One" }, { token: " two" }] });
const text = await client.GET("/streams/{name}", { ...place, headers: { Accept: "text/plain" }, parseAs: "text" });
const cancelled = await client.POST("/streams/{name}/cancel", place);
const link = await client.POST("/streams/{name}/links", { ...place, body: { rights: ["read"], seconds: 60 } });
const started = await client.POST("/streams", { body: {} });
const list = await client.GET("/streams", { params: { query: { limit: 10 } } });
const names = list.data?.streams.map((stream: components["schemas"]["ListedStream"]) => stream.name) ?? [];
const models = await client.GET("/v1/models");
const unknown = await client.DELETE("/streams/{name}", { params: { path: { name: "nobody" } } });
const removed = await client.DELETE("/streams/{name}", place);
console.log(JSON.stringify({
  state,
  ids: ids.length,
  text: text.data,
  cancelled: cancelled.data?.state,
  link: link.data?.url.split("=")[0],
  listed: names.includes(started.data?.name ?? "") && names.includes("news"),
  model: models.data?.data[0]?.object,
  code: unknown.error?.error.code,
  removed: removed.response.status,
}));
"""

#: The client in Python.
PYTHON = """
import json
import sys

from generated import AuthenticatedClient
from generated.api.chat import list_models
from generated.api.streams import (
    cancel_stream, delete_stream, list_streams, make_link, open_stream, publish, read_stream, start_run
)
from generated.models import Event, LinkRequest, LinkRequestRightsItem, RunBody, Token

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)
# The generated code cannot leave out an optional body that is a union.
opened = open_stream.sync("news", client=client, body=Event(data="It works", event="headline"))
published = publish.sync("news", client=client, body=Token(token="One"))
publish.sync("news", client=client, body=[Token(token=" two")])
reader = client.with_headers({"Accept": "text/plain"})
text = read_stream.sync_detailed("news", client=reader).content.decode()
cancelled = cancel_stream.sync("news", client=client)
link = make_link.sync("news", client=client, body=LinkRequest(rights=[LinkRequestRightsItem.READ], seconds=60))
started = start_run.sync(client=client, body=RunBody())
names = [stream.name for stream in list_streams.sync(client=client, limit=10).streams]
models = list_models.sync(client=client)
unknown = delete_stream.sync("nobody", client=client)
removed = delete_stream.sync_detailed("news", client=client)
print(json.dumps({
    "state": opened.state.value,
    "ids": len(published.ids),
    "text": text,
    "cancelled": cancelled.state.value,
    "link": link.url.split("=")[0],
    "listed": started.name in names and "news" in names,
    "model": models.data[0].object_,
    "code": unknown.error.code,
    "removed": removed.status_code.value,
}))
"""

#: Output of each client.
FOUND = {
    "state": "open",
    "ids": 1,
    "text": "One two",
    "cancelled": "cancelled",
    "link": "/streams/news?rights",
    "listed": True,
    "model": "model",
    "code": "stream_not_found",
    "removed": 204,
}


class ClientTestCase(SynchronousTestCase):
    """A server process with credentials."""

    def setUp(self) -> None:
        self.port = freePort()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.key = makeKey()
        keys, link = self.folder / "keys.txt", self.folder / "link.key"
        keys.write_text(f"{writeLine('one', self.key, ['read,publish,run,cancel,delete,list:*'])}\n", "ascii")
        link.write_text("k" * 64 + "\n", "ascii")
        self.server = twistd(
            "sseserver",
            f"--listen=tcp:{self.port}:interface=127.0.0.1",
            *(f"--api-keys={keys}", f"--link-key-file={link}"),
        )

    def describe(self, path: Path) -> None:
        """Write the document of the server into a file."""
        status, _, body = ask(self.port, "GET", "/openapi.json")
        self.assertEqual(status, 200)
        path.write_bytes(body)

    def run_(self, command: list[str], folder: Path, **variables: str) -> str:
        """Run a program in a folder; return what it prints."""
        found = subprocess.run(
            command,
            cwd=folder,
            env={**ENVIRONMENT, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        return found.stdout


class TypeScriptTests(ClientTestCase):
    """A client of `openapi-typescript` and `openapi-fetch`."""

    def test_client(self) -> None:
        """It compiles, and its calls return what the types say."""
        folder = nodeFolder("", *PACKAGES)
        (folder / "main.ts").write_text(TYPESCRIPT, "ascii")
        bin_ = folder / "node_modules" / ".bin"
        with serving(self.server, self.port, env=ENVIRONMENT):
            self.describe(folder / "openapi.json")
            self.run_([str(bin_ / "openapi-typescript"), "openapi.json", "-o", "api.d.ts"], folder)
            self.run_([str(bin_ / "tsc"), *STRICT, "main.ts"], folder)
            printed = self.run_(["node", "main.js", self.url, self.key], folder)
        self.assertEqual(json.loads(printed), FOUND)


class PythonTests(ClientTestCase):
    """A client of `openapi-python-client`."""

    def test_client(self) -> None:
        """It compiles, and its calls return what the types say."""
        if importlib.util.find_spec("openapi_python_client") is None:
            raise missing("openapi-python-client is not installed: pip install -e '.[test]'")
        (self.folder / "main.py").write_text(PYTHON, "ascii")
        generator = str(Path(sys.executable).with_name("openapi-python-client"))
        options = ("--path", "openapi.json", "--output-path", "generated", "--meta", "none")
        with serving(self.server, self.port, env=ENVIRONMENT):
            self.describe(self.folder / "openapi.json")
            self.run_([generator, "generate", *options], self.folder)
            self.assertTrue(compileall.compile_dir(self.folder / "generated", quiet=1))
            printed = self.run_([sys.executable, "main.py", self.url, self.key], self.folder)
        self.assertEqual(json.loads(printed), FOUND)
