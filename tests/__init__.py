"""
The tests of sseserver, for trial and pytest alike.

Hypothesis is set up here because here both runners come by: neither knows the
other's settings files. Three profiles:

* `ci`, where the variable `CI` is set: the same examples in each run, so that
  a red run can be repeated and a green one stays green.
* `long`, where `SSESERVER_LONG=1` is set: a hundred times as many examples.
* `default`: new examples each time; failures are kept in `.hypothesis/`.
"""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# Both runners work in a scratch folder; failures that Hypothesis found outlive it.
set_hypothesis_home_dir(Path(__file__).resolve().parent.parent / ".hypothesis")

# No deadlines, and no complaint about slow data: a shared machine that is slow for a moment is not a fault of the code.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
_each = settings.get_profile("default")
settings.register_profile("ci", _each, derandomize=True, database=None, print_blob=True)
settings.register_profile("long", _each, max_examples=10_000, print_blob=True)

if os.environ.get("SSESERVER_LONG") == "1":
    settings.load_profile("long")
elif os.environ.get("CI"):
    settings.load_profile("ci")
else:
    settings.load_profile("default")
