"""
The command line of a server, and what of a plan no option can say.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sseserver.options import OPTIONS
from sseserver.settings import Settings
from sseserver.tap import Options
from tests.simulation.identities import PROXIES
from tests.simulation.secure import writeCertificate
from tests.simulation.upstream import CONNECT_TIMEOUT, PROXY_PORT, SECRET, UPSTREAM_PORT
from tests.simulation.wire import ADMIN_PORT, PORT, TLS_PORT

#: Name of the access log.
ACCESS_LOG = "access.log"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How a server is set up.

    Attributes:
        settings: Limits and intervals.
        store: `memory` or `sqlite`.
        source: `script`, `silent` (takes no prompt), `input`, `upstream` or `exec`.
        prompt: Prompt of the page's visitors.
        bufferSize: Bytes that a transport queues before its producer is paused.
        diskDelay: Seconds that a transaction takes at most.
        model: Whether the model of an upstream is given; otherwise the upstream is asked for it.
        proxy: Whether the upstream is reached through a proxy.
        accessLog: `none`, `log` or `file`.
        connections: Most connections at a time; `None` for the default.
        drainWait: Seconds from SIGTERM to the drain.
        connectionsEach: Most connections at a time of one address; `None` for the default.
        keyServer: Whether the keys of tokens come from a URL; otherwise there is a shared key.
        isSecure: Whether a port has TLS.
    """

    settings: Settings
    store: str
    source: str
    prompt: str | None
    bufferSize: int
    diskDelay: float
    model: bool
    proxy: bool
    accessLog: str
    connections: int | None
    drainWait: float
    connectionsEach: int | None
    keyServer: bool
    isSecure: bool = False


def findTooSmall(plan: Plan) -> dict[str, int]:
    """Return the settings of a plan that are below the minimum of their options."""
    values = {str(option.setting): option.minimum for option in OPTIONS if option.setting and option.minimum}
    found = {name: getattr(plan.settings, name) for name in values}
    return {name: value for name, value in found.items() if value is not None and value < values[name]}


def writeOptions(plan: Plan, folder: Path, database: str, full: bool) -> Options:
    """
    Write the command line of a plan, and parse it.

    Args:
        plan: The plan.
        folder: Folder of the access log, and of the key of an upstream.
        database: Path of the database.
        full: Whether every commit is synchronized.
    """
    line = [
        f"--listen=tcp:{PORT}:interface=127.0.0.1",
        f"--admin-listen=tcp:{ADMIN_PORT}:interface=127.0.0.1",
        f"--access-log={folder / ACCESS_LOG if plan.accessLog == 'file' else plan.accessLog}",
        f"--drain-wait={plan.drainWait}",
        f"--trusted-proxy={PROXIES}",
        *_writeSettings(plan),
    ]
    if plan.isSecure:
        path = writeCertificate(folder)
        line.append(f"--listen=ssl:{TLS_PORT}:privateKey={path}:certKey={path}:interface=127.0.0.1")
    if plan.store == "sqlite":
        line += [f"--store=sqlite:{database}", f"--sync={'full' if full else 'normal'}"]
    if plan.connections is not None:
        line.append(f"--max-connections={plan.connections}")
    if plan.connectionsEach is not None:
        line.append(f"--max-connections-per-address={plan.connectionsEach}")
    if plan.source == "upstream":
        line += _writeUpstream(plan, folder)
    elif plan.source == "exec":
        line += ["--exec=cat {prompt}", "--model=simulated"]
    options = Options()
    options.parseOptions(line)
    # The option is for some sources only.
    options["prompt"] = plan.prompt
    return options


def _writeSettings(plan: Plan) -> list[str]:
    line, tooSmall = [], findTooSmall(plan)
    for option in OPTIONS:
        if option.setting and option.setting not in tooSmall:
            value = getattr(plan.settings, str(option.setting))
            if value is True:
                line.append(f"--{option.name}")
            elif value is not False and value is not None:
                line.append(f"--{option.name}={value}")
    return line


def _writeUpstream(plan: Plan, folder: Path) -> list[str]:
    key = folder / "key"
    key.write_text(f"{SECRET}\n", "ascii")
    return [
        f"--upstream=http://127.0.0.1:{UPSTREAM_PORT}/v1",
        f"--connect-timeout={CONNECT_TIMEOUT}",
        *(["--model=simulated"] if plan.model else []),
        "--first-token-timeout=5",
        "--token-timeout=5",
        f"--upstream-key-file={key}",
        f"--upstream-header=X-Tenant: @{key}",
        f"--upstream-proxy=http://user:{SECRET}@127.0.0.1:{PROXY_PORT}" if plan.proxy else "--upstream-proxy=none",
    ]
