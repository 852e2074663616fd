"""
The SQLite store: `store` for the service, `journal` for what is written when, `database` for the SQL.
"""

from sseserver.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
