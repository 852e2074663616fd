"""An event stream below a path of a Klein application: python withklein.py, http://127.0.0.1:8080/chat/"""

import sys

from klein import Klein
from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError

from sseserver import StreamResource, StreamService, StreamSite, TextSource

app = Klein()
service = StreamService(reactor, TextSource(reactor, "Words from a Klein application. "))
streams = StreamResource(service)


@app.route("/")
def home(request):
    return "<a href='chat/'>To the stream</a>"


@app.route("/chat/", branch=True)
def chat(request):
    return streams


service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
try:
    listening("tcp:8080:interface=127.0.0.1", StreamSite(app.resource())).startService()
except CannotListenError as error:
    sys.exit(str(error))
reactor.run()
