"""
HTTP for all APIs: the site, reading a request, choosing a media type, answering, following a stream.

The packages in `apis` are written with it; it knows none of them.
"""
