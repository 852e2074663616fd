"""
Timing on the reactor.

`ticker` makes many calls from one timer, `ages` ends what is old, `turnend` does work once at the end of a turn,
`turns` cuts long work into several, and `patience` measures limits that do not count the pauses of the process.
"""
