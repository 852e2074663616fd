"""
Delivery: from a stream log to a socket.

`producer` writes an event stream, through a `body` and with the headers of `head`. `stall` cuts a
viewer that takes nothing, `turnaway` answers one without room, `waiter` holds a response back, and
`drain` waits for the last bytes when the service stops.
"""
