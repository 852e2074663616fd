"""
The question: what does it cost to relay the answers of an upstream?

    python benchmarks/relay.py [--viewers 500] [--rate 20] [--seconds 8] [--rounds 3] [--only NAME] [--json FILE]

500 viewers, each with an answer of its own of 20 tokens a second, from an upstream on loopback that speaks OpenAI's
chat completions (`peers/upstream.py`, a process of its own beside the load client). Measured in turn, round after
round, with a new server process each time: Twisted's `Agent` and `Request.write` (the baseline), nginx `proxy_pass`,
LiteLLM's proxy (both skipped where they are not installed), sseserver with `--upstream`, in format `events`.
Only sseserver keeps the answers, so that they can be resumed.

The columns of the table are explained in `rounds.py`. Lag is the time from just before the upstream sent a token to the
end of the read that brought it to the viewer. Faults are numbers missing or twice, gaps, and streams that ended.

Then, with the same load again, `--probes` more answers are asked for, one after the other, through the server and from
the upstream itself in turn: how long does the first token take? The difference of the medians is what the server
adds. For sseserver there are two requests in it, the POST that starts the run and the GET that follows it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import nginx
import others
import process
import rounds
import servers
from journal import Arrival, Check, Journal, Outcome, byViewer, checkStamps, outcomeOf, stampLags, tokenEvents
from load import EVENT_STREAM, Load, Plan, request, splitHead

BASELINE = "Agent"
NGINX = "nginx"
LITELLM = "LiteLLM"

BODY = '{"prompt":"?"}'
PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Relayed(rounds.Run):
    """
    One server in one round.

    Args:
        firstToken: Milliseconds to the first token through it, median.
        direct: Milliseconds to the first token from the upstream itself, median.
    """

    firstToken: float = 0.0
    direct: float = 0.0


def agent(upstream: int) -> servers.Server:
    """
    The baseline, see `peers/plain_relay.py`.
    """
    script = str(servers.HERE / "peers" / "plain_relay.py")
    url = f"http://{process.HOST}:{upstream}/v1"
    return servers.Server(BASELINE, lambda port: [sys.executable, script, "--port", str(port), "--upstream", url])


def proxyPass(upstream: int, folder: Path) -> servers.Server:
    """
    nginx; its files are in `folder`.

    Raises:
        SkipError: It is not installed.
    """
    program = nginx.program()
    locations = f"""
        location / {{
            proxy_pass http://{process.HOST}:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}"""
    return servers.Server(NGINX, lambda port: nginx.command(program, folder, port, locations))


def litellm(upstream: int, folder: Path) -> servers.Server:
    """
    LiteLLM's proxy; its configuration is written into `folder`.

    Raises:
        SkipError: It is not installed.
    """
    program = shutil.which("litellm")
    if program is None:
        raise servers.SkipError("not installed (pip install 'litellm[proxy]')")
    parameters = {"model": "openai/m", "api_base": f"http://{process.HOST}:{upstream}/v1", "api_key": "none"}
    file = folder / "litellm.json"
    file.write_text(json.dumps({"model_list": [{"model_name": "m", "litellm_params": parameters}]}))
    return servers.Server(LITELLM, lambda port: [program, "--config", str(file), "--port", str(port)])


def ours(upstream: int) -> servers.Server:
    """
    sseserver, as an operator starts it.
    """
    url = f"http://{process.HOST}:{upstream}/v1"
    return servers.twistd(f"--upstream={url}", "--linger", "1")


def texts(viewer: list[Arrival]) -> list[Arrival]:
    """
    The tokens among a viewer's events, each with its stamp and number as data: of OpenAI's chunks their text; several
    that came as one event, one by one.
    """
    tokens = []
    for event in viewer:
        if event.type:
            continue
        data = event.data
        if data.startswith(b"{"):
            data = json.loads(data)["choices"][0]["delta"]["content"].encode()
        words = data.split()
        tokens += [event._replace(data=b" ".join(words[place : place + 2])) for place in range(0, len(words), 2)]
    return tokens


def judge(journal: Journal, viewers: int, rate: float) -> Outcome:
    """
    What came of all answers.
    """
    events, lags, check = 0, list[float](), Check(ended=len(journal.ended))
    for viewer in byViewer(journal):
        tokens = texts(viewer)
        checkStamps(tokens, check)
        inWindow = tokenEvents(tokens, journal.begin, journal.end)
        events += len(inWindow)
        lags += stampLags(inWindow)
    return outcomeOf(journal, events, viewers * rate, lags, check)


def firstToken(port: int, post: str | None) -> float:
    """
    Ask for an answer; give the milliseconds until its first token. Then leave.
    """
    with socket.create_connection((process.HOST, port), timeout=10) as connection:
        begin, path = time.monotonic(), PATH
        if post is not None:
            connection.sendall(request("POST", post, (), BODY))
            received = b""
            while not (head := splitHead(received)) or len(head[2]) < int(head[1]["content-length"]):
                received += connection.recv(65536)
            path = head[1]["location"]
        connection.sendall(request("GET", path, EVENT_STREAM))
        received = b""
        # The first token has the number 1, behind its stamp.
        while b" 1 " not in received:
            received += connection.recv(65536)
        return (time.monotonic() - begin) * 1000


def measure(
    server: servers.Server, round: int, options: argparse.Namespace, core: int | None, upstream: int
) -> Relayed:
    """
    Start a server, measure it, end it.
    """
    with servers.started(server, core) as child:
        plan = Plan(child.port, 1, PATH, post=server.post, body=BODY, settle=0, seconds=0.5, rest=options.rest)
        # One viewer first: what the server loads or builds at its first request is not the viewers'.
        Load(plan).run()
        plan = replace(plan, viewers=options.viewers, settle=1.0, seconds=options.seconds)
        meter = rounds.Meter(child)
        journal = Load(plan, meter.begin, meter.end).run()
        outcome = judge(journal, plan.viewers, options.rate)
        run = meter.run(server.name, round, outcome, plan.viewers, journal.end - journal.begin)
        # Until all that lingers is over.
        time.sleep(3)
        through, direct = list[float](), list[float]()

        def probe() -> None:
            for _ in range(options.probes // 5):
                through.append(firstToken(child.port, server.post))
                direct.append(firstToken(upstream, None))

        Load(replace(plan, seconds=6.0), atSecond=probe).run()
    names = {name: getattr(run, name) for name in rounds.Run.__slots__}
    return Relayed(**names, firstToken=rounds.round3(median(through)), direct=rounds.round3(median(direct)))


def measureAll(options: argparse.Namespace) -> list[rounds.Run]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    upstream = process.freePort()
    script = str(servers.HERE / "peers" / "upstream.py")
    command = [sys.executable, script, "--port", str(upstream), "--rate", str(options.rate)]
    beside = process.cores()[0] if options.pin else None
    with tempfile.TemporaryDirectory() as name, process.ServerProcess(command, upstream, beside):
        folder = Path(name)
        makers: others.Makers = {
            BASELINE: lambda: agent(upstream),
            NGINX: lambda: proxyPass(upstream, folder),
            LITELLM: lambda: litellm(upstream, folder),
            servers.OURS: lambda: ours(upstream),
        }
        chosen = rounds.choose(makers, options.only)
        return rounds.inTurn(
            chosen,
            options.rounds,
            options.patience,
            lambda server, number: measure(server, number, options, core, upstream),
        )


def firstTokens(runs: list[rounds.Run]) -> str:
    """
    The table of the first tokens.
    """
    lines = []
    for name in dict.fromkeys(run.server for run in runs):
        own = [run for run in runs if run.server == name and isinstance(run, Relayed)]
        through, direct = median(run.firstToken for run in own), median(run.direct for run in own)
        lines.append([name, f"{through:.2f}", f"{direct:.2f}", f"{through - direct:.2f}"])
    return rounds.markdown(["server", "first token ms", "from the upstream", "more"], lines)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=500)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens each second of each answer")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the window")
    parser.add_argument("--probes", type=int, default=100, help="answers of which the first token is timed")
    rounds.addOptions(parser)
    rounds.addRest(parser)
    rounds.addOnly(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the tables, write the JSON.
    """
    options = parseArguments()
    runs = measureAll(options)
    print(f"\n{options.viewers} answers, {options.rate:g} tokens/s each, {options.rounds} x {options.seconds:g} s\n")
    print(rounds.table(runs, [BASELINE, NGINX]))
    print(f"\n{firstTokens(runs)}")
    rounds.write(options, runs)


if __name__ == "__main__":
    main()
