"""
Two servers that share their streams in a Redis, behind HAProxy: `python docs/examples/cluster/run.py`. Ctrl-C ends all.

A server that ends is started again, so `kill PID` of the one and then of the other is a rolling restart.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PORTS = [8001, 8002]


def start(words: list[str]) -> "subprocess.Popen[bytes]":
    """Start a process that Ctrl-C does not reach: this program ends it."""
    return subprocess.Popen(words, start_new_session=True)  # noqa: S603


def startServer(port: int, redis: str) -> "subprocess.Popen[bytes]":
    """Start one of the servers."""
    twistd = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "--logfile=/dev/null"]
    options = ["--listen", f"tcp:{port}:interface=127.0.0.1", "--store", redis, "--drain-wait", "2"]
    process = start([*twistd, "sseserver", *options])
    print(f"The server on port {port} is process {process.pid}.", flush=True)
    return process


def stop(*processes: "subprocess.Popen[bytes]") -> None:
    """End processes, and wait for them."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def run(folder: str) -> None:
    """Run everything until Ctrl-C."""
    socket = f"{folder}/redis"
    conf = ["--port", "0", "--unixsocket", socket, "--dir", folder, "--appendonly", "yes", "--loglevel", "warning"]
    redis = start(["redis-server", *conf])
    servers = {port: startServer(port, f"redis+unix://{socket}") for port in PORTS}
    balancer = start(["haproxy", "-f", str(HERE / "haproxy.cfg")])
    try:
        print("Open http://127.0.0.1:8080/ when both have started, and end with Ctrl-C.", flush=True)
        while redis.poll() is None and balancer.poll() is None:
            for port, server in servers.items():
                if server.poll() is not None:
                    servers[port] = startServer(port, f"redis+unix://{socket}")
            time.sleep(0.2)
        print("Redis or HAProxy has ended.", flush=True)
    except KeyboardInterrupt:
        print("Everything is ended.", flush=True)
    finally:
        stop(*servers.values())
        stop(balancer, redis)


if __name__ == "__main__":
    # As Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="sseserver-") as place:
        run(place)
