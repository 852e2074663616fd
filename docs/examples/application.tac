# A Twisted application: twistd -n -y application.tac
from twisted.application.service import Application
from twisted.application.strports import service
from twisted.internet import reactor

from sseserver import Settings, StreamResource, StreamService, StreamSite, TextSource

application = Application("streams")

source = TextSource(reactor, "Words from an application. ", interval=0.05)
streams = StreamService(reactor, source, Settings(linger=10.0, maxViewers=1000))
streams.setServiceParent(application)

service("tcp:8080:interface=127.0.0.1", StreamSite(StreamResource(streams))).setServiceParent(application)
