"""A generator that blocks, in a thread, as the source of an existing service: python generator.py"""

import sys
import time

from twisted.application.service import MultiService
from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError

from sseserver import StreamResource, StreamService, StreamSite, tokensFrom


def answer():
    try:
        for word in ["These", "words", "come", "from", "code", "that", "blocks", "."]:
            yield f"{word} "
            time.sleep(0.05)  # for example a database, or a library without Twisted
    finally:
        print("Closed.")  # runs when the last viewer has gone, too


services = MultiService()  # the existing one
streams = StreamService(reactor, tokensFrom(reactor, answer, thread=True))
streams.setServiceParent(services)
listening("tcp:8080:interface=127.0.0.1", StreamSite(StreamResource(streams))).setServiceParent(services)
try:
    services.startService()
except CannotListenError as error:
    sys.exit(str(error))
reactor.addSystemEventTrigger("before", "shutdown", services.stopService)
reactor.run()
