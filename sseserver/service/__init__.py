"""
The service: streams, runs and viewers.

`service` has `StreamService`, with which the APIs work. `runqueue`, `run`, `linger` and `startkeys`
are for runs, `viewers` for viewers, and `retention` for ended streams.
"""
