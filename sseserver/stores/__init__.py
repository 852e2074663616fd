"""
Stores: they keep streams in memory, in an SQLite file, or by means of a persistence of your own (docs/stores.md).

`memory` and `sqlite` are the stores of `--store`. `persistent` makes a store of any persistence, with its pending
changes in `groups` and its life in `states`. `publishing` and `listing` are for all of them.
"""
