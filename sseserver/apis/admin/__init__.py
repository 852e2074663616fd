"""
The resources for operators: `/healthz`, `/readyz` and `/metrics`, and the site of `--admin-listen`.

`health` and `metrics` have the resources, `site` the root of that site; `collector` and `families` make the metrics.
"""
