"""
Speedups: fast paths beside plain implementations that do the same.

`--plain` turns all of them off, so a reader can skip this package. Each plain implementation stands
where it is used, with the function that chooses: `chooseBody` (`sseserver.delivery.body`),
`chooseReadPath` and `chooseConnecting` (`sseserver.client`), `chooseConnection` and `chooseDirect`
(`sseserver.web.site`), `chooseTLS` (`sseserver.command.tlsport`). `report` lists the speedups that are on.
"""
