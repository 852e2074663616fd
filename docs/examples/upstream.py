"""An OpenAI-compatible API behind passwords of your own, at http://127.0.0.1:8080/: python upstream.py [URL]"""

import sys

from twisted.application.strports import service as listening
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import IResource
from zope.interface import implementer

from sseserver import StreamResource, StreamService, StreamSite, UpstreamSource

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:11434/v1"
service = StreamService(reactor, UpstreamSource(reactor, URL, model="llama3.2"))


@implementer(IRealm)
class Everyone:
    def requestAvatar(self, avatarId, mind, *interfaces):
        return IResource, StreamResource(service), lambda: None


portal = Portal(Everyone(), [InMemoryUsernamePasswordDatabaseDontUse(alice=b"wonderland")])
root = HTTPAuthSessionWrapper(portal, [BasicCredentialFactory(b"sseserver")])
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
try:
    listening("tcp:8080:interface=127.0.0.1", StreamSite(root)).startService()
except CannotListenError as error:
    sys.exit(str(error))
reactor.run()
