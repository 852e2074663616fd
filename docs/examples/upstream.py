"""An OpenAI-compatible API behind passwords of your own: python upstream.py [URL] (user alice, password wonderland)"""

import sys

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import endpoints, reactor
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import IResource
from zope.interface import implementer

from sseserver import StreamResource, StreamService, StreamSite, UpstreamSource

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:11434/v1"
ENDPOINT = sys.argv[2] if len(sys.argv) > 2 else "tcp:8080:interface=127.0.0.1"
service = StreamService(reactor, UpstreamSource(reactor, URL, model="llama3.2"))


@implementer(IRealm)
class Everyone:
    def requestAvatar(self, avatarId, mind, *interfaces):
        return IResource, StreamResource(service), lambda: None


portal = Portal(Everyone(), [InMemoryUsernamePasswordDatabaseDontUse(alice=b"wonderland")])
root = HTTPAuthSessionWrapper(portal, [BasicCredentialFactory(b"sseserver")])
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
endpoints.serverFromString(reactor, ENDPOINT).listen(StreamSite(root))
reactor.run()
