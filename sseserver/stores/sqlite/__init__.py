"""Stream logs in one SQLite file."""

from sseserver.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
