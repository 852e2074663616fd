"""
OpenAI's Responses, `/v1/responses`.

`creation` starts runs, `stored` has the resources of one response, `conversation` finds what was said before, and
`reading` reads the log of a run for all of them.
"""
