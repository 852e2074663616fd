"""
Tests of `sseserver.sources.launch`: the environment, signals and descriptors of programs.
"""

from __future__ import annotations

import errno
import os
import signal

from sseserver.sources.process import ProcessSource
from sseserver.testing import RecordingSink
from tests.sources.commands import ProgramTestCase, python


class LaunchTests(ProgramTestCase):
    """The inheritance of a program from the server."""

    def test_child(self) -> None:
        """
        A program has its own session, no descriptors but three, and the default actions for all
        signals (F100), even if the server ignores some, as in the background of a shell.
        """
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_IGN))
        self.addCleanup(signal.pthread_sigmask, signal.SIG_SETMASK, signal.pthread_sigmask(signal.SIG_SETMASK, []))
        os.set_inheritable(leaked := os.open("/dev/null", os.O_RDONLY), True)
        self.addCleanup(os.close, leaked)
        self.descriptors.add(str(leaked))
        script = (
            "import os;print(os.getsid(0)==os.getpgrp()==os.getpid());"
            "print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:4])"
        )
        self.assertEqual(self.text(python(script)).splitlines(), ["True", "[0, 1, 2, 3]"])  # 3 is the listing's
        status = dict(line.split(":\t") for line in self.text(["cat", "/proc/self/status"]).splitlines())
        for name in ("SigBlk", "SigIgn"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)

    def test_F74_environment(self) -> None:
        """F74: a program gets a few variables of the server's environment, and those that are named."""
        path = os.environ["PATH"]
        plain = {"PATH": path, "HOME": "/h", "LANG": "C", "LC_ALL": "C", "TZ": "UTC", "TMPDIR": "/t", "USER": "u"}
        secret = {"SSESERVER_UPSTREAM_KEY": "hunter2", "AWS_SECRET": "hunter2", "CUDA_VISIBLE_DEVICES": "0"}
        self.patch(os, "environ", {**plain, **secret})
        for names in ((), ("CUDA_VISIBLE_DEVICES",), ("SSESERVER_UPSTREAM_KEY", "PATH")):
            sink = RecordingSink()
            sink.start(ProcessSource(self.reactor, ["env"], variables=names))
            self.reactor.until(lambda sink=sink: sink.ended)
            self.drain()
            expected = {f"{name}={value}" for name, value in (plain | secret).items() if name in {*plain, *names}}
            self.assertEqual(set("".join(sink.tokens).splitlines()), expected)
        self.assertRaises(ValueError, ProcessSource, self.reactor, ["env"], variables=["NO_SUCH_NAME"])

    def test_F85_noPidfd(self) -> None:
        """F85: without a usable `pidfd_open` there is no source, instead of programs that nobody watches."""

        def fails(pid: int) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        self.patch(os, "pidfd_open", fails)
        self.assertRaisesRegex(RuntimeError, "Linux 5.3.*not implemented", ProcessSource, self.reactor, ["cat"])
        del os.pidfd_open
        self.assertRaisesRegex(RuntimeError, "Linux 5.3", ProcessSource, self.reactor, ["cat"])
