"""
Schemathesis makes requests from the OpenAPI document: no answer is a 5xx, and each is as the document says.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.access.apikeys import makeKey, writeLine
from tests.integration.node import missing
from tests.integration.servers import ENVIRONMENT, PATIENCE, TESTS_ENVIRONMENT, ask, freePort, serving, twistd

#: Seconds. After this time no further requests are made.
TIME = 25

#: Checks that are left out. Servers ignore parameters of URLs that they do not know, and a schema cannot say that a
#: source has one model, or that an idempotency key was used before.
LEFT_OUT = "negative_data_rejection,positive_data_acceptance"


class SchemathesisTests(SynchronousTestCase):
    """A server process, and what Schemathesis finds."""

    def setUp(self) -> None:
        if importlib.util.find_spec("schemathesis") is None:
            raise missing("schemathesis is not installed: pip install -e '.[test]'")
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = freePort()

    def serve(self, *options: str) -> list[str]:
        """Return the command line of a server whose runs end soon."""
        (self.folder / "text.txt").write_text("One two three.", "ascii")
        text = ("--text", str(self.folder / "text.txt"), "--interval=0.01")
        return twistd("sseserver", f"--listen=tcp:{self.port}:interface=127.0.0.1", *text, *options)

    def openStreams(self, headers: dict[str, str]) -> None:
        """Open the streams that the hooks name."""
        from tests.integration import schemathesishooks

        ended = {**headers, "Content-Type": "text/plain", "Stream-Closed": "true"}
        self.assertEqual(ask(self.port, "PUT", f"/streams/{schemathesishooks.OPEN}", headers)[0], 201)
        self.assertEqual(ask(self.port, "PUT", f"/streams/{schemathesishooks.ENDED}", ended, b"x")[0], 201)

    def run_(self, *options: str) -> str:
        """Run Schemathesis; return what it prints."""
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"http://127.0.0.1:{self.port}/openapi.json", "--no-color"),
            *("--seed=1", "--max-examples=10", f"--max-time={TIME}", f"--request-timeout={PATIENCE}"),
            *("--phases=coverage,fuzzing,stateful", "--generation-database=none", "--warnings=off"),
            *(f"--exclude-checks={LEFT_OUT}", *options),
        ]
        environment = {**TESTS_ENVIRONMENT, "SCHEMATHESIS_HOOKS": "tests.integration.schemathesishooks"}
        found = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=PATIENCE * 2, check=False
        )
        self.assertEqual(found.returncode, 0, found.stdout[-10_000:] + found.stderr[-2000:])
        return found.stdout

    def test_answers(self) -> None:
        """With credentials of every right."""
        key = makeKey()
        (self.folder / "keys.txt").write_text(f"{writeLine('one', key, ['read,publish,run,cancel,delete,list:*'])}\n")
        (self.folder / "link.key").write_text("k" * 64 + "\n")
        keys = (f"--api-keys={self.folder / 'keys.txt'}", f"--link-key-file={self.folder / 'link.key'}")
        with serving(self.serve(*keys), self.port, env=ENVIRONMENT):
            self.openStreams({"Authorization": f"Bearer {key}"})
            printed = self.run_("--header", f"Authorization: Bearer {key}")
        self.assertIn("No issues found", printed)
