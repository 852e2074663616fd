"""
Contract tests and fakes for stores, token sources and formats that are written outside this package.

A contract is a mixin for a `SynchronousTestCase`. Tell it how to make the object, and run it::

    from sseserver.testing import StoreContract

    class MyStoreTests(StoreContract, SynchronousTestCase):
        def makeStore(self, window):
            return MyStore(self.clock, window)

- `StoreContract` tests an `IStreamStore` and its logs.
- `KeyDirectoryContract` tests an `IKeyDirectory`, which a store that several processes share has.
- `RateContract` and `CountsContract` test an `IRate` and an `ICounts`, which it also has.
- `SourceContract` tests an `ITokenSource`; `RecordingSink` records the tokens of a source.
- `FormatContract` tests an `IFormat`; `RecordingViewer` records when a log wakes it.
"""

from sseserver.testing.clientlimits import CountsContract, RateContract
from sseserver.testing.directories import KeyDirectoryContract
from sseserver.testing.formats import FormatContract
from sseserver.testing.sources import RecordingSink, SourceContract
from sseserver.testing.storecase import RecordingViewer
from sseserver.testing.stores import StoreContract

__all__ = [
    "CountsContract",
    "FormatContract",
    "KeyDirectoryContract",
    "RateContract",
    "RecordingSink",
    "RecordingViewer",
    "SourceContract",
    "StoreContract",
]
