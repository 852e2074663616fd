"""
The contracts between packages, for authors of token sources, formats and stores.

`sseserver.testing` has the tests that an implementation must pass.
"""

from sseserver.interfaces.sources import IModels, ITokenSink, ITokenSource
from sseserver.interfaces.stores import IPersistence, IStreamStore
from sseserver.interfaces.streams import IEntryBuffer, IFormat, IRendering, IStreamLog, Viewer

__all__ = [
    "IEntryBuffer",
    "IFormat",
    "IModels",
    "IPersistence",
    "IRendering",
    "IStreamLog",
    "IStreamStore",
    "ITokenSink",
    "ITokenSource",
    "Viewer",
]
