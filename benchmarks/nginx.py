"""
nginx as a server under measurement: its configuration, in one place.

One worker, as there is one core for it; no master process, so that the one process has all the CPU time and nothing can
be left behind. (Without a master nchan 1.3.6 prints "double free" when it is ended; that is after the figures.)
"""

from __future__ import annotations

import shutil
from pathlib import Path

import process
from servers import SkipError

#: Where Debian's package libnginx-mod-nchan puts it.
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

_CONFIGURATION = """
{modules}
daemon off;
master_process off;
user root;
pid {folder}/pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 19500; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port} backlog=4096;
{locations}
    }}
}}
"""


def program(package: str = "nginx", module: Path | None = None) -> str:
    """
    Its path.

    Args:
        package: Debian's, for the reason why it is skipped.
        module: What it must have.

    Raises:
        SkipError: It is not installed.
    """
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None or (module and not module.exists()):
        raise SkipError(f"not installed (apt-get install {package})")
    return found


def command(path: str, folder: Path, port: int, locations: str, module: Path | None = None) -> list[str]:
    """
    A command line; the configuration is written into `folder`.

    Args:
        path: The program's.
        folder: For all its files.
        port: To listen on.
        locations: What it does, in its own language.
        module: What it loads.
    """
    modules = f"load_module {module};" if module else ""
    names = {"modules": modules, "folder": folder.resolve(), "host": process.HOST, "port": port, "locations": locations}
    file = folder.resolve() / "nginx.conf"
    file.write_text(_CONFIGURATION.format(**names))
    return [path, "-p", str(folder.resolve()), "-c", str(file)]
