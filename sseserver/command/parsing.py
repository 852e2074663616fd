"""
The command line of `twistd sseserver`, made from the table of options, with one line about each mistake.

Options that the command line does not have may come from the environment or a file (`sseserver.command.given`).
`sseserver.tap` has its `Options` for twistd.
"""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.python import usage

from sseserver import __version__, compiled
from sseserver.command.access import checkAccess
from sseserver.command.addresses import checkDistinct
from sseserver.command.checking import checkFiles, report
from sseserver.command.effects import checkEffects, checkInput
from sseserver.command.given import Document, Given, findInDocument, findInEnvironment, readDocument
from sseserver.command.listening import (
    BadEndpoint,
    checkEndpoint,
    checkInterface,
    findHost,
    isAwaited,
    suggestEndpoint,
)
from sseserver.command.naming import explainName
from sseserver.command.program import checkCommand, checkProgram
from sseserver.command.redisstore import checkStore
from sseserver.command.textfiles import TextFiles
from sseserver.command.upstream import checkNamedURL, checkUpstream
from sseserver.command.workers.checking import checkWorkers
from sseserver.options import OPTIONS, defaultOf
from sseserver.options.helptext import makeHelp
from sseserver.options.row import Option, Origin
from sseserver.options.types import FILE, FLAG, writeSize
from sseserver.redaction import hideSecrets, showMessage
from sseserver.sources.text import WELCOME
from sseserver.web.access.cors import checkSharedOrigin
from sseserver.web.access.hosts import checkHost
from sseserver.web.descriptors import (
    PROGRAM,
    SPARE,
    UPSTREAM,
    countDescriptors,
    countFree,
    countViewers,
    shareDescriptors,
)

#: Name of an option in a message.
_NAME = re.compile(r"--([a-z]+(?:-[a-z]+)*)")

#: Checks of values that need other packages; they follow the conversion that the table names.
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "exec": checkCommand,
    "upstream": checkNamedURL,
    "host": checkHost,
    "cors-origin": checkSharedOrigin,
}


