"""
Writes docs/metrics.md, the reference of the metrics, from the table in `sseserver.apis.admin.families`.

Run it after a change of the table, from the root of the repository:

    python docs/metricsreference.py

tests/apis/admin/test_reference.py fails while page and table differ.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.task import Clock
from twisted.web.resource import Resource

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.measured import Family, Measured
from sseserver.apis.admin.workers import WORKER_FAMILIES, WorkerFamily
from sseserver.counting import Durations
from sseserver.service.service import StreamService
from sseserver.sources.text import TextSource
from sseserver.timing.reactorlag import ReactorLag
from sseserver.web.site import StreamSite

PAGE = Path(__file__).with_name("metrics.md")

INTRODUCTION = """\
<!-- Written by docs/metricsreference.py from the table of metrics; edit these instead. -->

# Metrics

For operators: what `/metrics` exports, how Prometheus reads it, and which figures deserve an
alert. After this page you can watch a server.

## Switch them on

Metrics need the package `prometheus-client`, which is in the extra `metrics`. In a copy of the
repository:

```text
.venv/bin/pip install '.[metrics]'
```

```sh
twistd -n sseserver --admin-listen tcp:9000:interface=127.0.0.1
```

Without the package `/metrics` answers `501`, and the log says so at the start. Nothing imports it
unless one of these options is given:

* `--admin-listen ENDPOINT` serves `/metrics` apart from the clients. Prefer it.
* `--metrics` serves `/metrics` on `--listen`, if all its endpoints are loopback addresses or Unix
  sockets. A proxy in front of them must not pass the URL on: the numbers are for you.

Neither asks for credentials. No metric has the name of a stream, an address, or any other text of
a client, so the number of samples is fixed, and a scrape takes the same time whatever the number
of streams and viewers. It takes a few milliseconds.

```yaml
scrape_configs:
  - job_name: sseserver
    static_configs:
      - targets: ["127.0.0.1:9000"]
```

With `--workers` the endpoint of `--admin-listen` answers for all workers. Each sample then has the
label `worker`, the number of its worker, and Prometheus adds up:

```
sum without (worker) (sseserver_viewers)
sum without (worker) (rate(sseserver_tokens_total[5m]))
```

Sums are not exported: most limits are those of one worker, and one that is full must be seen. A
worker that does not answer within 2 seconds is missing in the scrape. Counters of a worker that was
started again begin at 0, as `rate` expects. `--metrics` cannot be used with workers.

[grafana.json](grafana.json) is a dashboard for Grafana: import it, and choose the data source.

## What to watch

| query | when it grows |
| --- | --- |
| `rate(sseserver_runs_ended_total{reason="error"}[5m])` | the token source has a bug |
| `rate(sseserver_upstream_errors_total[5m])` | the upstream fails; `reason` says how |
| `rate(sseserver_store_failures_total[5m])` | the disk is full or broken |
| `rate(sseserver_viewers_ended_total{reason="limit"}[5m])` | `--max-viewers` is too low |
| `sseserver_ledger_bytes / sseserver_ledger_limit_bytes` | at 1, new work is refused |
| `rate(sseserver_gaps_total[5m])` | `--window` or `--keep` is too small |
| `rate(sseserver_reactor_lag_seconds_sum[5m])` | the process needs more CPU |

[alerts.yml](alerts.yml) has rules for Prometheus that say what to do: name it under `rule_files`.
`promtool check rules alerts.yml` checks your changes.

Counters begin at 0 when the process starts. All series are there from the start.

* Bytes and entries that a viewer was sent are counted at its heartbeats (15 s) and at its end,
  tokens of a run every 64 entries and at its end. Both cost the path of a token nothing.
* `sseserver_delivery_lag_seconds` has one sample for each viewer and heartbeat. A viewer whose
  transport is full has had no write for that time; any other waits for its turn.
* Times in a run that was paused, because its viewers read slowly, count for
  `sseserver_time_per_token_seconds`.

Reasons for the end of a response, as in the log:

| `reason` | the viewer |
| --- | --- |
| `complete` | has everything |
| `left` | has closed its connection |
| `stalled` | took nothing for `--stall` seconds, or too little of a large entry |
| `expired` | had a token that expired, and was told to return |
| `retired`, `shutdown` | was told to return, or cut, because the server stops |
| `limit` | found no room; see [Limits](limits.md) |
| `refused` | cannot be served in this format |
| `trimmed`, `broken` | was cut: its text is no longer kept, or the server has a bug |

A `result` of a viewer that returns is `continued` (the next entry follows), `gap` (it was told of
one), `unknown` (the ID is none of ours), or `finished` (204: it has everything). The other reasons
are explained in the [HTTP API](http-api.md).

## Reference
"""


WORKERS = """\
## Workers

With `--workers` these are exported as well, with the label `worker`.
"""


def makeMeasured() -> Measured:
    """Make a server that has not been started."""
    clock = Clock()
    service = StreamService(clock, TextSource(clock, "word ", 0))
    site = StreamSite(Resource(), reactor=clock)
    service.ledger.connections, service.ledger.bodies = site.connections, site.bodies
    return Measured(service, site, ReactorLag(clock))


def properties(family: Family, measured: Measured) -> Iterator[str]:
    """Yield the list items below a family's help text."""
    yield f"Type: {family.type}"
    read = family.read(measured)
    if isinstance(read, Durations):
        yield f"Buckets: {', '.join(f'{bound:g}' for bound in read.bounds)}"
    elif "version" not in family.labels:
        for index, label in enumerate(family.labels):
            values = dict.fromkeys(f"`{key[index]}`" for key in read)
            yield f"Label `{label}`: {', '.join(values)}"


def section(family: Family, measured: Measured) -> str:
    """Return the section of one family."""
    items = "\n".join(textwrap.fill(f"* {item}", 99, subsequent_indent="  ") for item in properties(family, measured))
    return f"### `{family.name}`\n\n{textwrap.fill(family.help, 99)}\n\n{items}\n"


def workerSection(family: WorkerFamily) -> str:
    """Return the section of a family of the pool."""
    return f"### `{family.name}`\n\n{textwrap.fill(family.help, 99)}\n\n* Type: {family.type}\n"


def reference() -> str:
    """Return the page."""
    measured = makeMeasured()
    own = [section(family, measured) for family in FAMILIES]
    return "\n".join([INTRODUCTION, *own, WORKERS, *map(workerSection, WORKER_FAMILIES)])


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
