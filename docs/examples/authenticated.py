"""Streams for the users of your own sessions, at http://127.0.0.1:8080/: python authenticated.py"""

import sys

from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from zope.interface import implementer

import sseserver
from sseserver import Grant, Principal, Right

# Your sessions, by their cookies.
USERS = {b"4f1d": "alice", b"97c2": "bob"}


@implementer(sseserver.IAuthenticator)
class Cookies:
    def authenticate(self, request):
        user = USERS.get(request.getCookie(b"user"))
        if user is None:
            raise sseserver.Unauthorized("Log in first.")
        return Principal(user, (Grant(frozenset({Right.RUN, Right.READ}), f"{user}-*"),))


service = sseserver.StreamService(reactor, sseserver.TextSource(reactor, "Words for you alone. "))
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
resource = sseserver.StreamResource(service, access=Cookies())
try:
    listening("tcp:8080:interface=127.0.0.1", sseserver.StreamSite(resource)).startService()
except CannotListenError as error:
    sys.exit(str(error))
reactor.run()
