"""
Start of the peers on Twisted: a site or factory on a loopback port until SIGTERM, errors on standard error.
"""

import sys
from typing import Any

from twisted.internet import endpoints, reactor
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure


def serve(factory: Any, port: str) -> None:
    """Serve until SIGTERM."""
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    endpoint = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1:backlog=4096")
    endpoint.listen(factory).addErrback(_fail)
    reactor.run()


def _fail(failure: Failure) -> None:
    print(failure.getErrorMessage(), file=sys.stderr)
    reactor.stop()
