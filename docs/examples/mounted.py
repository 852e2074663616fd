"""An event stream below a path of an existing twisted.web site: python mounted.py, http://127.0.0.1:8080/chat/"""

import sys

from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.python import log
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from sseserver import StreamRequest, StreamResource, StreamService, TextSource

root = Resource()
root.putChild(b"", Data(b"<a href='chat/'>To the stream</a>", "text/html"))

service = StreamService(reactor, TextSource(reactor, "Words from an existing site. "))
root.putChild(b"chat", StreamResource(service))
site = Site(root, requestFactory=StreamRequest, parsePOSTFormSubmission=False)

service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
try:
    listening("tcp:8080:interface=127.0.0.1", site).startService()
except CannotListenError as error:
    sys.exit(str(error))
log.startLogging(sys.stdout)
reactor.run()
