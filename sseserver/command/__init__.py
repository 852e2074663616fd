"""
The command `twistd sseserver`: its command line, the sources that its options describe, its endpoints, signals, start.

`sseserver.tap` builds the service from these parts.
"""
