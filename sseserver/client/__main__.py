"""
Command `python -m sseserver.client URL`: prints an event stream to a terminal, over lost connections.

The arguments are documented where `makeParser` declares them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react
from twisted.web.http_headers import Headers

from sseserver.client import Event, EventSource, EventSourceError, EventTooLarge, Limits, Request, RetryPolicy
from sseserver.client.limits import DEFAULT_LIMITS
from sseserver.client.request import checkURL

#: Exit status at the end of the stream. A wrong command line is 2, as in every argparse program.
DONE = 0

#: Exit status after an error.
FAILED = 1

#: Exit status after the reader of standard output has gone, as shells report SIGPIPE.
BROKEN_PIPE = 128 + signal.SIGPIPE

#: Seconds of silence after which the connection counts as lost: six heartbeats of sseserver.
SILENCE = 90.0

# A terminal obeys control characters, and a stream may come from anywhere. All but TAB and LF become U+FFFD.
_CONTROLS = dict.fromkeys([*(set(range(0x20)) - {0x09, 0x0A}), *range(0x7F, 0xA0)], "\ufffd")


def _readHeader(text: str) -> tuple[str, str]:
    """Read an argument of the form `Name: value`."""
    name, colon, value = text.partition(":")
    if not colon or not name or name != name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 'Name: value'")
    return name, value.strip()


def _readURL(text: str) -> str:
    """Check an argument that is a URL."""
    try:
        checkURL(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _readSeconds(text: str) -> float:
    """Read an argument that is a number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def makeParser() -> argparse.ArgumentParser:
    """Make the parser of the command line. Its texts are the documentation of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m sseserver.client",
        description="Print the data of an event stream (Server-Sent Events), and reconnect after a lost connection.",
        epilog=(
            "Exit status: 0 at the end of the stream (status 204, or with --once the end of the response), 1 if the "
            "stream failed or the first request got no stream (one line on standard error says why), 2 for a wrong "
            "command line."
        ),
    )
    parser.add_argument("url", metavar="URL", type=_readURL, help="address of the stream, http or https")
    parser.add_argument("--last-event-id", metavar="ID", default="", help="continue after the event with this ID")
    parser.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        type=_readHeader,
        action="append",
        default=[],
        help="send this header; can be repeated",
    )
    parser.add_argument(
        "--type",
        metavar="TYPE",
        action="append",
        help="print only events of this type ('message' is the default type); can be repeated",
    )
    parser.add_argument(
        "-n",
        "--no-newline",
        action="store_true",
        help="print no newline after an event; with '--type message' this prints the text of an sseserver stream",
    )
    parser.add_argument("--once", action="store_true", help="do not reconnect")
    parser.add_argument(
        "--first-response-timeout",
        metavar="SECONDS",
        type=_readSeconds,
        default=DEFAULT_LIMITS.connectTimeout,
        help="fail or retry if a response has not begun after this time (default: %(default)g)",
    )
    parser.add_argument(
        "--silence",
        metavar="SECONDS",
        type=_readSeconds,
        default=SILENCE,
        help="reconnect after this time without a byte; 0 means never (default: %(default)g)",
    )
    return parser


class Printer:
    """
    Printer of one stream.

    Args:
        options: The arguments that `makeParser` has read.
        out: Receives the events.
        notes: Receives one line for each lost connection and for the error at the end.
    """

    def __init__(self, options: argparse.Namespace, out: TextIO, notes: TextIO) -> None:
        self._options = options
        self._out = out
        self._notes = notes
        self._end = "" if options.no_newline else "\n"
        self._controls: dict[int, str] = _CONTROLS if out.isatty() else {}
        self._reached = False

    async def run(self, reactor: Any) -> int:
        """
        Print until the end of the stream.

        Returns:
            The exit status.
        """
        source = self._makeSource(reactor)
        try:
            await source.start()
        except BrokenPipeError:
            return BROKEN_PIPE
        except (EventSourceError, EventTooLarge) as error:
            self._note(str(error))
            return FAILED
        return DONE

    def printEvent(self, event: Event) -> None:
        """Print the data of an event, unless its type is not among those wanted."""
        if not self._options.type or event.type in self._options.type:
            self._out.write(event.data.translate(self._controls) + self._end)
            self._out.flush()

    def _makeSource(self, reactor: Any) -> EventSource:
        options = self._options
        headers = Headers()
        for name, value in options.header:
            headers.addRawHeader(name, value)
        source = EventSource(
            reactor,
            Request(options.url, headers=headers, lastEventID=options.last_event_id),
            self.printEvent,
            retry=None if options.once else RetryPolicy(),
            limits=Limits(connectTimeout=options.first_response_timeout, silence=options.silence or None),
        )
        source.onOpen = self._noteReached
        source.onRetry = self._noteRetry
        return source

    def _noteReached(self, response: object) -> None:
        self._reached = True

    def _noteRetry(self, error: Exception | None, delay: float) -> None:
        """Report a lost connection; fail if there has never been one."""
        if error is not None:
            if not self._reached:
                raise error
            self._note(f"{error} Connecting again in {delay:.1f} s.")

    def _note(self, text: str) -> None:
        self._notes.write(f"sseserver.client: {' '.join(text.translate(_CONTROLS).split())}\n")
        self._notes.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command.

    Args:
        arguments: The command line without the program's name; `None` takes that of the process.

    Raises:
        SystemExit: Always, with the exit status.
    """
    parser = makeParser()
    options = parser.parse_args(arguments)
    if any(character in options.last_event_id for character in "\r\n\0"):
        parser.error("argument --last-event-id: an ID must not contain CR, LF or NUL")
    # Let Ctrl-C end the process as usual; Twisted replaces only Python's own handler.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Replace characters that the encoding of the terminal lacks.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    printer = Printer(options, sys.stdout, sys.stderr)

    async def run(reactor: Any) -> None:
        status = await printer.run(reactor)
        if status == BROKEN_PIPE:
            # Python flushes standard output at its exit, and would report the broken pipe again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(status)

    react(lambda reactor: ensureDeferred(run(reactor)))


if __name__ == "__main__":
    main()
