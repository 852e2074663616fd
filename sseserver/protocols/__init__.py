"""
The JSON of other people's protocols, without I/O: what their requests mean, and what an answer looks like.

One module or package for each protocol, and `prompt` for the checks that they share. `jsonsteps` decodes and
`jsonpieces` encodes large values in several turns of the reactor. The formats, the APIs, the service and the upstream
source use them; they import none of these.
"""
