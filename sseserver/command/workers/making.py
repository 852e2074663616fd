"""
Makes the pool that the options describe.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import Any

from twisted.application.reactors import getReactorTypes

from sseserver.apis import makePoolAdmin
from sseserver.apis.admin.workers import WatchedPool
from sseserver.command.access import makeCredentials, reloadCredentials, showsStreams
from sseserver.command.listeners import makeListener
from sseserver.command.listening import makeURL
from sseserver.command.logs import isShown, makeProcessLog
from sseserver.command.sites import makeAdminSite
from sseserver.command.stopping import END_AFTER
from sseserver.command.summary import summarize
from sseserver.command.supervisor import Supervisor
from sseserver.command.systemd import countUnnamed, readVariables
from sseserver.command.tlsport import TLSReactor, isTLS
from sseserver.command.workers.assignment import Assignment, Endpoint, writeAssignment
from sseserver.command.workers.channel import Question
from sseserver.command.workers.control import PoolControl
from sseserver.command.workers.pool import Pool
from sseserver.command.workers.process import Program, makeEnvironment
from sseserver.command.workers.sockets import SharedSocket
from sseserver.command.workers.watch import Watch
from sseserver.web.access.rights import Access
from sseserver.web.access.signing import MIN_KEY

#: Seconds. A worker is killed this long after the time by which it should have ended.
KILL_AFTER = 5.0

#: The program of a worker. Twisted takes the sockets of systemd for those of the process that this variable names, and
#: looks when it is imported.
_PROGRAM = "import os; os.environ['LISTEN_PID'] = str(os.getpid()); from sseserver.worker import main; main()"

#: Questions of operators to all workers.
_ASKED = (Question.METRICS, Question.READINESS, Question.STATUS)


def makePool(reactor: Any, options: Any) -> Pool:
    """
    Make the pool of a server.

    Args:
        reactor: The reactor.
        options: `Options`, checked.
    """
    sockets = [SharedSocket(reactor, description, options["workers"]) for description in options["listen"]]
    sessionKey = secrets.token_hex(MIN_KEY)
    describe = Describer(reactor, options, sockets, sessionKey).describe
    wait, drain = options["drain-wait"], options["drain"]
    pool = Pool(reactor, sockets, options["workers"], describe, wait + drain + END_AFTER + KILL_AFTER)
    Watch(reactor, pool.workers).setServiceParent(pool)
    if options["admin-listen"] is not None:
        _admitOperators(reactor, pool, options, bytes.fromhex(sessionKey))
    pool.summary = f"{summarize(options)}; workers: {options['workers']}"
    pool.log = makeProcessLog(reactor, options.parent, options["log-format"], options["log-level"])
    pool.control = PoolControl(reactor, pool, Supervisor(reactor, os.environ), wait, drain)
    return pool


def _admitOperators(reactor: Any, pool: Pool, options: Any, sessionKey: bytes) -> None:
    """
    Let operators watch a pool, at its own endpoint.

    Args:
        reactor: The reactor.
        pool: The pool.
        options: `Options`, checked.
        sessionKey: Signs the cookies of sessions if there is no other key.
    """
    admin, access = options["admin-listen"], None
    if showsStreams(reactor, options):
        credentials = makeCredentials(reactor, options, sessionKey)
        access = Access(credentials, time)
        if credentials is not None:
            pool.reads.append(partial(reloadCredentials, credentials, options))
    listens = reactor
    if isTLS(admin):
        listens = TLSReactor(reactor, admin)
        pool.tlsPorts.append(listens)
    watched = WatchedPool(reactor, pool.count, pool.connect, *(partial(pool.ask, question) for question in _ASKED))
    site = makeAdminSite(reactor, makePoolAdmin(watched, options["hosts"], access), options)
    listener = makeListener(listens, admin, site, "admin-listen")
    listener.setServiceParent(pool)

    def nameOperators() -> str | None:
        port = listener.endpoint.port
        url = None if port is None else makeURL(admin, port.getHost())
        return url and url + ("" if access is None else "admin/")

    pool.nameOperators = nameOperators


class Describer:
    """
    Describes the programs of workers.

    Args:
        reactor: The workers have one of the same kind.
        options: `Options`.
        sockets: Sockets for the endpoints of `--listen`.
        sessionKey: In hexadecimal. Signs the cookies of sessions if there is no other key.
    """

    def __init__(self, reactor: Any, options: Any, sockets: Sequence[SharedSocket], sessionKey: str) -> None:
        self._reactor = findReactor(reactor)
        self._options = options
        self._sockets = sockets
        self._sessionKey = sessionKey
        self._isShown = isShown(options.parent)

    def describe(self, number: int) -> Program:
        """
        Describe the program of a worker.

        Args:
            number: Number of the worker.
        """
        environment = makeEnvironment(os.environ, sys.path)
        output = {1: 1, 2: 2} if self._isShown else {1: "r", 2: "r"}
        descriptors: dict[int, int | str] = {0: "w", **output}
        if any("systemd:" in each.description for each in self._sockets):
            # Twisted has taken their number from the environment, and has left their names there.
            names = environment.get("LISTEN_FDNAMES") or ":".join(["unknown"] * countUnnamed(readVariables()))
            environment |= {"LISTEN_FDS": str(len(names.split(":"))), "LISTEN_FDNAMES": names}
        # A worker finds them by the same numbers.
        passed = {each.passed: each for each in self._sockets if each.passed is not None}
        descriptors |= {each: passed[each].find(number).fileno() for each in passed}
        endpoints = []
        for each in self._sockets:
            descriptor = max(descriptors) + 1
            descriptors[descriptor] = each.find(number).fileno()
            endpoints.append(Endpoint(descriptor, each.isShared))
        assignment = Assignment(
            number,
            self._options.folder,
            str(Path.cwd()),
            self._reactor,
            self._sessionKey,
            tuple(endpoints),
            self._options.document,
        )
        begin = (sys.executable, "-P", "-c", _PROGRAM)
        return Program(
            (*begin, *self._options.arguments),
            len(begin),
            environment,
            self._options.folder,
            descriptors,
            writeAssignment(assignment),
        )


def findReactor(reactor: Any) -> str | None:
    """Return the short name of a reactor, as `twistd --reactor` takes it; `None` for an unknown one."""
    module = type(reactor).__module__
    return next((each.shortName for each in getReactorTypes() if getattr(each, "moduleName", "") == module), None)
