"""An event stream below a path of a Klein application: http://127.0.0.1:8080/chat/"""

import sys

from klein import Klein
from twisted.internet import reactor

from sseserver import StreamResource, StreamService, TextSource

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
app.run(endpoint_description=sys.argv[1] if len(sys.argv) > 1 else b"tcp:8080:interface=127.0.0.1")
