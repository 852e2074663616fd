"""
HTTP for all APIs: the site, requests, content negotiation, answers, viewing.

The packages in `apis` are written with it; it knows none of them.
"""
