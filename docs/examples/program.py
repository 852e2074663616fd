"""A program as the source, in a Twisted service of your own. Serves http://127.0.0.1:8080/."""

import sys

from twisted.application.service import MultiService
from twisted.internet import endpoints, reactor

from sseserver import ProcessSource, Settings, StreamResource, StreamService, StreamSite

# No shell: each part is one argument. The prompt, if any, is on standard input. To pass it as an argument, put
# "{prompt}" in its place, and "--" before it, so that a prompt with a hyphen at its start is not taken for an option.
source = ProcessSource(reactor, ["sh", "-c", "for i in 3 2 1; do echo $i; sleep 0.1; done; cat"])

# At most four programs at once; twenty more wait for their turn.
streams = StreamService(reactor, source, Settings(maxRuns=4, maxWaiting=20))

service = MultiService()
streams.setServiceParent(service)
service.startService()
# Stopping the service ends the programs.
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp:8080:interface=127.0.0.1"
endpoints.serverFromString(reactor, endpoint).listen(StreamSite(StreamResource(streams)))
reactor.run()
