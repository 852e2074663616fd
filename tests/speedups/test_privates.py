"""
Tests of `sseserver.speedups.privates`: each probe passes on this Twisted, and fails where a name
has changed.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import HTTP11ClientProtocol, TransportProxyProducer
from twisted.web.http import HTTPChannel

from sseserver.speedups import channel, privates
from sseserver.speedups.privates import (
    seesAbort,
    seesChunks,
    seesInput,
    seesWaits,
    skipsLastRead,
)
from tests.speedups.cases import look


class ProbeTests(SynchronousTestCase):
    """The probes."""

    def test_pass(self) -> None:
        """
        With the Twisted that is installed all probes pass. If this fails after an update of
        Twisted, nothing is broken, but slow: `sseserver.speedups.privates` has to learn the new
        names.
        """
        for check in (
            seesAbort,
            seesChunks,
            seesInput,
            seesWaits,
            skipsLastRead,
            channel.readsHeads,
            channel.fillsChannels,
        ):
            self.assertTrue(check(), check.__name__)

    def test_lastReadElsewhere(self) -> None:
        """
        A TLS transport that reads at its end all the same is left as it is.
        """
        lost = TLSMemoryBIOProtocol.connectionLost

        def connectionLost(transport: Any, reason: Any) -> None:
            transport._lostTLSConnection = False
            lost(transport, reason)

        self.patch(TLSMemoryBIOProtocol, "connectionLost", connectionLost)
        self.assertFalse(look(skipsLastRead))

    def test_abortThatShowsNowhere(self) -> None:
        """
        An abort that leaves no trace fails the probe.
        """
        self.patch(Connection, "abortConnection", lambda transport: None)
        self.assertFalse(look(seesAbort))

    def test_inputElsewhere(self) -> None:
        """A channel that keeps its input elsewhere, or reads on, fails the probe."""
        self.patch(privates, "hasEnoughInput", lambda channel: bool(channel.anotherName))
        self.assertFalse(look(seesInput))
        self.patch(privates, "hasEnoughInput", lambda channel: True)
        self.assertFalse(look(seesInput))

    def test_waitElsewhere(self) -> None:
        """A channel that does not keep what comes during a wait, or that shows no full transport, fails the probe."""
        for name, changed in (("setRawMode", lambda channel: None), ("pauseProducing", lambda channel: None)):
            with mock.patch.object(HTTPChannel, name, changed):
                self.assertFalse(look(seesWaits), name)
        self.assertTrue(look(seesWaits))

    def test_decoderOfAnotherKind(self) -> None:
        """
        A decoder that never shows a chunk's beginning fails the probe.
        """
        self.patch(privates, "isBetweenChunks", lambda decoder: bool(decoder.anotherName))
        self.assertFalse(look(seesChunks))
        self.patch(privates, "isBetweenChunks", lambda decoder: True)
        self.assertFalse(look(seesChunks))

    def test_connectionOfAnotherName(self) -> None:
        """
        A transport of a body that does not lead to the connection fails the probe.
        """

        def keepElsewhere(proxy: Any, producer: object) -> None:
            proxy.elsewhere = producer

        self.patch(TransportProxyProducer, "__init__", keepElsewhere)
        self.assertFalse(look(seesChunks))

    def test_clientWithoutParser(self) -> None:
        """
        A client whose parser is not found fails the probe.
        """
        self.patch(HTTP11ClientProtocol, "dataReceived", lambda client, data: None)
        self.assertFalse(look(seesChunks))

    def test_headsReadOtherwise(self) -> None:
        """
        A channel of Twisted's that treats requests in another way fails the probe.
        """
        through = HTTPChannel.allHeadersReceived

        def allHeadersReceived(self: Any) -> None:
            if type(self) is HTTPChannel:
                self.requests[-1].requestHeaders.addRawHeader(b"X-New", b"1")
            through(self)

        self.patch(HTTPChannel, "allHeadersReceived", allHeadersReceived)
        self.assertFalse(look(channel.readsHeads))

    def test_channelOfOtherNames(self) -> None:
        """
        A channel whose names cannot be set fails the probe.
        """

        def hasNoSuchName(receiver: Any, *arguments: object) -> None:
            raise AttributeError

        self.patch(channel, "receiveRequest", hasNoSuchName)
        self.assertFalse(look(channel.readsHeads))

    def test_channelOfOtherAttributes(self) -> None:
        """
        A channel with another default, or with one more, fails the probe; the defaults of Twisted's classes serve.
        """
        fill = channel.fillChannel
        for name, value in (("length", 1), ("anotherName", None)):

            def change(receiver: Any, name: str = name, value: Any = value) -> None:
                fill(receiver)
                setattr(receiver, name, value)

            with mock.patch.object(channel, "fillChannel", change):
                self.assertFalse(look(channel.fillsChannels), name)
                with mock.patch.object(channel, "fillsChannels", lambda: False):
                    made = channel.FastChannel()
            self.assertEqual((made.length, made.line_mode, hasattr(made, "anotherName")), (0, 1, False))
