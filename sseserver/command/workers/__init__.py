"""
The processes of `--workers`: a pool starts them, and they share its listening sockets.

`pool`, `process` and `sockets` are the side of the process that twistd runs; `inherited` and `obeying` are the side of
a worker, whose program is `sseserver.worker`. `channel` and `assignment` are between them.
"""
