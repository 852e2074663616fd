"""
The files for a deployment: the image of Containerfile and the units and manifests of deploy/, as far as a machine
without an engine, systemd and a cluster can run them. tests/integration/test_proxies.py has the proxies.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sseserver.command.parsing import Options
from tests.integration.servers import ENVIRONMENT, PATIENCE, QUICK, ROOT, ask, freePort, serving, stream

DEPLOY = ROOT / "deploy"
SCRIPTS = Path(sys.executable).parent

#: Program that takes the place of systemd: it passes its descriptor as number 3, and becomes its other arguments.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="sseserver.socket", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class DeploymentTestCase(SynchronousTestCase):
    """A folder, and a port."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.port = freePort()

    def find(self, name: str) -> str:
        """Return the path of a program; without it the test is skipped, but fails in CI."""
        if path := shutil.which(name):
            return path
        if os.environ.get("CI"):
            self.fail(f"There is no {name}.")
        raise SkipTest(f"There is no {name}.")


class ContainerTests(DeploymentTestCase):
    """Containerfile."""

    def setUp(self) -> None:
        super().setUp()
        text = (ROOT / "Containerfile").read_text("utf-8").replace("8000", str(self.port))
        lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
        steps = [line.split(" ", 1) for line in lines if line]
        last = max(number for number, step in enumerate(steps) if step[0] == "FROM")
        self.building, self.final = steps[:last], steps[last:]
        self.environment = dict(word.split("=", 1) for word in self.argument("ENV").split())

    def argument(self, instruction: str) -> str:
        """Return the argument of an instruction that the last stage has once."""
        (found,) = [argument for name, argument in self.final if name == instruction]
        return found

    @contextlib.contextmanager
    def serve(self, *options: str) -> Iterator[None]:
        """Run the command of the image with its variables, in an empty folder."""
        command = json.loads(self.argument("ENTRYPOINT"))
        command[0] = str(SCRIPTS / command[0])
        variables = {name: text for name, text in self.environment.items() if name != "PATH"}
        places = dict.fromkeys(("HOME", "TMPDIR"), str(self.folder))
        with serving(
            [sys.executable, *command, *QUICK, *options],
            self.port,
            env={**ENVIRONMENT, **variables, **places},
            cwd=self.folder,
        ):
            yield

    def test_command(self) -> None:
        """The command serves without a file of its own: the root file system may be read-only."""
        with self.serve("--public", "--interval=0"):
            status, headers, _ = ask(self.port, "POST", "/streams")
            self.assertEqual(status, 201)
            self.assertEqual(stream(self.port, headers["location"])[-1].type, "done")
            ask(self.port, "PUT", "/streams/a")
            body = b"word " * 100_000
            self.assertEqual(ask(self.port, "POST", "/streams/a", {"Content-Type": "text/plain"}, body)[0], 200)
            self.assertEqual(ask(self.port, "GET", "/", {"Host": "elsewhere.example"})[0], 421)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_guarded(self) -> None:
        """Without credentials it does not start unless told to: everybody would reach it."""
        with self.assertRaisesRegex(AssertionError, "confirm with --public"), self.serve():
            pass

    def test_health(self) -> None:
        """The health check succeeds while the server answers, and fails after that."""
        command = json.loads(self.argument("HEALTHCHECK").partition("CMD ")[2])
        command[0] = sys.executable
        with self.serve("--public"):
            subprocess.run(command, check=True, timeout=PATIENCE, env={})
        ended = subprocess.run(command, check=False, timeout=PATIENCE, env={}, stderr=subprocess.DEVNULL)
        self.assertNotEqual(ended.returncode, 0)

    def test_rights(self) -> None:
        """The server has a user of its own, as a number, so that clusters can see that it is not root."""
        self.assertRegex(self.argument("USER"), r"^[1-9]\d+:[1-9]\d+$")
        users = [argument for name, argument in self.final if name == "RUN" and "useradd" in argument]
        self.assertIn(f"--uid {self.argument('USER').partition(':')[0]} ", users[0])

    def test_build(self) -> None:
        """The build sees what a wheel is made of, refuses a pure one, and has the Python of the image."""
        ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        seen = [line[1:] for line in ignored if line.startswith("!")]
        self.assertIn("*", ignored)
        self.assertTrue(all((ROOT / name).exists() for name in seen))
        self.assertLessEqual({"LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py", "sseserver"}, {*seen})
        self.assertIn("assert sseserver.compiled", " ".join(argument for _, argument in self.building))
        self.assertEqual(self.building[0][1].removesuffix(" AS build"), self.final[0][1])


