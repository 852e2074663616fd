"""A program as the source, in a Twisted service of your own, at http://127.0.0.1:8080/: python program.py"""

import sys

from twisted.application.service import MultiService
from twisted.application.strports import service as listening
from twisted.internet import reactor
from twisted.internet.error import CannotListenError

from sseserver import ProcessSource, Settings, StreamResource, StreamService, StreamSite

# No shell: each part is one argument. The prompt, if any, is on standard input. To pass it as an argument, put
# "{prompt}" in its place, and "--" before it, so that a prompt with a hyphen at its start is not taken for an option.
source = ProcessSource(reactor, ["sh", "-c", "for i in 3 2 1; do echo $i; sleep 0.1; done; cat"])

# At most four programs at once; twenty more wait for their turn.
streams = StreamService(reactor, source, Settings(maxRuns=4, maxWaiting=20))

service = MultiService()
streams.setServiceParent(service)
listening("tcp:8080:interface=127.0.0.1", StreamSite(StreamResource(streams))).setServiceParent(service)
try:
    service.startService()
except CannotListenError as error:
    sys.exit(str(error))
# Stopping the service ends the programs.
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
reactor.run()
