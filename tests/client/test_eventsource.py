"""Tests for `sseserver.client.eventsource`: states, backpressure and the ends of a client."""

from __future__ import annotations

from automat import NoTransition
from twisted.internet.defer import CancelledError
from twisted.web.client import Agent, HTTPConnectionPool

from sseserver.client import EventSource, EventTooLarge, ResponseTruncated, State
from tests.client.clients import ClientTestCase


class LifeTests(ClientTestCase):
    """States, and the end of a response."""

    def test_states(self) -> None:
        """
        The state is CONNECTING until there is an event stream, OPEN until that ends, and CONNECTING again
        (eventsource-reconnect).
        """
        source = self.make()
        self.assertIs(source.state, State.CONNECTING)
        self.done = source.start()
        self.assertIs(source.state, State.CONNECTING)
        self.respond()
        self.assertIs(source.state, State.OPEN)
        self.assertEqual([response.code for response in self.opened], [200])
        self.finish()
        self.assertIs(source.state, State.CONNECTING)
        self.reactor.advance(6)
        self.respond()
        self.assertIs(source.state, State.OPEN)
        self.assertEqual(len(self.opened), 2)
        self.assertNoResult(self.done)

    def test_noContent(self) -> None:
        """204 ends the stream without an error, on the first request or a later one."""
        self.begin()
        self.respond("204 No Content", {}, b"")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()
        self.open(b"data: x\n\n")
        self.finish()
        self.reactor.advance(3)
        self.respond("204 No Content", {}, b"")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()

    def test_endWithoutReconnect(self) -> None:
        """
        Without retries the end of the response ends the client: by chunks, by length, or by the close of the
        connection.
        """
        self.open(b"data: x\n\n", retry=None)
        self.finish()
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()
        self.begin(retry=None)
        self.respond(body=b"data: y\n\n")
        self.assertIsNone(self.successResultOf(self.done))
        self.begin(retry=None)
        self.wires[-1].send(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: z\n\n")
        self.wires[-1].close()
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["x", "y", "z"])
        self.assertOver()

    def test_truncated(self) -> None:
        """A lost connection differs from the end of a response, both as an error and before a retry."""
        for lose in ("close", "breakDown"):
            self.open(b"data: x\n\n", retry=None)
            getattr(self.wires[-1], lose)()
            self.reactor.turn()
            self.assertFails(ResponseTruncated)
        self.open(b"id: 5\ndata: x\n\ndata: torn")
        self.wires[-1].close()
        error, delay = self.retries.pop()
        self.assertIsInstance(error, ResponseTruncated)
        self.reactor.advance(delay)
        self.assertEqual(self.request()[1]["last-event-id"], "5")

    def test_noCallback(self) -> None:
        """Without a callback the events are dropped, and the last event ID is known."""
        source = self.open(b"id: 7\ndata: x\n\n", onEvent=None)
        self.assertEqual(source.lastEventID, "7")
        self.finish()
        self.assertEqual(self.retries, [(None, 3.0)])

    def test_tooLarge(self) -> None:
        """An event over the limit is final, because it would be as large in the next response."""
        self.open(b"data: small\n\n", maxEventBytes=100)
        self.chunk(b"data: " + b"x" * 100)
        self.assertFails(EventTooLarge)
        self.assertEqual((self.data, self.retries), (["small"], []))


class ReconnectTests(ClientTestCase):
    """F117: `reconnect`."""

    def test_F117_open(self) -> None:
        """F117: an open stream is dropped and continued at once, with its last event ID."""
        source = self.open(b"id: 7\ndata: x\n\nretry: 9000\n")
        source.reconnect()
        self.assertEqual((source.state, self.retries), (State.CONNECTING, []))
        self.reactor.advance(0)
        self.assertTrue(self.wires[0].closed)
        self.assertEqual((len(self.wires), self.request()[1]["last-event-id"]), (2, "7"))
        self.respond()
        self.chunk(b"data: y\n\n")
        self.assertEqual((self.data, source.reconnectionTime), (["x", "y"], 9.0))

    def test_F117_elsewhere(self) -> None:
        """F117: a request is made anew, and a delay is ended. A client that does not run is left alone."""
        source = self.make()
        source.reconnect()
        self.assertEqual(self.wires, [])
        self.done = source.start()
        source.reconnect()
        self.reactor.advance(0)
        self.assertEqual((len(self.wires), self.wires[0].closed), (2, True))
        self.respond(body=b"data: x\n\n")
        source.reconnect()
        self.reactor.advance(0)
        self.assertEqual(len(self.wires), 3)
        self.assertNoResult(self.done)
        source.close()
        source.reconnect()
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()

    def test_F117_inCallbacks(self) -> None:
        """F117: a callback may reconnect."""
        source = self.begin(onEvent=lambda event: (self.events.append(event), self.sources[-1].reconnect()))
        source.onOpen = lambda response: source.reconnect() if len(self.wires) == 1 else None
        self.respond()
        self.reactor.advance(0)
        self.respond(body=b"id: 1\ndata: x\n\nid: 2\ndata: y\n\n")
        self.reactor.advance(0)
        self.assertEqual((self.data, len(self.wires), self.request()[1]["last-event-id"]), (["x"], 3, "1"))


