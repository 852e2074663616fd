"""
The SQLite store, in one file (`--store sqlite:PATH`).

`store` is for the service, `journal` decides what is written when, `database` reads and writes it with SQL, and `rows`
has the shapes of the rows. `files` checks a file before it is opened, and `backup` copies one.
"""

from sseserver.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
