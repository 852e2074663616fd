"""
Stores: they keep streams in memory, in an SQLite file, or by means of a persistence of your own (docs/stores.md).

`memory`, `sqlite` and `redis` are the stores of `--store`. `persistent` makes a store of any persistence: its pending
changes are in `groups`, `groupwriter` decides when they are written, and `states` has its life. `publishing` and
`listing` are for stores that no other process shares.
"""
