"""
The resources for operators: `/healthz`, `/readyz` and `/metrics`, and the site of `--admin-listen`.
"""