class AttributeTests(ClientTestCase):
    """Attributes that fields of the stream set."""

    def test_F116_reconnectionTime(self) -> None:
        """F116: the reconnection time is that of the last `retry` field, while the stream is open and after `close`."""
        source = self.open()
        self.assertEqual(source.reconnectionTime, 3.0)
        self.chunk(b"retry: 7000\n")
        self.assertEqual(source.reconnectionTime, 7.0)
        source.close()
        self.assertEqual(source.reconnectionTime, 7.0)

    def test_F117_comments(self) -> None:
        """F117: comments are reported, in one piece or many. One that is too large is cut off."""
        for size in (1, 1000):
            comments: list[str] = []
            source = self.make(maxEventBytes=20)
            source.onComment = comments.append
            self.done = source.start()
            self.respond()
            body = b":\n: processing\r\ndata: x\n:no space\n:  \xff\n\n: " + b"y" * 100 + b"\n"
            for start in range(0, len(body), size):
                self.chunk(body[start : start + size])
            self.assertEqual(comments[:4], ["", "processing", "no space", " \ufffd"])
            self.assertTrue(comments[4].startswith("yyyy"))
            self.assertEqual((len(comments), self.data), (5, ["x"]))
            self.events.clear()
            source.close()

    def test_F117_commentsEnd(self) -> None:
        """F117: the callback for comments may close the client, or fail, before the events received with them."""
        source = self.make()
        source.onComment = lambda text: source.close()
        self.done = source.start()
        self.respond()
        self.chunk(b":\ndata: x\n\n")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()
        source = self.make()
        source.onComment = lambda text: 1 / 0
        self.done = source.start()
        self.respond()
        self.chunk(b":\ndata: x\n\n")
        self.assertFails(ZeroDivisionError)
        self.assertEqual(self.events, [])

    def test_F56_exit(self) -> None:
        """F56: `SystemExit` in a callback ends its own client, with this exception."""

        def leave(*arguments: object) -> None:
            raise SystemExit

        for name in ("onEvent", "onOpen", "onRetry"):
            self.begin(**{name: leave})
            self.respond(body=b"data: x\n\n")
            self.failureResultOf(self.done, SystemExit)
            self.assertOver()