class SystemdTests(DeploymentTestCase):
    """deploy/systemd."""

    def writeUnits(self) -> Path:
        """Write the units with the program of this environment; return the one of the service."""
        for path in (DEPLOY / "systemd").iterdir():
            text = path.read_text("utf-8").replace("/opt/sseserver/bin", str(SCRIPTS))
            (self.folder / path.name).write_text(text, "utf-8")
        return self.folder / "sseserver.service"

    def analyze(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `systemd-analyze`."""
        command = [self.find("systemd-analyze"), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)

    def test_options(self) -> None:
        """A server takes the options of the example."""
        options = Options()
        options.parseOptions(["--config", str(DEPLOY / "sseserver.toml")])
        self.assertEqual(str(options["store"]), "streams.db")

    def test_verify(self) -> None:
        """systemd understands each line of both units."""
        unit = self.writeUnits()
        ended = self.analyze("verify", str(unit), str(unit.with_suffix(".socket")))
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_keys(self) -> None:
        """The guide names the files with keys, and their copies, as the unit makes them."""
        page = (ROOT / "docs" / "guides" / "systemdkeys.md").read_text("utf-8")
        files, copies = map(tomllib.loads, re.findall(r"(?ms)^```toml\n(.*?)^```$", page))
        unit = self.writeUnits()
        text = unit.read_text("utf-8").replace("#LoadCredential", "LoadCredential")
        loaded = dict(re.findall(r"(?m)^LoadCredential=(.*):(.*)$", text))
        self.assertEqual({loaded[Path(copy).name] for copy in copies.values()}, {*files.values()})
        self.assertEqual({str(Path(copy).parent) for copy in copies.values()}, {f"/run/credentials/{unit.name}"})
        for name, file in files.items():
            self.assertIn(f"SSESERVER_{name.replace('-', '_').upper()}={file}", page)
        unit.write_text(text, "utf-8")
        ended = self.analyze("verify", str(unit))
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        (self.folder / "link-key-file").write_text("k" * 64, "ascii")
        makeKey = [sys.executable, "-m", "sseserver.keys", str(self.folder / "api-keys"), "shop", "publish,read:*"]
        subprocess.run(makeKey, check=True, capture_output=True, env=ENVIRONMENT, timeout=PATIENCE)
        for values in (files, copies):
            config = self.folder / "keys.toml"
            config.write_text("\n".join(f'{name} = "{self.folder}/{name}"' for name in values), "utf-8")
            Options().parseOptions(["--config", str(config)])

    def test_security(self) -> None:
        """The sandbox is tight: systemd rates its exposure at 1.5 of 10 or less."""
        ended = self.analyze("security", "--offline=yes", "--threshold=15", str(self.writeUnits()))
        self.assertEqual(ended.returncode, 0, ended.stdout)

    def test_times(self) -> None:
        """systemd waits for as long as the server may take."""
        options = Options()
        options.parseOptions([])
        unit = self.writeUnits().read_text("utf-8")
        (seconds,) = re.findall(r"(?m)^TimeoutStopSec=(\d+)$", unit)
        self.assertGreater(int(seconds), options["drain-wait"] + options["drain"] + 5)

    def test_socket(self) -> None:
        """With a socket of systemd a client that comes while no server runs waits for the next one."""
        (line,) = re.findall(r"(?m)^ExecStart=(.*)$", self.writeUnits().read_text("utf-8"))
        head, endpoint = (DEPLOY / "systemd" / "sseserver.socket").read_text("utf-8").splitlines()[0].split("; with ")
        self.assertIn("sseserver.socket", head)
        config = self.folder / "sseserver.toml"
        config.write_text(endpoint.removesuffix(" in the configuration") + "\ninterval = 0\n", "utf-8")
        words = shlex.split(line.replace("/etc/sseserver/sseserver.toml", str(config)))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            start = [sys.executable, "-c", ACTIVATE, str(listening.fileno()), sys.executable, *words, *QUICK]
            keywords = {"env": ENVIRONMENT, "pass_fds": [listening.fileno()], "cwd": self.folder}
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    with serving(start, port, **keywords):
                        answer = b"".join(iter(lambda: client.recv(4096), b""))
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)


class KubernetesTests(DeploymentTestCase):
    """deploy/kubernetes.yaml."""

    def setUp(self) -> None:
        super().setUp()
        try:
            yaml: Any = importlib.import_module("yaml")
        except ImportError:
            if os.environ.get("CI"):
                raise
            raise SkipTest("There is no PyYAML.") from None
        documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
        self.objects = {document["kind"]: document for document in documents}
        self.pod = self.objects["Deployment"]["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.config = self.objects["ConfigMap"]["data"]["sseserver.toml"]

    def test_configuration(self) -> None:
        """A server starts with the configuration, and answers the probes where they ask."""
        key = self.folder / "link.key"
        key.write_text("k" * 64, "ascii")
        admin = freePort()
        text = self.config.replace("8000", str(self.port)).replace("9000", str(admin))
        mounted = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        self.assertIn(f'"{mounted["keys"]}/link.key"', text)
        file = self.folder / "sseserver.toml"
        file.write_text(text.replace(mounted["keys"], str(self.folder)), "utf-8")
        option, path = self.container["args"]
        self.assertEqual(path, f"{mounted['config']}/{next(iter(self.objects['ConfigMap']['data']))}")
        command = [sys.executable, str(SCRIPTS / "twistd"), "-n", "--pidfile=", "sseserver", option, str(file), *QUICK]
        with serving(command, admin, env=ENVIRONMENT):
            for name in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = self.container[name]["httpGet"]
                self.assertEqual(probe["port"], "admin")
                self.assertEqual(ask(admin, "GET", probe["path"], {"Host": "10.1.2.3:9000"})[0], 200)
            # A stranger gets nothing.
            self.assertEqual(ask(self.port, "POST", "/streams", {"Host": "hub.example.com"})[0], 401)

    def test_names(self) -> None:
        """Selectors, ports and volumes name what is there."""
        deployment, service = self.objects["Deployment"]["spec"], self.objects["Service"]["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        self.assertEqual(deployment["selector"]["matchLabels"], labels)
        self.assertEqual(service["selector"], labels)
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        self.assertEqual({port["targetPort"] for port in service["ports"]}, {"http"})
        config = tomllib.loads(self.config)
        self.assertEqual(ports, {"http": 8000, "admin": 9000})
        self.assertEqual(config["listen"], ["tcp:8000"])
        self.assertTrue(config["admin-listen"].startswith("tcp:9000:"))
        volumes = {volume["name"] for volume in self.pod["volumes"]}
        self.assertEqual({mount["name"] for mount in self.container["volumeMounts"]}, volumes)

    def test_network(self) -> None:
        """Only the Ingress controller reaches the port of clients, and Prometheus the other; few are trusted."""
        policy = self.objects["NetworkPolicy"]["spec"]
        self.assertEqual(policy["podSelector"], self.objects["Deployment"]["spec"]["selector"])
        self.assertEqual(policy["policyTypes"], ["Ingress"])
        allowed = {}
        for rule in policy["ingress"]:
            (port,), (source,) = rule["ports"], rule["from"]
            allowed[port["port"]] = source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        self.assertEqual(allowed, {"http": "ingress-nginx", "admin": "monitoring"})
        self.assertEqual({port["name"] for port in self.container["ports"]}, set(allowed))
        for network in tomllib.loads(self.config)["trusted-proxy"]:
            self.assertGreaterEqual(ip_network(network).prefixlen, 16)

    def test_times(self) -> None:
        """A pod has the time that its server may take, after the wait of preStop."""
        config = tomllib.loads(self.config)
        wait = int(self.container["lifecycle"]["preStop"]["exec"]["command"][1])
        needed = wait + config["drain-wait"] + config["drain"] + 5
        self.assertGreaterEqual(self.pod["terminationGracePeriodSeconds"], needed)

    def test_rights(self) -> None:
        """The pod is restricted, and has the user of the image."""
        user = re.findall(r"(?m)^USER (\d+):(\d+)$", (ROOT / "Containerfile").read_text("utf-8"))[0]
        context = self.pod["securityContext"]
        self.assertEqual((str(context["runAsUser"]), str(context["runAsGroup"])), user)
        self.assertTrue(context["runAsNonRoot"])
        restricted = self.container["securityContext"]
        self.assertEqual(restricted["capabilities"], {"drop": ["ALL"]})
        self.assertTrue(restricted["readOnlyRootFilesystem"])
        self.assertFalse(restricted["allowPrivilegeEscalation"])
        self.assertFalse(self.pod["automountServiceAccountToken"])
