"""
The tests of sseserver, for trial and pytest.

Both runners import this module, so it sets up Hypothesis. There are three profiles:

* `ci`, if the variable `CI` is set: the same examples in each run, so that a failure can be repeated.
* `long`, with `SSESERVER_LONG=1`: a hundred times as many examples.
* `default`: new examples each time; failures are kept in `.hypothesis/`.
"""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# Both runners work in a scratch folder. Failures that Hypothesis found must outlive it.
set_hypothesis_home_dir(Path(__file__).resolve().parent.parent / ".hypothesis")

# No deadline and no check for slow data: a shared machine may be slow for a moment.
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
