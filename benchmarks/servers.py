"""
The servers under measurement: how each is started, and which paths it is asked for.

`Installation` is sseserver, as an operator starts it; the functions below it make the peers, the
baselines and the floor, as their users would start them. All of them send the same text (`words`), one
word a token, in events of the same size: `id: ` with 22 characters, a hyphen and a number, `data: ` with
the word and a space.
"""

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.message import Message
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Self

import process
import secure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / "peers"

#: Names in tables.
OURS = "sseserver"
BASELINE, UVICORN, NODE, FLOOR = "bare Twisted", "uvicorn", "node", "floor (C)"
GRANIAN, HYPERCORN, BUN, PUSHPIN, RAKAIA = "granian", "hypercorn", "bun", "Pushpin", "rakaia-streams"
NCHAN, NGINX, AGENT, LITELLM, WEB = "nginx, nchan", "nginx", "Agent", "LiteLLM", "twisted.web"

#: Variant of a question about publishing, in which each stream has a viewer.
VIEWED = "memory, a viewer each"

#: The `twistd` command, which an environment may lack that inherits Twisted.
_TWISTD = "from twisted.scripts.twistd import run; run()"

#: Prints which sseserver a Python has.
_BUILD = "import sseserver as s; print(s.__version__, '(compiled)' if s.compiled else '(pure Python)')"

#: Module of Debian's package libnginx-mod-nchan.
_NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


class SkipError(Exception):
    """A server cannot be measured here; the message says why."""


class Channel(NamedTuple):
    """A stream to publish into."""

    publish: str  # path to POST to
    watch: str  # path to GET
    create: str | None = None  # path to PUT first
    body: str = "text"  # of a POST, see `peers/publisher.py`
    next: bool = False  # whether events are published to the next port


@dataclass(frozen=True, slots=True)
class Server:
    """One server under measurement."""

    name: str
    command: Callable[[int], list[str]]  # for a port
    environment: dict[str, str] = field(default_factory=dict)
    post: str | None = None  # path to POST to for a run of its own; with `None` any GET starts one
    ask: str | None = None  # JSON to POST to be answered with an event stream, instead of the GET
    channel: Channel | None = None
    idle: str | None = None  # path of a stream with nothing but heartbeats
    tls: bool = False
    variant: str = ""  # part of the question that it is measured with; its baselines have the same one, or none
    size: int = 0  # of that part: viewers, events of a POST or bytes of a line; 0 for the question's own
    python: str = ""  # of the installation; empty for peers
    redis: int = 0  # port of the Redis that it shares with another process, if it does
    key: str = ""  # API key that its publishers send


Makers = dict[str, Callable[[], Server]]


def words(count: int) -> str:
    """Return the first words of the text, with a space after each."""
    return "".join(f"word{number % 1000} " for number in range(1, count + 1))


