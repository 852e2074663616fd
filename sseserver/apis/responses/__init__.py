"""
OpenAI's Responses, `/v1/responses`.

`creation` starts runs, `stored` has the resources of one response, `conversation` finds the items before it, and
`reading` reads the log of a run for all of them.
"""
