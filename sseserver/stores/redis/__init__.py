"""
The store of `--store redis://…`: streams that several processes share. It needs the extra `sseserver[redis]`.

By role: `address` (where the Redis is), `connection`, `handshake`, `link`, `peer`, `slots`, `sentinel`, `servers`,
`errand` and `client` (commands on kept connections, to the right server of a cluster), `layout` and `scripts` (what is
in Redis, and how it changes), `shards` (generations of the server), `streams`, `table` and `reader` (what this process
knows), `writer` (entries of its runs), `messages` and `follower` (entries of others), `opener`, `publisher`,
`registry`, `listing` (calls of the service), `leases` (of processes), `store` (all together).
"""
