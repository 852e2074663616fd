"""
Tests for `sseserver.delivery.socketoptions`.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Server
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sseserver.delivery.socketoptions import TunedEndpoint, tune
from tests.wires import FakeSocket, WireReactor

#: The options of a viewer.
TUNED = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25)): 128 * 1024,
}


class OptionsSocket(FakeSocket):
    """Notes the options that are set; may be without some."""

    def __init__(self, lacks: int | None = None) -> None:
        super().__init__()
        self.options: dict[tuple[int, int], object] = {}
        self._lacks = lacks

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if option == self._lacks:
            raise OSError("no such option")
        self.options[level, option] = value


class ListeningPort:
    """What listens, as far as its socket."""

    def __init__(self, handle: Any) -> None:
        self.socket = handle


@implementer(IStreamServerEndpoint)
class PortEndpoint:
    """Has one port."""

    def __init__(self, port: Any) -> None:
        self.port = port

    def listen(self, factory: Any) -> Deferred[Any]:
        return succeed(self.port)


class TunedEndpointTests(SynchronousTestCase):
    """Options that viewers inherit."""

    def listen(self, port: Any) -> None:
        """Listen on a port by a tuned endpoint."""
        endpoint = TunedEndpoint(PortEndpoint(port))
        self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
        self.assertIs(self.successResultOf(endpoint.listen(Factory())), port)

    def viewer(self, port: Any) -> dict[tuple[int, int], object]:
        """Tune a viewer that came by a port; give what was set on its socket."""
        handle: Any = OptionsSocket()
        tune(Server(handle, None, ("127.0.0.1", 1), port, 1, WireReactor()))  # type: ignore[arg-type]
        options: dict[tuple[int, int], object] = handle.options
        return options

    def port(self, lacks: int | None = None) -> Any:
        """Make one."""
        port: Any = ListeningPort(OptionsSocket(lacks))
        port._realPortNumber = 8000  # noqa: SLF001  (a name of Twisted)
        return port

    def test_once(self) -> None:
        """
        They are set on what listens, and on no viewer that comes by it.
        """
        port = self.port()
        self.listen(port)
        self.assertEqual(port.socket.options, TUNED)
        self.assertEqual(self.viewer(port), {})

    def test_portsOfOthers(self) -> None:
        """
        By whatever else a viewer comes, its own socket gets them.
        """
        self.assertEqual(self.viewer(self.port()), TUNED)

    def test_notInherited(self) -> None:
        """
        Where not all can be set on what listens, each viewer gets what it can;
        so it does on a system that is not known to let it inherit them.
        """
        port = self.port(lacks=socket.SO_KEEPALIVE)
        self.listen(port)
        self.assertEqual(self.viewer(port), TUNED)
        self.patch(sys, "platform", "darwin")
        port = self.port()
        self.listen(port)
        self.assertEqual((port.socket.options, self.viewer(port)), ({}, TUNED))

    def test_kernel(self) -> None:
        """
        The kernel gives what it accepts the options of what listens.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.listen(ListeningPort(listening))
            with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
                has = {option: accepted.getsockopt(*option) for option in TUNED}
        self.assertEqual(has, TUNED)

    test_kernel.skip = None if sys.platform == "linux" else "Only Linux is known to do it."  # type: ignore[attr-defined]
