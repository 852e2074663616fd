"""
A second client: requests a small file again and again on one connection, and notes how long it waits.

    python benchmarks/peers/watcher.py PORT PID

Each line on standard input ends a window and begins the next. For each window it prints the longest waits
in milliseconds, at most 1,000, each with the CPU time that the server's first thread has used meanwhile: the
one of its reactor. If the load client runs in real time, this one runs at the next higher priority, so that
the other does not delay it.
"""

import json
import os
import select
import socket
import sys
import time

REQUEST = b"GET /assets/app.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

#: Seconds between two requests.
REST = 0.0003

#: Waits of a window that are printed.
SHOWN = 1000


class Watcher:
    """The client, connected to the port of a process."""

    def __init__(self, port: int, pid: int) -> None:
        # The first number is the CPU time of the first thread, in nanoseconds.
        self._statistics = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._size = 0

    def wait(self) -> tuple[float, float]:
        """Return the seconds from a request to the end of its answer, and the reactor's CPU time in between."""
        used, begin = self._readUsed(), time.monotonic()
        self._socket.sendall(REQUEST)
        received = 0
        while not self._size or received < self._size:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server has closed the connection")
            received += len(data)
            if not self._size:
                # All answers have the same size; the first one comes as a whole.
                head, _, _ = data.partition(b"\r\n\r\n")
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                self._size = len(head) + 4 + int(length[15:])
        return time.monotonic() - begin, self._readUsed() - used

    def _readUsed(self) -> float:
        """Return the CPU time that the reactor has used, in seconds."""
        return int(os.pread(self._statistics, 64, 0).split()[0]) / 1e9

    def watch(self) -> list[tuple[float, float]]:
        """Watch until a line comes, and return the waits."""
        waits = []
        while not select.select([sys.stdin], [], [], REST)[0]:
            waits.append(self.wait())
        return waits if sys.stdin.buffer.readline() else []


def main() -> None:
    """Watch windows until standard input ends."""
    policy = os.sched_getscheduler(0)
    if policy in (os.SCHED_RR, os.SCHED_FIFO):
        os.sched_setscheduler(0, policy, os.sched_param(os.sched_getparam(0).sched_priority + 1))
    watcher = Watcher(int(sys.argv[1]), int(sys.argv[2]))
    watcher.wait()
    while waits := watcher.watch():
        longest = sorted(waits, reverse=True)[:SHOWN]
        print(json.dumps([[round(seconds * 1000, 3) for seconds in wait] for wait in longest]), flush=True)


if __name__ == "__main__":
    main()
