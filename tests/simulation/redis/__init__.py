"""
A seeded simulation of several servers that share a Redis, which loses, delays and reorders what a Redis may.

`keyspace` has the data of the Redis and its commands, `scripting` its scripts, `server` its connections and faults.
`process` runs a server, the modules `actors` and `nemesis` are its users and its bad luck. `losses` knows exactly what
the Redis has lost; the checker of `tests.reliability` judges. See docs/simulation.md.
"""
