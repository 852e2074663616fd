"""A stream from your own code, at http://127.0.0.1:8080/: python firststream.py"""

import sys

from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
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
try:
    listening("tcp:8080:interface=127.0.0.1", StreamSite(StreamResource(service))).startService()
except CannotListenError as error:
    sys.exit(str(error))
reactor.run()
