"""
The command line of `twistd sseserver`, made from the table of options, with one line about each mistake.

`sseserver.tap` has its `Options` for twistd.
"""

from __future__ import annotations

import difflib
import getopt
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from twisted.python import usage

from sseserver import __version__, compiled
from sseserver.command.access import checkAccess
from sseserver.command.listening import BadEndpoint, checkEndpoint, checkInterface, findHost, suggestEndpoint
from sseserver.command.program import checkCommand, checkProgram
from sseserver.command.upstream import checkUpstream
from sseserver.command.workers.checking import checkWorkers
from sseserver.options import OPTIONS, defaultOf
from sseserver.options.helptext import makeHelp
from sseserver.options.row import Option
from sseserver.options.types import ENDPOINT, FILE, FLAG, writeSize
from sseserver.sources.process import PLACE
from sseserver.sources.text import WELCOME
from sseserver.sources.upstream import checkURL
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

#: Options that name a token source; at most one may be given.
_SOURCES = ("text", "exec", "upstream")


#: Checks of values that need other packages; they follow the conversion that the table names.
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "exec": checkCommand,
    "upstream": checkURL,
    "host": checkHost,
    "cors-origin": checkSharedOrigin,
}


def _coercion(option: Option) -> Callable[[str], Any]:
    """Return the conversion of an option's value; its errors name the option."""
    check = _CHECKS.get(option.name)

    def coerce(text: str) -> Any:
        try:
            value = option.type.read(text)
            if option.minimum is not None and value < option.minimum:
                raise ValueError(f"{text} is too small; the minimum is {writeSize(option.minimum)}")
            return value if check is None else check(value)
        except ValueError as error:
            # Not a `ValueError`, whose text Twisted would lengthen.
            raise usage.UsageError(f"--{option.name}: {error}") from None

    return coerce


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

    Beside the options it has the members `words`, the text of the source, and `hosts`, the hosts of `--host` and of
    `--listen`.

    Attributes:
        given: Long names of the options that were given.
        arguments: The command line.
        folder: The working directory from which its relative paths are meant.
    """

    optParameters = _parameters()
    optFlags = _flags()
    compData = usage.Completions(
        optActions={option.name: usage.CompleteFiles() for option in OPTIONS if option.type is FILE}
    )

    def __init__(self) -> None:
        super().__init__()
        self.given: frozenset[str] = frozenset()
        self.arguments: tuple[str, ...] = ()
        self.folder = ""
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
                self.given = self._readNames(arguments)
            super().parseOptions(arguments)
        except usage.UsageError as error:
            if self.parent is None:
                raise
            raise SystemExit(f"sseserver: {error}") from None

    def _readNames(self, arguments: list[str]) -> frozenset[str]:
        """
        Return the long names of the given options.

        Raises:
            usage.UsageError: An option is unknown, or a value is missing. The message has the nearest known option.
        """
        try:
            found, _ = getopt.getopt(arguments, self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            twistd = frozenset() if self.parent is None else frozenset(self.parent.synonyms)
            raise usage.UsageError(explainName(error.opt, twistd)) from None
        names = {name.removeprefix("-").removeprefix("-") for name, _ in found}
        return frozenset(self.synonyms.get(name, name) for name in names)

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
            hint = f"did you mean --listen {endpoint}?" if endpoint else "there are only options (see --help)"
            raise usage.UsageError(f"{arguments[0]!r}: {hint}")

    def postOptions(self) -> None:
        """Check endpoints, files and combinations of options before anything listens."""
        from twisted.internet import reactor

        self._checkEndpoints()
        checkSource(self)
        checkEffects(self)
        checkWorkers(self, self.parent)
        checkProxies(self)
        checkProgram(self, None if self.parent is None else self.parent.get("rundir"))
        checkUpstream(self)
        checkAccess(reactor, self)
        self._shareDescriptors()
        if self["text"] == "-":
            checkInput(self)
        else:
            self["words"] = WELCOME if self["text"] is None else readText(self["text"])

    def _shareDescriptors(self) -> None:
        """Set the numbers of runs and connections that are not given, and the number of viewers that fits."""
        free, runs, each = countFree(), defaultOf("max-runs"), 0
        if self["exec"] is not None:
            # A program takes a core; other sources mostly wait.
            each, runs = PROGRAM, max(1, 4 * (os.cpu_count() or 1) // self["workers"])
        elif self["upstream"] is not None:
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
        for endpoint in self["listen"]:
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
        self["hosts"] = [*self["host"], *self._findHosts(reactor)]

    def _findHosts(self, reactor: Any) -> Iterator[str]:
        """Yield the hosts of the endpoints that have one."""
        for endpoint in self["listen"]:
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


def explainName(name: str, others: frozenset[str]) -> str:
    """
    Return why an option could not be read, with the nearest known option.

    Args:
        name: As it was typed, without dashes.
        others: Names of the options of `twistd`.
    """
    names = {option.name: option for option in OPTIONS}
    typed = f"--{name}" if len(name) > 1 else f"-{name}"
    known = names.get(name) or next((option for option in names.values() if option.short == name), None)
    if known is not None:
        return f"{typed} {'takes no value' if known.type is FLAG else f'needs a value: {known.type.metavar}'}"
    starts = [f"--{full}" for full in names if full.startswith(name)]
    if len(name) > 1 and len(starts) > 1:
        return f"{typed} may be {', '.join(starts[:-1])} or {starts[-1]}"
    meant = next((full for full, option in names.items() if name in option.otherNames), None)
    if meant is None and name in others:
        return f"{typed} is an option of twistd: write it before the word sseserver"
    close = [meant] if meant else difflib.get_close_matches(name, names, 1, 0.6)
    if not close:
        return f"there is no option {typed}; see --help"
    valueType = names[close[0]].type
    example = "tcp:8000" if valueType is ENDPOINT else valueType.metavar
    return f"there is no option {typed}; did you mean {f'--{close[0]} {example}'.rstrip()}?"


def checkSource(options: Options) -> None:
    """
    Check that the options describe one token source.

    Raises:
        usage.UsageError: Options exclude each other.
    """
    given = [f"--{name}" for name in _SOURCES if options[name] is not None]
    if len(given) > 1:
        raise usage.UsageError(f"{' and '.join(given)}: give only one of them")


def checkEffects(options: Options) -> None:
    """
    Check that each given option has an effect.

    Raises:
        usage.UsageError: An option has none, because another one is missing or excludes it.
    """
    for option in OPTIONS:
        if option.name not in options.given:
            continue
        if option.needs and not options.given.intersection(option.needs):
            raise usage.UsageError(f"--{option.name} needs {' or '.join(f'--{other}' for other in option.needs)}")
        for other in option.excludes:
            if other in options.given:
                raise usage.UsageError(f"--{option.name} has no effect with --{other}")
    if options["prompt"] and options["exec"] and not options["asks"] and PLACE not in " ".join(options["exec"]):
        raise usage.UsageError(f"--prompt needs a command that takes it: with --asks, or with {PLACE} in the command")
    if "window" in options.given and options["window"] > options["max-bytes"]:
        size = writeSize(options["max-bytes"])
        raise usage.UsageError(f"--window: no stream can be larger than all together, which is {size} (--max-bytes)")


def checkProxies(options: Options) -> None:
    """
    Check that the PROXY protocol can be read on each endpoint.

    Raises:
        usage.UsageError: One is of TLS, which would begin before it.
    """
    for endpoint in options["listen"]:
        if options["proxy-protocol"] and endpoint.partition(":")[0] == "ssl":
            raise usage.UsageError(f"--proxy-protocol cannot be read on --listen {endpoint}: let the proxy end TLS")


def checkInput(options: Options) -> None:
    """
    Check that there is a standard input, which is streamed as it arrives.

    Raises:
        usage.UsageError: There is none, or a pace was given for it.
    """
    if "interval" in options.given:
        raise usage.UsageError("--interval has no effect with --text -")
    # The descriptor itself says nothing: something else may have it by now.
    if sys.__stdin__ is None:
        raise usage.UsageError("--text -: standard input is closed")


def readText(name: str) -> str:
    """
    Return the text of a file.

    Args:
        name: Path of a UTF-8 file.

    Raises:
        usage.UsageError: The file cannot be read or is not UTF-8.
    """
    try:
        return Path(name).read_bytes().decode("utf-8")
    except OSError as error:
        raise usage.UsageError(f"--text {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise usage.UsageError(f"--text {name}: not UTF-8 at byte {error.start}") from None
