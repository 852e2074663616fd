"""
Stores: they keep streams in memory, in an SQLite file, or by means of a persistence of your own (docs/stores.md).
"""
