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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sseserver.values import VERSION as __version__

if TYPE_CHECKING:
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
    from sseserver.streams.build import compiled
    from sseserver.timing.turnend import TurnEnd
    from sseserver.values import Prompt
    from sseserver.web.site import StreamRequest, StreamSite

# The module of each public name. It is imported when the name is first used: `python -m sseserver.links`, for example,
# needs none of them.
_PLACES = {
    "FunctionSource": "sseserver.sources.function",
    "Grant": "sseserver.interfaces",
    "IAuthenticator": "sseserver.interfaces",
    "ITokenSink": "sseserver.interfaces",
    "ITokenSource": "sseserver.interfaces",
    "Principal": "sseserver.interfaces",
    "ProcessSource": "sseserver.sources.process",
    "Prompt": "sseserver.values",
    "Right": "sseserver.interfaces",
    "SSEServerError": "sseserver.errors",
    "Settings": "sseserver.settings",
    "SourceError": "sseserver.errors",
    "StreamRequest": "sseserver.web.site",
    "StreamResource": "sseserver.apis.root",
    "StreamService": "sseserver.service.service",
    "StreamSite": "sseserver.web.site",
    "TextSource": "sseserver.sources.text",
    "TurnEnd": "sseserver.timing.turnend",
    "Unauthorized": "sseserver.errors",
    "UpstreamLimits": "sseserver.sources.upstream",
    "UpstreamSource": "sseserver.sources.upstream",
    "compiled": "sseserver.streams.build",
    "tokensFrom": "sseserver.sources.iterables",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the names of the module, the public ones included."""
    return sorted({*globals(), *__all__})


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
