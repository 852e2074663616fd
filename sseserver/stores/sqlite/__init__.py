"""
The SQLite store, in one file (`--store sqlite:PATH`).

`store` is for the service, `journal` decides what is written when, `database` has the SQL, and `rows` the columns.
"""

from sseserver.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
