"""
HTTP for all APIs: `site`, `resource`, `request`, content negotiation (`accept`), `answers`, `viewing`.

The packages in `apis` are written with it; it knows none of them.
"""
