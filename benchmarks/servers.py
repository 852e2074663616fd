"""
The servers that the benchmarks start: how each is called, where a viewer asks it for a stream of its own, where it
takes published events; and requests to them that are not measured.

Those with a run for each viewer all send the same text, `word1 word2 ... word999 word0 word1 ...`, one word a token, in
events of the same size: `id: ` with 22 characters, a hyphen and a number, `data: ` with the word and a space.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path

import process

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

BASELINE = "bare Twisted"
FLOOR = "floor (C)"
OURS = "sseserver"
NCHAN = "nginx, nchan"
WEB = "twisted.web"

#: Where Debian's package libnginx-mod-nchan puts it.
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

# One worker, as there is one core for it; no master process, so that the one process has all the CPU time and nothing
# can be left behind. (Without a master nchan 1.3.6 prints "double free" when it is ended; that is after the figures.)
NCHAN_CONFIGURATION = """
load_module {module};
daemon off;
master_process off;
user root;
pid {folder}/pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port} backlog=4096;
        location = /publish {{
            nchan_publisher;
            nchan_channel_id one;
            nchan_message_buffer_length 1000;
        }}
        location = /events {{
            nchan_subscriber eventsource;
            nchan_channel_id one;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""


class SkipError(Exception):
    """
    A server cannot be measured here; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Channel:
    """
    A stream that is published into.

    Args:
        publish: The path to POST events to.
        watch: The path where a viewer GETs those that come from now on.
        create: The path to PUT first; `None`: it is there.
        json: Whether what is POSTed is JSON, `{"data": "..."}`; else it is the data alone.
    """

    publish: str
    watch: str
    create: str | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """
    One server under measurement.

    Args:
        name: Its name in tables.
        command: Its command line for a port.
        post: Where a viewer POSTs to get a run of its own; `None`: any GET has one.
        environment: Variables that it wants.
        channel: A stream of it to publish into; `None`: there is none.
    """

    name: str
    command: Callable[[int], list[str]]
    post: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    channel: Channel | None = None


def words(count: int) -> str:
    """
    The first words of the text, with a space after each.
    """
    return "".join(f"word{number % 1000} " for number in range(1, count + 1))


def bareTwisted(rate: float) -> Server:
    """
    The baseline, see `peers/bare_twisted.py`.
    """
    script = str(HERE / "peers" / "bare_twisted.py")
    return Server(BASELINE, lambda port: [sys.executable, script, "--port", str(port), "--rate", str(rate)])


def floor(rate: float, folder: Path) -> Server:
    """
    The floor, see `peers/floor.c`; it is built into `folder`.

    Raises:
        SkipError: No C compiler, or it fails.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise SkipError("no C compiler (cc)")
    program = str(folder / "floor")
    source = str(HERE / "peers" / "floor.c")
    built = subprocess.run([compiler, "-O2", "-o", program, source], capture_output=True, text=True, check=False)
    if built.returncode:
        raise SkipError(f"cc failed: {built.stderr.strip()}")
    return Server(FLOOR, lambda port: [program, str(port), str(rate)])


def sseserver(interval: float, textFile: Path, options: tuple[str, ...] = ()) -> Server:
    """
    Ours, as an operator starts it.

    Args:
        interval: Seconds between two tokens of a run.
        textFile: What every run sends.
        options: More options of `twistd sseserver`.

    Raises:
        SkipError: See `withOptions`.
    """
    text = ("--interval", str(interval), "--text", str(textFile), "--max-viewers", "20000", "--linger", "5")
    return withOptions(*text, *options)


def withOptions(*options: str) -> Server:
    """
    Ours, with these options of `twistd sseserver`.

    Raises:
        SkipError: There is no plugin, or no `twistd` beside this Python.
    """
    twistd = Path(sys.executable).with_name("twistd")
    if not (ROOT / "twisted" / "plugins" / "sseserver_plugin.py").exists():
        raise SkipError("no plugin sseserver in this tree yet")
    if not twistd.exists():
        raise SkipError(f"no twistd beside {sys.executable}")
    start = [sys.executable, str(twistd), "-n", "--pidfile=", "--reactor=epoll", "sseserver"]

    def command(port: int) -> list[str]:
        listen = ["--listen", f"tcp:{port}:interface=127.0.0.1:backlog=4096"]
        # The store is named, so that the default does not decide what is measured.
        return [*start, *listen, "--store", "memory", *options]

    return Server(OURS, command, post="/streams", environment={"PYTHONPATH": str(ROOT)})


def bareFanOut() -> Server:
    """
    The baseline of fan-out, see `peers/bare_fan_out.py`.
    """
    script = str(HERE / "peers" / "bare_fan_out.py")
    return Server(BASELINE, lambda port: [sys.executable, script, "--port", str(port)], channel=Channel("/", "/"))


def nchan(folder: Path) -> Server:
    """
    nginx with nchan, as Debian has them; its configuration is written into `folder`.

    Raises:
        SkipError: They are not installed.
    """
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if nginx is None or not NCHAN_MODULE.exists():
        raise SkipError("not installed (apt-get install nginx libnginx-mod-nchan)")

    def command(port: int) -> list[str]:
        file = folder / "nginx.conf"
        names = {"module": NCHAN_MODULE, "folder": folder, "host": process.HOST, "port": port}
        file.write_text(NCHAN_CONFIGURATION.format(**names))
        return [nginx, "-p", str(folder), "-c", str(file)]

    return Server(NCHAN, command, channel=Channel("/publish", "/events"))


def published(folder: Path, name: str = "benchmark", options: tuple[str, ...] = ()) -> Server:
    """
    Ours, with a stream to publish into (it has to be created).

    Args:
        folder: For its text file.
        name: The stream's.
        options: More options of `twistd sseserver`.

    Raises:
        SkipError: See `sseserver`.
    """
    text = folder / "words.txt"
    text.write_text(words(10))
    path = f"/streams/{name}"
    return replace(
        sseserver(3600, text, options),
        channel=Channel(path, f"{path}?from=now", path, json=True),
    )


def plainWrite(file: Path, web: bool = False) -> Server:
    """
    The baselines of catching up, see `peers/plain_write.py`.

    Args:
        file: What is sent.
        web: Whether `twisted.web` sends it.
    """
    options = ["--file", str(file), *(["--web"] if web else [])]
    script = str(HERE / "peers" / "plain_write.py")
    return Server(WEB if web else BASELINE, lambda port: [sys.executable, script, "--port", str(port), *options])


def started(server: Server, core: int | None) -> process.ServerProcess:
    """
    A process for a server, on a free port, bound to a core.
    """
    port = process.freePort()
    return process.ServerProcess(server.command(port), port, core, server.environment)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A response.

    Args:
        headers: Its header lines.
        body: Its body.
    """

    headers: Message
    body: bytes


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """
    One request that is not measured.

    Args:
        port: The server's.
        method: The request's.
        path: The request's.
        body: JSON.
        headers: Beside those that say so.

    Raises:
        urllib.error.HTTPError: It was refused.
    """
    every = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(f"http://{process.HOST}:{port}{path}", body, every, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return Answer(response.headers, response.read())
