"""
One stream in memory: its log (`log`), the entries in it (`buffer`), its viewers (`followed`), event IDs (`ids`).

`log` trims the stream to its window. `entries` packs the data of an entry, `terminal` makes the last one, and
`segments` are ranges of entries for stores. `cost` and `account` count bytes, and `wakes` wakes many viewers.
"""
