"""
One stream in memory: its log (`log`), the entries in it (`buffer`), event IDs (`ids`).

`entries` packs the data of an entry, `terminal` makes the last one, and `segments` are ranges of
entries for stores.
"""
