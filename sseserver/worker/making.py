"""
Makes the server of a worker.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from sseserver import tap
from sseserver.apis import makeAdmin
from sseserver.apis.admin.health import describeReadiness
from sseserver.apis.admin.packing import packFamilies
from sseserver.apis.admin.status import describeProcess
from sseserver.command.logs import ProcessLog
from sseserver.command.parsing import Options
from sseserver.command.reactortime import useMonotonicTime
from sseserver.command.sites import makeAdminSite
from sseserver.command.supervisor import Supervisor
from sseserver.command.workers.assignment import Assignment
from sseserver.command.workers.channel import Order, Question
from sseserver.command.workers.inherited import InheritedReactor
from sseserver.command.workers.obeying import Obedience


def makeWorker(reactor: Any, options: Options, assignment: Assignment, channel: socket.socket) -> tap.Server:
    """
    Make the server of a worker.

    Args:
        reactor: The reactor.
        options: `Options`, checked.
        assignment: The assignment.
        channel: This end of the channel to the pool.

    Returns:
        The server, which is not started.
    """
    useMonotonicTime(reactor)
    parts = tap.makeParts(reactor, options, bytes.fromhex(assignment.sessionKey))
    server, measured = parts.server, parts.measured
    for description, endpoint in zip(options["listen"], assignment.endpoints, strict=True):
        inherited = InheritedReactor(reactor, endpoint.descriptor, endpoint.isShared)
        server.listen(inherited, description, measured.site)
    if options["admin-listen"] is not None:
        measured.lag.setServiceParent(server)
    server.log = ProcessLog(sys.stdout, options["log-format"] == "json", options["log-level"], assignment.number)
    # The pool tells the service manager.
    nobody = Supervisor(reactor, {})
    reload = tap.makeReload(measured.site, parts.source, nobody, options, parts.reads)
    actions: dict[Order, Callable[[], object]] = {Order.RELOAD: reload, Order.REOPEN: measured.site.reopenLog}
    answers: dict[Question, Callable[[], object]] = {
        Question.METRICS: lambda: packFamilies(measured),
        Question.READINESS: lambda: describeReadiness(measured.service),
        Question.STATUS: lambda: describeProcess(measured),
    }
    stop = tap.makeStop(reactor, parts, options, nobody)
    control = Obedience(reactor, channel, stop, actions, lambda question: answers[question]())
    if options["admin-listen"] is not None:
        access = tap.makeOperatorsAccess(reactor, parts, options)
        operators = makeAdminSite(reactor, makeAdmin(measured, options["hosts"], access), options)
        answers[Question.CONNECT] = partial(control.accept, operators)
    server.control = control
    tap.keepSmall(reactor, server, measured.service.settings.plain)
    return server
