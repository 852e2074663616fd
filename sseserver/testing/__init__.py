"""
For whoever writes a part of their own: what it must do, as tests, and fakes to try it with.
"""

from sseserver.testing.formats import FormatContract
from sseserver.testing.sources import RecordingSink, SourceContract
from sseserver.testing.storecase import RecordingViewer
from sseserver.testing.stores import StoreContract

__all__ = ["FormatContract", "RecordingSink", "RecordingViewer", "SourceContract", "StoreContract"]
