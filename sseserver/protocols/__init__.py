"""
The JSON of other people's protocols, without I/O: what their requests mean, and what an answer looks like.

One module or package for each protocol, and `prompt` for the checks that they share. The formats, the APIs and the
upstream source use them; they import none of these.
"""
