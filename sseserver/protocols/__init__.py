"""The JSON of other people's protocols, without I/O."""
