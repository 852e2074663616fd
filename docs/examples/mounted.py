"""An event stream below a path of an existing twisted.web site: http://127.0.0.1:8080/chat/"""

import sys

from twisted.internet import endpoints, reactor
from twisted.python import log
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from sseserver import StreamResource, StreamService, TextSource

ENDPOINT = sys.argv[1] if len(sys.argv) > 1 else "tcp:8080:interface=127.0.0.1"

root = Resource()
root.putChild(b"", Data(b"<a href='chat/'>To the stream</a>", "text/html"))

service = StreamService(reactor, TextSource(reactor, "Words from an existing site. "))
root.putChild(b"chat", StreamResource(service))

log.startLogging(sys.stdout)
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
endpoints.serverFromString(reactor, ENDPOINT).listen(Site(root))
reactor.run()
