"""
Peer: Pushpin, a proxy that holds its clients' responses open and publishes into them.

    python benchmarks/peers/pushpin.py PORT FOLDER

It starts Debian's packages pushpin, condure and zurl with their files in FOLDER, and the origin that Pushpin asks for
each response: it answers with the instruction to hold it as a stream. Events are published to the next port.
"""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from types import FrameType

HERE = Path(__file__).resolve().parent
FIRST = b":\n\n"


class Origin(BaseHTTPRequestHandler):
    """Lets Pushpin hold each response."""

    def do_GET(self) -> None:
        """Answer with Pushpin's instructions."""
        self.send_response(200)
        fields = {"Content-Type": "text/event-stream", "Grip-Hold": "stream", "Grip-Channel": "one"}
        for name, value in {**fields, "Content-Length": str(len(FIRST))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(FIRST)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def main(port: int, folder: Path) -> None:
    """Serve until SIGTERM."""
    origin = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    origin.daemon_threads = True
    for name in ("run", "log"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "routes").write_text(f"* 127.0.0.1:{origin.server_port}\n")
    # The port of its HTTP control server is 5561 and the offset.
    values = {"folder": folder, "port": port, "offset": port + 1 - 5561}
    file = folder / "pushpin.conf"
    file.write_text(Template((HERE / "pushpin.conf").read_text()).substitute(values))
    child = subprocess.Popen(["pushpin", "--config", str(file), "--merge-output"])

    def stop(number: int, frame: FrameType | None) -> None:
        child.terminate()
        os._exit(child.wait(10))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    origin.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
