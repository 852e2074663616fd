"""
Delivery: from a stream log to a socket.

`producer` writes an event stream, through a `body` and with the headers of `head`; `document` writes
a body that ends. `stall` cuts a viewer that takes nothing, `tail` watches the bytes of a finished
response, `turnaway` answers a viewer without room, and `waiter` holds a response back.
"""
