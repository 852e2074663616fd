"""
The contracts between packages, for authors of token sources, formats, stores and authenticators.

`sseserver.testing` has the tests that an implementation must pass.
"""

from sseserver.interfaces.access import ANYONE, Grant, IAuthenticator, Principal, Right
from sseserver.interfaces.descriptions import Publication, StreamDescription
from sseserver.interfaces.readiness import IChecked, IUpstreams, UpstreamState
from sseserver.interfaces.reading import Reading
from sseserver.interfaces.sharing import (
    ICounts,
    IKeyDirectory,
    IRate,
    ISharedLimits,
    ISharedStore,
    ITakeover,
    KeyedStream,
    Restarter,
)
from sseserver.interfaces.sources import (
    IModels,
    IPackedSink,
    IResponseSink,
    IResponsesSource,
    ITokenSink,
    ITokenSource,
    Origin,
)
from sseserver.interfaces.stores import ILocalStore, IPersistence, IStreamStore
from sseserver.interfaces.streams import (
    ByteCount,
    IBeatingFormat,
    IEntryBuffer,
    IFormat,
    IRendering,
    IStreamLog,
    Viewer,
)

__all__ = [
    "ANYONE",
    "ByteCount",
    "Grant",
    "IAuthenticator",
    "IBeatingFormat",
    "IChecked",
    "ICounts",
    "IEntryBuffer",
    "IFormat",
    "IKeyDirectory",
    "ILocalStore",
    "IModels",
    "IPackedSink",
    "IPersistence",
    "IRate",
    "IRendering",
    "IResponseSink",
    "IResponsesSource",
    "ISharedLimits",
    "ISharedStore",
    "IStreamLog",
    "IStreamStore",
    "ITakeover",
    "ITokenSink",
    "ITokenSource",
    "IUpstreams",
    "KeyedStream",
    "Origin",
    "Principal",
    "Publication",
    "Reading",
    "Restarter",
    "Right",
    "StreamDescription",
    "UpstreamState",
    "Viewer",
]
