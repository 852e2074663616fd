"""Streams for the users of your own sessions, at http://127.0.0.1:8080/: python authenticated.py"""

import sys

from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from zope.interface import implementer

from sseserver import (
    Grant,
    IAuthenticator,
    Principal,
    Right,
    StreamResource,
    StreamService,
    StreamSite,
    TextSource,
    Unauthorized,
)

# Your sessions, by their cookies.
USERS = {b"4f1d": "alice", b"97c2": "bob"}


@implementer(IAuthenticator)
class Cookies:
    def authenticate(self, request):
        user = USERS.get(request.getCookie(b"user"))
        if user is None:
            raise Unauthorized("Log in first.")
        return Principal(user, (Grant(frozenset({Right.RUN, Right.READ}), f"{user}-*"),))


service = StreamService(reactor, TextSource(reactor, "Words for you alone. "))
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
resource = StreamResource(service, access=Cookies())
try:
    listening("tcp:8080:interface=127.0.0.1", StreamSite(resource)).startService()
except CannotListenError as error:
    sys.exit(str(error))
reactor.run()
