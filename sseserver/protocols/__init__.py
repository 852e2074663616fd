"""
The JSON of other people's protocols, without I/O: what their requests mean, and what an answer looks like.

One module or package for each protocol. They know neither streams nor formats nor sources; the formats, the APIs
and the upstream source use them.
"""
