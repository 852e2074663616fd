"""
Check an installed package with its own Python, from any folder.

    python .ci/installed.py [--compiled]

It starts `twistd sseserver`, reads a whole stream and the page, and stops it with SIGTERM. With `--compiled` the build
must be the compiled one. Only the standard library is needed: cibuildwheel runs this beside each wheel, and
tests/integration/test_packaging.py in an empty environment.
"""

from __future__ import annotations

import argparse
import http.client
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Seconds. Longest time for a server to start, to answer or to end.
PATIENCE = 120


def findPort() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def readWhenReady(server: subprocess.Popen[bytes], port: int, accept: str) -> tuple[str, str]:
    """
    Request `/` from a server that is just starting, and read the whole response.

    Returns:
        The content type and the body.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/", headers={"Accept": accept})
            response = connection.getresponse()
            return response.getheader("Content-Type", ""), response.read().decode("utf-8")
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def checkServer(folder: Path) -> None:
    """Start a server in a folder, and check what it answers, how it ends and what it logs."""
    port, log = findPort(), folder / "output"
    options = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--interval", "0", "--drain-wait=0")
    command = (str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "sseserver", *options)
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        contentType, stream = readWhenReady(server, port, "text/event-stream")
        _, page = readWhenReady(server, port, "text/html")
        server.terminate()
        status = server.wait(PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise AssertionError(log.read_text("utf-8")) from problem
    finally:
        server.kill()
        server.wait()
    assert contentType == "text/event-stream", contentType
    assert re.search(r"\ndata: \w", stream), stream
    assert re.search(r"event: done\n(?:.+\n)*\n\Z", stream), stream
    assert "<html" in page, page
    assert status == 0, status
    assert "Traceback" not in log.read_text("utf-8"), log.read_text("utf-8")


def checkBuild() -> None:
    """Check that the modules of every token are compiled."""
    import sseserver

    assert sseserver.compiled, sseserver.__file__


def main() -> None:
    """Run the checks that the command line asks for."""
    parser = argparse.ArgumentParser(description="Check the installed package.")
    parser.add_argument("--compiled", action="store_true", help="the build must be the compiled one")
    if parser.parse_args().compiled:
        checkBuild()
    with tempfile.TemporaryDirectory(prefix="sseserver-installed-") as folder:
        checkServer(Path(folder))
    sys.stdout.write("The installed package serves.\n")


if __name__ == "__main__":
    main()
