"""Streams fed from your own code. `deferred` or `coroutine`: python owncode.py coroutine"""

import sys

from twisted.internet import endpoints, reactor
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


service = StreamService(reactor, FunctionSource(globals()[sys.argv[1]]))
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
endpoint = endpoints.serverFromString(reactor, sys.argv[2] if len(sys.argv) > 2 else "tcp:8080:interface=127.0.0.1")
endpoint.listen(StreamSite(StreamResource(service)))
reactor.run()
