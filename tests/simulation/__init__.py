"""
A seeded simulation of the whole server: one seed decides time, order, network, disk and actors.

`world` has the clock and the scheduler, `reactor` the reactors of simulated processes, `network` their connections,
`disk` their files. `host` is the server, the modules `publishers`, `viewers`, `clients` and `operators` are its users,
`oracle` judges what they saw. `scenario` puts them together; `runner` runs seeds. See docs/simulation.md.
"""
