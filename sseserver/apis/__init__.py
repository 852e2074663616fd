"""One package for each API."""
