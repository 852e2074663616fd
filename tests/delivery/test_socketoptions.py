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

from sseserver.delivery.socketoptions import LargeWrites, TunedEndpoint, listOptions, tune
from tests.wires import FakeSocket, WireReactor

#: The limit of unsent data, and the options of a viewer.
LOWAT = (socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25))
TUNED = {(socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1, LOWAT: 128 * 1024}


class OptionsSocket(FakeSocket):
    """Records the options that are set; may lack one."""

    def __init__(self, lacks: int | None = None) -> None:
        super().__init__()
        self._lacks = lacks

    def setsockopt(self, level: int, option: int, value: object) -> None:
        if option == self._lacks:
            raise OSError("no such option")
        self.options[level, option] = value


class ListeningPort:
    """A port, as far as its socket."""

    def __init__(self, handle: Any) -> None:
        self.socket = handle


@implementer(IStreamServerEndpoint)
class PortEndpoint:
    """An endpoint with one port."""

    def __init__(self, port: Any) -> None:
        self.port = port

    def listen(self, factory: Any) -> Deferred[Any]:
        return succeed(self.port)


class TunedEndpointTests(SynchronousTestCase):
    """Options that viewers inherit from the listening socket."""

    def listen(self, port: Any) -> None:
        """Listen on a port through a tuned endpoint."""
        endpoint = TunedEndpoint(PortEndpoint(port))
        self.assertTrue(verifyObject(IStreamServerEndpoint, endpoint))
        self.assertIs(self.successResultOf(endpoint.listen(Factory())), port)

    def viewer(self, port: Any) -> dict[tuple[int, int], object]:
        """Tune a viewer that connected to a port; return the options set on its socket."""
        handle: Any = OptionsSocket()
        tune(Server(handle, None, ("127.0.0.1", 1), port, 1, WireReactor()))  # type: ignore[arg-type]
        options: dict[tuple[int, int], object] = handle.options
        return options

    def port(self, lacks: int | None = None) -> Any:
        """Make a port."""
        port: Any = ListeningPort(OptionsSocket(lacks))
        port._realPortNumber = 8000  # noqa: SLF001  (a name of Twisted)
        return port

    def test_once(self) -> None:
        """The options are set on the listening socket, and on no viewer of its port."""
        port = self.port()
        self.listen(port)
        self.assertEqual(port.socket.options, TUNED)
        self.assertEqual(self.viewer(port), {})

    def test_portsOfOthers(self) -> None:
        """A viewer of any other port gets the options on its own socket."""
        self.assertEqual(self.viewer(self.port()), TUNED)

    def test_notInherited(self) -> None:
        """
        Each viewer gets the options if the listening socket lacks one, or the system is not known
        to pass them on.
        """
        port = self.port(lacks=socket.SO_KEEPALIVE)
        self.listen(port)
        self.assertEqual(self.viewer(port), TUNED)
        self.patch(sys, "platform", "darwin")
        port = self.port()
        self.listen(port)
        self.assertEqual((port.socket.options, self.viewer(port)), ({}, TUNED))

    def test_F90_otherNumbers(self) -> None:
        """F90: an option whose number is unknown on a system is not set there."""
        options = {(level, number): value for level, number, value in listOptions()}
        self.assertEqual(options, TUNED)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            number = socket.TCP_NOTSENT_LOWAT
            self.addCleanup(setattr, socket, "TCP_NOTSENT_LOWAT", number)
            del socket.TCP_NOTSENT_LOWAT
        self.assertEqual(len(listOptions("linux")), 2)
        self.assertEqual(listOptions("darwin"), [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])

    def test_kernel(self) -> None:
        """The kernel gives accepted sockets the options of the listening one."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.listen(ListeningPort(listening))
            with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
                has = {option: accepted.getsockopt(*option) for option in TUNED}
        self.assertEqual(has, TUNED)

    def test_largeWrites(self) -> None:
        """The kernel takes more ahead for a viewer with large writes, as long as it has them."""
        size = []
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.listen(ListeningPort(listening))
            with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
                transport = Server(accepted, None, ("127.0.0.1", 1), self.port(), 1, WireReactor())  # type: ignore[arg-type]
                transport.connected = True
                writes = LargeWrites()
                for change in (writes.begin, writes.begin, lambda viewer, _: writes.end(viewer), writes.begin):
                    change(self, transport)
                    size.append(accepted.getsockopt(*LOWAT))
                transport.connected = False
                writes.end(self)
        self.assertEqual(size, [2**21, 2**21, 2**17, 2**21])
        self.assertEqual(len(writes), 0)

    test_largeWrites.skip = None if sys.platform == "linux" else "Linux has the option."  # type: ignore[attr-defined]

    test_kernel.skip = None if sys.platform == "linux" else "Only Linux is known to do it."  # type: ignore[attr-defined]
