"""Streams from a `coroutine` or a `deferred`, at http://127.0.0.1:8080/: python owncode.py coroutine"""

import sys

from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall, deferLater

from sseserver import FunctionSource, StreamResource, StreamService, StreamSite


async def coroutine(sink, prompt):
    for number in range(10, 0, -1):
        sink.write(f"{number} ")
        await deferLater(reactor, 0.1)
        await sink.ready()  # pauses while the viewers have enough


def deferred(sink, prompt):
    letters = iter("Deferred")
    loop = LoopingCall(lambda: sink.write(next(letters)))
    return loop.start(0.1).addErrback(lambda failure: failure.trap(StopIteration) and "stop")


service = StreamService(reactor, FunctionSource(deferred if sys.argv[1:] == ["deferred"] else coroutine))
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
try:
    listening("tcp:8080:interface=127.0.0.1", StreamSite(StreamResource(service))).startService()
except CannotListenError as error:
    sys.exit(str(error))
reactor.run()
