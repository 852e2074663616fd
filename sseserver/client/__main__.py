"""
C{python -m sseserver.client URL}: prints an event stream to a terminal, and
goes on over a lost connection.
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

from sseserver.client import Event, EventSource, EventSourceError, EventTooLarge
from sseserver.client.request import checkURL

#: Exit statuses, beside 2, which argparse has for a wrong command line.
DONE = 0
FAILED = 1
BROKEN_PIPE = 128 + signal.SIGPIPE

#: Seconds of silence: six heartbeats of sseserver.
SILENCE = 90.0

#: A terminal obeys control characters, and a stream comes from anywhere: all but TAB and LF are shown as U+FFFD.
_CONTROLS = dict.fromkeys([*(set(range(0x20)) - {0x09, 0x0A}), *range(0x7F, 0xA0)], "\ufffd")


def _header(text: str) -> tuple[str, str]:
    """Read C{Name: value}."""
    name, colon, value = text.partition(":")
    if not colon or not name or name != name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 'Name: value'")
    return name, value.strip()


def _url(text: str) -> str:
    """Check an address."""
    try:
        checkURL(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _seconds(text: str) -> float:
    """Read a number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def makeParser() -> argparse.ArgumentParser:
    """Make the parser of the command line, whose texts are the command's documentation."""
    parser = argparse.ArgumentParser(
        prog="python -m sseserver.client",
        description="Prints the data of an event stream (Server-Sent Events), and goes on over lost connections.",
        epilog=(
            "Exit status: 0 when the stream has ended (204, or with --once the end of the response), 1 when it "
            "failed or could not be reached at first (one line on standard error says why), 2 for a wrong command line."
        ),
    )
    parser.add_argument("url", metavar="URL", type=_url, help="address of the stream, http or https")
    parser.add_argument("--last-event-id", metavar="ID", default="", help="go on after this event")
    parser.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        type=_header,
        action="append",
        default=[],
        help="send this header too; may be given more than once",
    )
    parser.add_argument(
        "--type",
        metavar="TYPE",
        action="append",
        help="print only events of this type ('message' is the default type); may be given more than once",
    )
    parser.add_argument(
        "-n",
        "--no-newline",
        action="store_true",
        help="put no line end after an event: with '--type message' the tokens of sseserver become the text",
    )
    parser.add_argument("--once", action="store_true", help="do not connect again")
    parser.add_argument(
        "--silence",
        metavar="SECONDS",
        type=_seconds,
        default=SILENCE,
        help="take the connection for lost after so long without a byte; 0 is never (default: %(default)g)",
    )
    return parser


class Printer:
    """
    Prints a stream.

    Args:
        options: Of L{makeParser}.
        out: Where events go.
        notes: Where is told what happens to the connection.
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
        Print until the end.

        Returns:
            The exit status.
        """
        options = self._options
        headers = Headers()
        for name, value in options.header:
            headers.addRawHeader(name, value)
        source = EventSource(
            reactor,
            options.url,
            headers=headers,
            lastEventID=options.last_event_id,
            reconnect=not options.once,
            silence=options.silence or None,
            onOpen=self._opened,
            onEvent=self._print,
            onRetry=self._retry,
        )
        try:
            await source.start()
        except BrokenPipeError:
            return BROKEN_PIPE
        except (EventSourceError, EventTooLarge) as error:
            self._note(str(error))
            return FAILED
        return DONE

    def _opened(self, response: object) -> None:
        self._reached = True

    def _print(self, event: Event) -> None:
        if not self._options.type or event.type in self._options.type:
            self._out.write(event.data.translate(self._controls) + self._end)
            self._out.flush()

    def _retry(self, error: Exception | None, delay: float) -> None:
        """Tell; but who was never there need not be waited for."""
        if error is not None:
            if not self._reached:
                raise error
            self._note(f"{error} Connecting again in {delay:.1f} s.")

    def _note(self, text: str) -> None:
        self._notes.write(f"sseserver.client: {' '.join(text.translate(_CONTROLS).split())}\n")
        self._notes.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Be the command.

    Raises:
        SystemExit: Always, with the exit status.
    """
    parser = makeParser()
    options = parser.parse_args(arguments)
    if any(character in options.last_event_id for character in "\r\n\0"):
        parser.error("argument --last-event-id: an ID has no CR, LF or NUL")
    # Interrupted, end as any program does; Twisted leaves alone what is not Python's own handler.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A terminal that cannot show a character shows another.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    printer = Printer(options, sys.stdout, sys.stderr)

    async def run(reactor: Any) -> None:
        status = await printer.run(reactor)
        if status == BROKEN_PIPE:
            # What is still in the buffer has nowhere to go, and Python would complain about it at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(status)

    react(lambda reactor: ensureDeferred(run(reactor)))


if __name__ == "__main__":
    main()
