"""
Streams text, token by token, over Server-Sent Events (SSE), on Twisted.

These are the public names; every other name may change.

* `StreamService` runs a token source and keeps its streams. `Settings` has its numbers.
* `StreamResource` serves the streams over HTTP. `StreamSite` is a site to put it on, and `StreamRequest` is for a site
  of your own.
* `tokensFrom` makes a token source of Python code that yields tokens, `FunctionSource` of code that writes them.
* `ProcessSource` streams the output of a program, `UpstreamSource` the answers of an OpenAI-compatible API, and
  `TextSource` a text.
* `ITokenSource` and `ITokenSink` are the contracts of a source of your own, which fails with `SourceError`.
* `IAuthenticator` is the contract of code that finds the `Principal` of a request, with a `Grant` of each `Right`; it
  raises `Unauthorized`.
* `TurnEnd`, shared by a service, its source and its store, sends tokens in the reactor turn in which they arrive.
* `compiled` tells whether this is the compiled build.
"""

from sseserver.apis.root import StreamResource
from sseserver.errors import SourceError, SSEServerError, Unauthorized
from sseserver.interfaces import Grant, IAuthenticator, ITokenSink, ITokenSource, Principal, Right
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
from sseserver.web.site import StreamRequest, StreamSite

#: Whether the modules that every token passes are compiled; either all of them are, or none (setup.py).
compiled = not streamlog.__file__.endswith((".py", ".pyc"))

__all__ = [
    "FunctionSource",
    "Grant",
    "IAuthenticator",
    "ITokenSink",
    "ITokenSource",
    "Principal",
    "ProcessSource",
    "Prompt",
    "Right",
    "SSEServerError",
    "Settings",
    "SourceError",
    "StreamRequest",
    "StreamResource",
    "StreamService",
    "StreamSite",
    "TextSource",
    "TurnEnd",
    "Unauthorized",
    "UpstreamLimits",
    "UpstreamSource",
    "__version__",
    "compiled",
    "tokensFrom",
]
