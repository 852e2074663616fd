"""A generator that blocks, in a thread, as the source of an existing service: python generator.py"""

import sys
import time

from twisted.application.service import MultiService
from twisted.application.strports import service as listening
from twisted.internet import reactor

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
endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp:8080:interface=127.0.0.1"
listening(endpoint, StreamSite(StreamResource(streams))).setServiceParent(services)
services.startService()
reactor.addSystemEventTrigger("before", "shutdown", services.stopService)
reactor.run()
