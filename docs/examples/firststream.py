"""A stream from your own code, at http://127.0.0.1:8080/: python firststream.py"""

import sys

from twisted.internet import endpoints, reactor
from twisted.internet.task import deferLater

from sseserver import StreamResource, StreamService, StreamSite, tokensFrom


async def answer():
    for number in range(10, 0, -1):
        yield f"{number} "
        await deferLater(reactor, 0.1)


service = StreamService(reactor, tokensFrom(reactor, answer))
service.startService()
# Ends every stream when the program stops.
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)

endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp:8080:interface=127.0.0.1"
endpoints.serverFromString(reactor, endpoint).listen(StreamSite(StreamResource(service)))
reactor.run()