@dataclass(frozen=True, slots=True)
class Installation:
    """An sseserver to measure: interpreter, variables and options for it, version and build."""

    name: str
    python: str
    environment: dict[str, str]
    options: tuple[str, ...]
    build: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read `NAME=[VARIABLE=VALUE ...] PYTHON [OPTION ...]`; see `main.py`. Nothing after `=` is this Python.

        Raises:
            SkipError: It has no sseserver.
        """
        name, _, command = text.partition("=")
        parts, path = shlex.split(command) or [sys.executable], os.environ.get("PYTHONPATH", "")
        # Absolute, since servers run in another folder; an installation that is named has its own modules only.
        inherited = (
            ""
            if command
            else os.pathsep.join(str(Path(part).absolute()) for part in filter(None, path.split(os.pathsep)))
        )
        environment = {"PYTHONPATH": inherited}
        while "=" in parts[0]:
            variable, _, environment[variable] = parts.pop(0).partition("=")
        python = parts.pop(0)
        if Path(python).is_dir():
            environment["PYTHONPATH"], python = str(Path(python).resolve()), sys.executable
        python = str(Path(shutil.which(python) or python).absolute())
        child = {**os.environ, **environment}
        ended = subprocess.run([python, "-c", _BUILD], env=child, cwd="/", capture_output=True, text=True, check=False)
        if ended.returncode:
            raise SkipError(f"{name}: no sseserver for {python}: {ended.stderr[-200:].strip()}")
        return cls(name, python, environment, tuple(parts), ended.stdout.strip())

    def server(
        self, *options: str, variant: str = "", database: Path | None = None, pair: Path | None = None, redis: int = 0
    ) -> Server:
        """Return the server, with more options, an SQLite file for each process in a folder, TLS, or a Redis."""
        twistd = [str(PEERS / "without.py")] if "WITHOUT" in self.environment else ["-c", _TWISTD]
        start = [self.python, *twistd, "-n", "--pidfile=", "--reactor=epoll"]
        usual = ["--max-viewers", "20000", "--max-runs", "20000", "--access-log", "none"]
        kind, files = ("ssl", f":privateKey={pair}/key.pem:certKey={pair}/certificate.pem") if pair else ("tcp", "")

        def command(port: int) -> list[str]:
            store = f"sqlite:{database / f'{port}.db'}" if database else "memory"
            store = f"redis://{process.HOST}:{redis}" if redis else store
            listen = f"{kind}:{port}:interface=127.0.0.1:backlog=4096{files}"
            return [*start, "sseserver", "--listen", listen, "--store", store, *usual, *options, *self.options]

        path = "/streams/benchmark"
        return Server(
            f"{self.name}{', ' * bool(variant)}{variant}",
            command,
            self.environment,
            post="/streams",
            channel=Channel(path, f"{path}?from=now", path, "json"),
            idle=path,
            tls=pair is not None,
            variant=variant,
            python=self.python,
            redis=redis,
        )

    def guarded(self, folder: Path, variant: str) -> Server:
        """Return the server with access control, and a key for its publishers."""
        file, make = folder / "keys.txt", [self.python, "-m", "sseserver.keys"]
        file.unlink(missing_ok=True)
        child = {**os.environ, **self.environment}
        made = subprocess.run(
            [*make, str(file), "benchmark", "publish,read,list:*"], env=child, cwd="/", capture_output=True, check=True
        )
        return replace(self.server("--api-keys", str(file), variant=variant), key=made.stdout.decode().strip())

    def text(self, interval: float, file: Path, *options: str, **more: Any) -> Server:
        """Return the server, whose runs send the words of a file at an interval in seconds."""
        return self.server("--interval", str(interval), "--text", str(file), "--linger", "5", *options, **more)


class Work(NamedTuple):
    """Work of every peer: tokens per second (0: at once), tokens per stream (0: endless), seconds per heartbeat."""

    rate: float = 20.0
    count: int = 0
    heartbeat: float = 15.0

    def server(self, name: str, command: Callable[[int], list[str]], tls: bool = False) -> Server:
        """Return a peer that does this work."""
        environment = {"RATE": str(self.rate), "COUNT": str(self.count), "HEARTBEAT": str(self.heartbeat)}
        return Server(name, command, environment, channel=Channel("/publish", "/watch"), idle="/idle", tls=tls)


#: Peers that do all of a work: the program, and the packages that it needs.
_PEERS = {
    BASELINE: ("bare_twisted.py",),
    UVICORN: ("bare_asgi:application", "uvicorn", "uvloop", "httptools"),
    GRANIAN: ("bare_asgi:application", "granian", "uvloop"),
    HYPERCORN: ("bare_asgi:application", "hypercorn", "uvloop"),
    "sse-starlette": ("starlette_events:application", "sse_starlette", "uvicorn", "uvloop", "httptools"),
    "aiohttp-sse": ("aiohttp_events.py", "aiohttp_sse", "uvloop"),
    "tornado": ("tornado_events.py", "tornado"),
    NODE: ("events.js",),
    BUN: ("events.bun.js",),
}

#: The peers that are measured over TLS, too.
_TLS = (UVICORN, GRANIAN, HYPERCORN)

#: Programs that run those that are not in Python: their names, and where they come from.
_RUNTIMES = {NODE: ("node", "apt-get install nodejs"), BUN: ("bun", "npm install --global bun")}

#: Servers of ASGI applications as their documentation has them for speed, up to the address; and their options for a
#: key and a certificate.
_ASGI = {
    "uvicorn": (
        (
            "--loop uvloop --http httptools --no-access-log --log-level warning --backlog 4096 --app-dir {peers} "
            "--timeout-graceful-shutdown 1 {program} --host {host} --port {port}"
        ),
        "--ssl-keyfile {pair}/key.pem --ssl-certfile {pair}/certificate.pem",
    ),
    "granian": (
        (
            "--interface asgi --loop uvloop --workers 1 --backlog 4096 --no-ws --log-level warning "
            "--working-dir {peers} {program} --host {host} --port {port}"
        ),
        "--ssl-keyfile {pair}/key.pem --ssl-certificate {pair}/certificate.pem",
    ),
    "hypercorn": (
        "--worker-class uvloop --workers 1 --backlog 4096 --log-level warning {program} --bind {host}:{port}",
        "--keyfile {pair}/key.pem --certfile {pair}/certificate.pem",
    ),
}


def _program(name: str, package: str, *needed: Path) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None or not all(path.exists() for path in needed):
        raise SkipError(f"not installed ({package})")
    return found


def _peer(work: Work, name: str, pair: Path | None = None) -> Server:
    program, *modules = _PEERS[name]
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise SkipError(f"no {', '.join(missing)} here (pip install 'sseserver[benchmark]')")
    served = next((one for one in _ASGI if one in modules), None)
    if served is not None:
        start = f"{_ASGI[served][0]} {_ASGI[served][1] if pair else ''}"
        values = {"peers": PEERS, "program": program, "host": process.HOST, "pair": pair}

        def command(port: int) -> list[str]:
            return [sys.executable, "-m", served, *start.format(port=port, **values).split()]

        # Its workers are other processes, and not all of them look into another folder.
        server = work.server(name, command, pair is not None)
        return replace(server, environment={**server.environment, "PYTHONPATH": str(PEERS)})
    runtime = _program(*_RUNTIMES[name]) if name in _RUNTIMES else sys.executable
    return work.server(name, lambda port: [runtime, str(PEERS / program), str(port)], pair is not None)


def _nginx(name: str, folder: Path, locations: str, *module: Path, url: str = "") -> Server:
    program = _program("nginx", "apt-get install nginx libnginx-mod-nchan", *module)
    values = {"modules": "".join(f"load_module {one};" for one in module), "folder": folder, "url": url}

    def fill(template: str, **more: object) -> str:
        (folder / template).write_text(Template((PEERS / template).read_text()).substitute(values, **more))
        return str(folder / template)

    start = [program, "-p", str(folder), "-c"]
    return Server(name, lambda port: [*start, fill("nginx.conf", port=port, locations=fill(locations))])


def publishing(folder: Path) -> Makers:
    """Return the peers that publish one event for each POST: nchan, and an ASGI application that reads JSON."""
    channel = Channel("/publish/json", "/watch", body="json")
    return {UVICORN: lambda: replace(_peer(Work(), UVICORN), channel=channel), **nchan(folder)}


def frameworks(work: Work, pair: Path | None = None) -> Makers:
    """Return the baseline and every peer that does all of a work; with a certificate, those that speak TLS."""
    return {name: partial(_peer, work, name, pair) for name in (_TLS if pair else _PEERS)}


def floor(work: Work, folder: Path) -> Makers:
    """Return the floor, see `peers/floor.c`."""

    def make() -> Server:
        compiler, program = _program("cc", "a C compiler"), str(folder / "floor")
        subprocess.run([compiler, "-O2", "-o", program, str(PEERS / "floor.c")], capture_output=True, check=True)
        return Server(FLOOR, lambda port: [program, str(port), str(work.rate), str(work.count)])

    return {FLOOR: make}


def nchan(folder: Path) -> Makers:
    """Return nginx with nchan, as Debian has them."""
    channel = Channel("/publish", "/events")
    return {NCHAN: lambda: replace(_nginx(NCHAN, folder, "nchan.conf", _NCHAN_MODULE), channel=channel, idle="/events")}


def proxies(folder: Path) -> Makers:
    """Return the servers whose only work is to publish: Pushpin, as Debian has it, and rakaia-streams."""

    def pushpin() -> Server:
        for program in ("pushpin", "condure", "zurl"):
            _program(program, "apt-get install pushpin condure zurl")
        start = [sys.executable, str(PEERS / "pushpin.py")]
        channel = Channel("/publish", "/events", body="grip", next=True)
        return Server(PUSHPIN, lambda port: [*start, str(port), str(folder)], channel=channel)

    def rakaia() -> Server:
        if importlib.util.find_spec("rakaia") is None:
            raise SkipError("no rakaia here (pip install 'sseserver[benchmark]')")
        start = [sys.executable, "-m", "rakaia", "--host", process.HOST, "--port"]
        channel = Channel("/benchmark", "/benchmark?offset=now&live=sse", "/benchmark")
        return Server(RAKAIA, lambda port: [*start, str(port)], channel=channel)

    return {PUSHPIN: pushpin, RAKAIA: rakaia}


def relays(url: str, folder: Path, ask: str) -> Makers:
    """Return the peers that relay an upstream; `ask` is the JSON of a chat completion's request."""

    def litellm() -> Server:
        program, file = _program("litellm", "pip install 'litellm[proxy]'"), folder / "litellm.json"
        model = {"model": "openai/m", "api_base": f"{url}/v1", "api_key": "none"}
        # As with the others, no key is needed on the loopback interface.
        settings = {"dangerously_permit_weak_or_unset_master_key": True}
        models = [{"model_name": "m", "litellm_params": model}]
        file.write_text(json.dumps({"model_list": models, "general_settings": settings}))
        start = [program, "--config", str(file), "--host", process.HOST, "--port"]
        # 40 answers are 800 tokens per second and most of a core; with 60 it falls behind.
        return Server(LITELLM, lambda port: [*start, str(port)], ask=ask, size=40)

    relay = str(PEERS / "plain_relay.py")
    return {
        AGENT: lambda: Server(AGENT, lambda port: [sys.executable, relay, str(port), f"{url}/v1"]),
        NGINX: lambda: _nginx(NGINX, folder, "proxy.conf", url=url),
        LITELLM: litellm,
    }


def plainWrites(file: Path, variants: dict[str, int]) -> Makers:
    """Return the baselines of catching up, see `peers/plain_write.py`: for each variant its number of viewers."""
    start = [sys.executable, str(PEERS / "plain_write.py")]

    def make(name: str, variant: str, more: tuple[str, ...]) -> Server:
        def command(port: int) -> list[str]:
            return [*start, str(port), str(file), *more]

        return Server(f"{name}, {variant}", command, variant=variant, size=variants[variant])

    kinds = ((BASELINE, ()), (WEB, ("web",)))
    return {f"{name}, {variant}": partial(make, name, variant, more) for variant in variants for name, more in kinds}


def ask(
    port: int, method: str, path: str, body: bytes | None = None, tls: bool = False, **headers: str
) -> tuple[Message, bytes]:
    """Send one request that is not measured, with JSON, and return headers and body of its answer."""
    fields = {"Accept": "application/json", "Content-Type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{'https' if tls else 'http'}://{process.HOST}:{port}{path}"
    request = urllib.request.Request(url, body, fields, method=method)
    context = secure.clientContext() if tls else None
    with urllib.request.urlopen(request, timeout=30, context=context) as response:
        return response.headers, response.read()
