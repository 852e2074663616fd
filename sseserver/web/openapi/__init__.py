"""
The description of the APIs: an OpenAPI 3.1 document, built from the operations that each API lists.

`operations` has the values, `document` builds the document, and `resource` serves it.
"""
