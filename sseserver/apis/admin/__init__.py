"""
The resources for operators: `/healthz` and `/readyz`, which are on every listener, and the site of `--admin-listen`.
"""
