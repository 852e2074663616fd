"""One stream in memory: an ordered log of entries."""