class BackpressureTests(ClientTestCase):
    """Consumers that are slower than the stream."""

    def test_socket(self) -> None:
        """A paused client delivers and reads nothing; the bytes stay in the network."""
        source = self.open(b"data: 1\n\n")
        source.pauseProducing()
        self.chunk(b"data: 2\n\n")
        self.assertEqual((self.data, self.wires[-1].unread), (["1"], 14))
        source.resumeProducing()
        self.reactor.turn()
        self.assertEqual((self.data, self.wires[-1].unread), (["1", "2"], 0))

    def test_inTheMiddle(self) -> None:
        """
        A client that is paused by one event of many keeps the others and the end of the response, in order.
        The last event ID is that of the last delivered event.
        """
        source = self.begin(onEvent=lambda event: (self.events.append(event), source.pauseProducing()))
        self.respond(body=b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\nid: 4\n\n")
        for number in "12":
            self.assertEqual((self.data[-1], source.lastEventID, len(self.events)), (number, number, int(number)))
            self.assertEqual((source.state, self.retries), (State.OPEN, []))
            source.resumeProducing()
        self.assertEqual((source.state, source.lastEventID, self.data[-1]), (State.CONNECTING, "4", "3"))

    def test_beforeItIsOpen(self) -> None:
        """A pause without a connection, or while one opens, applies to the next response."""
        for keywords in ({}, {"onOpen": lambda response: self.sources[-1].pauseProducing()}):
            source = self.begin(**keywords)
            if not keywords:
                source.pauseProducing()
            self.respond()
            self.chunk(b"data: 1\n\n")
            self.assertEqual(self.events, [])
            self.assertGreater(self.wires[-1].unread, 0)
            source.resumeProducing()
            self.reactor.turn()
            self.assertEqual(self.events.pop().data, "1")
            source.close()

    def test_byEach(self) -> None:
        """A client that is paused by an event that came alone keeps the rest, and continues when it is resumed."""
        data: list[bytes] = []
        source = self.open(b"\n", onData=lambda event: (data.append(event), source.pauseProducing()))
        for number in (b"1", b"2", b"3"):
            self.chunk(b"data: %b\n\n" % number)
            self.assertEqual(data[-1], number)
            source.resumeProducing()
            self.reactor.turn()
        self.chunk(b"data: 4\n\ndata: 5\n\n")
        self.assertEqual(data[-1], b"4")
        source.resumeProducing()
        self.assertEqual(data[-1], b"5")
        source.close()
        self.chunk(b"data: 6\n\n")
        self.assertEqual(data[-1], b"5")

    def test_deep(self) -> None:
        """A callback that pauses and resumes at each of many events does not deepen the stack."""
        source = self.begin(
            onEvent=lambda event: (self.events.append(event), source.pauseProducing(), source.resumeProducing())
        )
        self.respond()
        self.chunk(b"data\n\n" * 10_000)
        self.assertEqual(len(self.events), 10_000)

    def test_closeWhileEventsWait(self) -> None:
        """
        A client that is closed with events in its queue drops them, and knows the last one that was
        delivered.
        """
        source = self.begin(onEvent=lambda event: (self.events.append(event), source.pauseProducing()))
        self.respond()
        self.chunk(b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n")
        source.stopProducing()
        source.resumeProducing()
        self.assertEqual((self.data, source.lastEventID), (["1"], "1"))
        self.assertOver()


class EndTests(ClientTestCase):
    """Ends by the program."""

    def check(self, source: EventSource) -> None:
        """Close the client twice: nothing follows and nothing is left."""
        events = list(self.events)
        source.close()
        self.assertIs(source.state, State.CLOSED)
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()
        source.close()
        self.reactor.advance(1000)
        self.assertEqual(self.events, events)
        self.assertOver()

    def test_everywhere(self) -> None:
        """
        A client can be closed before the connection, before the response, in the middle of it, and during a
        delay.
        """
        self.network.refusals = [None]
        self.check(self.begin())
        self.check(self.begin(firstTimeout=5))
        self.check(self.open(b"data: x\n\ndata: torn", silence=5))
        source = self.open(b"data: x\n\n")
        self.finish()
        self.check(source)

    def test_serverThatTakesNothing(self) -> None:
        """Closing does not wait for a server that has not read the request."""
        source = self.make(method=b"POST", body=b"x" * 1_000_000)
        self.done = source.start()
        self.wires[-1].stall()
        self.respond()
        self.chunk(b"data: x\n\n")
        self.assertEqual(self.data, ["x"])
        self.check(source)

    def test_inCallbacks(self) -> None:
        """
        A client that is closed in a callback delivers none of the events that came with it (eventsource-
        close).
        """
        for name in ("onOpen", "onEvent", "onRetry"):
            self.events.clear()
            source = self.make()
            before = getattr(source, name)
            setattr(source, name, lambda *arguments, before=before: (before(*arguments), self.sources[-1].close()))
            self.done = source.start()
            self.respond(body=b"data: 1\n\ndata: 2\n\n")
            self.assertEqual(len(self.events), {"onOpen": 0, "onEvent": 1, "onRetry": 2}[name])
            self.check(source)

    def test_asItOpens(self) -> None:
        """A client that is closed, or fails, in `onOpen` drops the response."""
        source = self.begin(onOpen=lambda response: self.sources[-1].close())
        self.respond()
        self.check(source)
        self.begin(onOpen=lambda response: 1 / 0)
        self.respond()
        self.assertFails(ZeroDivisionError)

    def test_broken(self) -> None:
        """An exception of a callback ends the client and is the result of `start`."""

        def broken(*arguments: object) -> None:
            raise ZeroDivisionError

        for name in ("onOpen", "onEvent", "onRetry"):
            self.begin(**{name: broken})
            self.respond(body=b"data: 1\n\ndata: 2\n\n")
            self.assertFails(ZeroDivisionError)

    def test_cancelled(self) -> None:
        """Cancelling the result of `start` closes the client."""
        self.open(b"data: x\n\n")
        self.done.cancel()
        self.assertFails(CancelledError)

    def test_once(self) -> None:
        """A client can be started once, and not after its end."""
        source = self.begin()
        self.assertRaises(NoTransition, source.start)
        source.close()
        self.assertRaises(NoTransition, source.start)
        unused = self.make()
        unused.close()
        self.assertRaises(NoTransition, unused.start)
        self.assertEqual(len(self.wires), 1)

    def test_mistake(self) -> None:
        """A bug in the program is not retried like a failure of the network."""
        self.network.refusals = [ZeroDivisionError()]
        self.begin()
        self.assertFails(ZeroDivisionError)
        self.begin(method=b"not a method")
        self.assertFails(ValueError)

    def test_connectionIsReused(self) -> None:
        """
        With an agent that keeps connections, a complete response frees its connection for the next request;
        closing in the middle drops it.
        """
        pool = HTTPConnectionPool(self.reactor)
        agent = Agent.usingEndpointFactory(self.reactor, self.network, pool)
        self.open(b"data: 1\n\n", agent=agent, retry=None)
        self.finish()
        self.successResultOf(self.done)
        source = self.open(b"data: 2\n\n", agent=agent)
        self.assertEqual((self.data, len(self.wires)), (["1", "2"], 1))
        source.close()
        self.assertOver()
