"""
The store of `--store redis://…`: streams that several processes share. It needs the extra `sseserver[redis]`.

By role: `address` (where the Redis is), `connection`, `handshake`, `link`, `peer`, `slots`, `sentinel`, `servers`,
`errand`, `client` and `patientscript` (commands on kept connections, to the right server of a cluster), `layout`,
`script`, `scripts`, `restartscripts`, `nodescripts` and `keyscripts` (what is in Redis, and how it changes), `damage`,
`entries` and `indices` (foreign values there), `shards` (generations of the server), `streams`, `table` and `reader`
(what this process knows), `writer` (entries of its runs), `messages` and `follower` (entries of others), `opener`,
`publisher`, `registry`, `listing` (calls of the service), `leases` and `takeover` (of processes, and of runs whose
process is gone), `store` (all together).
"""