def _coercion(option: Option, place: str | None = None) -> Callable[[str], Any]:
    """Return the conversion of an option's value; its errors name the option, or the place where it was given."""
    check = _CHECKS.get(option.name)
    where = place or f"--{option.name}"

    def convert(text: str) -> Any:
        if not _isUnicode(text):
            raise ValueError("the value is not UTF-8")
        value = option.type.read(text)
        if option.minimum is not None and value < option.minimum:
            raise ValueError(f"{text} is too small; the minimum is {writeSize(option.minimum)}")
        return value if check is None else check(value)

    def coerce(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            # Not a `ValueError`, whose text Twisted would lengthen.
            raise usage.UsageError(f"{where}: {_explain(convert, text, error)}") from None

    return coerce


def _isUnicode(text: str) -> bool:
    """Return whether a text has no byte of the command line or the environment that is none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _explain(convert: Callable[[str], Any], text: str, error: ValueError) -> ValueError:
    """
    Return why a value is refused; the message has no credential.

    Args:
        convert: Refuses it.
        text: The value. Its begin may be in the message, where a credential that is cut off does not look like one.
        error: Raised by the conversion.
    """
    shown = hideSecrets(text)
    if shown == text:
        return error
    try:
        convert(shown)
    except ValueError as other:
        return other
    return ValueError("the value is wrong, and has a credential")


def _parameters() -> list[list[Any]]:
    """Return the table's options with one value, as Twisted wants them."""
    return [
        [
            option.name,
            option.short,
            None if option.name == "max-runs" else option.default,
            option.help.replace("`", ""),
            _coercion(option),
        ]
        for option in OPTIONS
        if option.type is not FLAG and not option.repeatable
    ]


def _flags() -> list[list[Any]]:
    """Return the table's flags, as Twisted wants them."""
    return [[option.name, option.short, option.help.replace("`", "")] for option in OPTIONS if option.type is FLAG]


class Options(usage.Options):
    """
    Command line of `twistd sseserver`, made from the table of options.

    Beside the options it has the members `words`, the text of the source, `hosts`, the hosts of `--host` and of
    `--listen`, `known`, the endpoints of `--listen` but for sockets that only a start by systemd would have, and
    `files`, which reads the text files.

    Args:
        document: The configuration file, if it was read already; `None` reads the one that is named.

    Attributes:
        given: Long names of the options that were given, wherever.
        sources: The options that were given, by long names.
        document: The configuration file; `None` for none.
        arguments: The command line.
        folder: The working directory from which relative paths are meant.
    """

    optParameters = _parameters()
    optFlags = _flags()
    compData = usage.Completions(
        optActions={option.name: usage.CompleteFiles() for option in OPTIONS if option.type is FILE}
    )

    def __init__(self, document: Document | None = None) -> None:
        super().__init__()
        self.given: frozenset[str] = frozenset()
        self.sources: Mapping[str, Given] = {}
        self.document = document
        self.arguments: tuple[str, ...] = ()
        self.folder = ""
        self["files"] = TextFiles()
        for option in OPTIONS:
            if option.repeatable:
                self[option.name] = []

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line.

        Args:
            options: The arguments; `None` takes those of the process.

        Raises:
            usage.UsageError: The command line is wrong.
            SystemExit: The same below `twistd` or `twist`, which would print their whole help: one line on standard
                error, exit code 1.
        """
        arguments = list(sys.argv[1:] if options is None else options)
        self.arguments, self.folder = tuple(arguments), str(Path.cwd())
        try:
            if "--_shell-completion" not in arguments:
                self.sources = self._readCommandLine(arguments)
                self.given = frozenset(self.sources)
            super().parseOptions(arguments)
        except usage.UsageError as error:
            message = showMessage(explainPlaces(str(error), self.sources))
            if self.parent is None:
                raise usage.UsageError(message) from None
            raise SystemExit(f"sseserver: {message}") from None

    def _readCommandLine(self, arguments: list[str]) -> dict[str, Given]:
        """
        Return the options that the command line gives, by their long names.

        Raises:
            usage.UsageError: An option is unknown, or a value is missing. The message has the nearest known option.
        """
        try:
            found, _ = getopt.getopt(arguments, self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            twistd = frozenset() if self.parent is None else frozenset(self.parent.synonyms)
            raise usage.UsageError(explainName(error.opt, twistd)) from None
        texts: dict[str, tuple[str, ...]] = {}
        for typed, text in found:
            name = typed.removeprefix("-").removeprefix("-")
            name = self.synonyms.get(name, name)
            texts[name] = (*texts.get(name, ()), text)
        rows = [option for option in OPTIONS if option.name in texts]
        return {
            row.name: Given(
                row, Origin.COMMAND_LINE, f"--{row.name}", ("true",) if row.type is FLAG else texts[row.name]
            )
            for row in rows
        }

    def _addOthers(self) -> None:
        """
        Add the options of the environment and of the configuration file.

        Raises:
            usage.UsageError: One of them is wrong.
        """
        typed = self.sources
        variables = {given.option.name: given for given in findInEnvironment(os.environ)}
        named = typed.get("config") or variables.get("config")
        if named is not None and self.document is None:
            self.document = readDocument(self["files"], self._convert(named), named.place)
        written = {} if self.document is None else {each.option.name: each for each in findInDocument(self.document)}
        self.sources = {**written, **variables, **typed}
        self.given = frozenset(name for name, given in self.sources.items() if given.isOn)
        for name, given in self.sources.items():
            if name not in typed:
                self[name] = self._convert(given)

    def _convert(self, given: Given) -> Any:
        """
        Return the value of an option that does not come from the command line.

        Raises:
            usage.UsageError: The text is no value of the option.
        """
        values = [_coercion(given.option, given.place)(text) for text in given.texts]
        return values if given.option.repeatable else values[0]

    def __str__(self) -> str:
        return makeHelp(self.getSynopsis())

    def opt_help(self) -> None:
        """Print the help and exit."""
        sys.stdout.write(str(self))
        sys.exit(0)

    opt_h = opt_help

    def opt_version(self) -> None:
        """Print the version of sseserver and whether it is the compiled build, and exit."""
        sys.stdout.write(f"sseserver {__version__}, {'compiled' if compiled else 'pure Python'}\n")
        sys.exit(0)

    def parseArgs(self, *arguments: str) -> None:
        """Refuse positional arguments."""
        if arguments:
            endpoint = suggestEndpoint(arguments[0])
            if endpoint:
                raise usage.UsageError(f"{arguments[0]!r}: did you mean --listen {endpoint}?")
            # A secret with a space in it comes here as well.
            words = "1 word belongs" if len(arguments) == 1 else f"{len(arguments)} words belong"
            raise usage.UsageError(
                f"there are only options (see --help), but {words} to none; a value with spaces stands in quotes"
            )

    def postOptions(self) -> None:
        """Check endpoints, files and combinations of options before anything listens."""
        from twisted.internet import reactor

        self._addOthers()
        self._checkEndpoints()
        checkEffects(self, self.given)
        checkWorkers(self, self.parent)
        checkProgram(self, None if self.parent is None else self.parent.get("rundir"))
        checkUpstream(self)
        checkAccess(reactor, self)
        checkStore(self)
        self._shareDescriptors()
        if self["text"] == "-":
            checkInput()
        else:
            self["words"] = WELCOME if self["text"] is None else self["files"].readText(self["text"])
        if self["workers"] > 1:
            self["files"].checkShared(None if self.document is None else self.document.name)
        self["files"].endStart()
        if self["check"]:
            checkFiles(self, None if self.parent is None else self.parent.get("rundir"))
            sys.stdout.write(report(self, self.sources, self.document))
            sys.exit(0)

    def _shareDescriptors(self) -> None:
        """Set the numbers of runs and connections that are not given, and the number of viewers that fits."""
        free, runs, each = countFree(), defaultOf("max-runs"), 0
        if self["exec"] is not None:
            # A program takes a core; other sources mostly wait.
            each, runs = PROGRAM, max(1, 4 * (os.cpu_count() or 1) // self["workers"])
        elif self["upstream"]:
            each = UPSTREAM
        given = self["max-connections"]
        if given is not None and given > free:
            raise usage.UsageError(
                f"--max-connections {given}: the process may have {countDescriptors()} open files (ulimit -n), "
                f"and needs {SPARE} of them for other things"
            )
        share = shareDescriptors(free, each, runs, self["max-runs"], given)
        self["max-runs"], self["max-connections"] = share.runs, share.connections
        self["max-viewers"] = min(self["max-viewers"], countViewers(share.connections))

    def _checkEndpoints(self) -> None:
        from twisted.internet import reactor

        self["listen"] = self["listen"] or [defaultOf("listen")]
        awaited = [each for each in self["listen"] if self["check"] and isAwaited(reactor, each)]
        self["known"] = [each for each in self["listen"] if each not in awaited]
        for endpoint in self["known"]:
            try:
                checkEndpoint(reactor, endpoint)
            except BadEndpoint as error:
                raise usage.UsageError(f"--listen {endpoint}: {error}") from None
        admin = self["admin-listen"]
        try:
            if admin is not None:
                checkEndpoint(reactor, admin)
                checkInterface(admin)
        except BadEndpoint as error:
            raise usage.UsageError(f"--admin-listen {admin}: {error}") from None
        operators = [] if admin is None else [("admin-listen", admin)]
        try:
            checkDistinct([*(("listen", each) for each in self["listen"]), *operators])
        except BadEndpoint as error:
            raise usage.UsageError(str(error)) from None
        self["hosts"] = [*self["host"], *self._findHosts(reactor)]

    def _findHosts(self, reactor: Any) -> Iterator[str]:
        """Yield the hosts of the endpoints that have one."""
        for endpoint in self["known"]:
            host = findHost(reactor, endpoint)
            if host is not None:
                yield host
            elif not self["host"]:
                raise usage.UsageError(
                    f"--listen {endpoint} needs --host NAME, the host name in the server's URL (--host '*' for every "
                    "name, behind a proxy that checks them)"
                )


def _collection(option: Option) -> Callable[[Options, str], None]:
    """Return the method that takes one value of an option that may be given more than once."""
    coerce = _coercion(option)

    def take(self: Options, text: str) -> None:
        self[option.name].append(coerce(text))

    take.__doc__ = option.help.replace("`", "")
    return take


for _option in OPTIONS:
    if _option.repeatable:
        # Twisted finds methods by their names; the same method has the same meaning.
        _take = _collection(_option)
        setattr(Options, f"opt_{_option.name.replace('-', '_')}", _take)
        if _option.short:
            setattr(Options, f"opt_{_option.short}", _take)


def explainPlaces(message: str, sources: Mapping[str, Given]) -> str:
    """
    Return a message about options with the places of those that the command line does not show.

    Args:
        message: The message.
        sources: The options that were given, by long names.
    """
    places = [sources[name].place for name in dict.fromkeys(_NAME.findall(message)) if name in sources]
    unseen = [place for place in places if not place.startswith("--") and not message.startswith(f"{place}: ")]
    return f"{message} (given by {' and '.join(unseen)})" if unseen else message
