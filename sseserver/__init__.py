"""
sseserver: streams text token by token over Server-Sent Events, on Twisted.

These are the public names; everything else may change.

- L{StreamService} runs a token source; L{Settings} are its numbers.
- L{StreamResource} serves it over HTTP; L{StreamSite} is a site to put it on.
- L{tokensFrom} makes a token source of Python code that yields tokens,
  L{FunctionSource} of code that writes them; L{ProcessSource} streams what a
  program writes, L{UpstreamSource} what an OpenAI-compatible API answers,
  L{TextSource} a text. L{ITokenSource} and L{ITokenSink} are what one of your
  own needs, L{SourceError} how it fails.
- L{TurnEnd}, given to a service and to its source and store, lets tokens leave in the reactor turn in which they come.
- C{compiled} tells whether this is the compiled build.
"""

from sseserver.apis.root import StreamResource
from sseserver.errors import SourceError, SSEServerError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.process import ProcessSource
from sseserver.sources.text import TextSource
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource
from sseserver.streams import log as streamlog
from sseserver.timing.turnend import TurnEnd
from sseserver.values import VERSION as __version__
from sseserver.values import Prompt
from sseserver.web.site import StreamSite

#: Whether the modules that each token comes through are compiled here. All are, or none (setup.py).
compiled = not streamlog.__file__.endswith((".py", ".pyc"))

__all__ = [
    "FunctionSource",
    "ITokenSink",
    "ITokenSource",
    "ProcessSource",
    "Prompt",
    "SSEServerError",
    "Settings",
    "SourceError",
    "StreamResource",
    "StreamService",
    "StreamSite",
    "TextSource",
    "TurnEnd",
    "UpstreamLimits",
    "UpstreamSource",
    "__version__",
    "compiled",
    "tokensFrom",
]
