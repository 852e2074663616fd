"""
The question: what does it cost to relay the answers of an upstream?

    python benchmarks/relay.py [--viewers 500] [--rate 20] [--seconds 8] [--rounds 3] [--only NAME] [--json FILE]

500 viewers, each with an answer of its own of 20 tokens a second, from an upstream on loopback that speaks OpenAI's
chat completions (`peers/upstream.py`, a process of its own beside the load client). Measured in turn, round after
round, with a new server process each time: Twisted's `Agent` and `Request.write` (the baseline), nginx `proxy_pass`,
LiteLLM's proxy (both skipped where they are not installed; LiteLLM wants an environment of its own, and is looked for
on the PATH), sseserver with `--upstream`: in format `events`, after `POST /streams`, and, "completions", in OpenAI's
own format, as LiteLLM does it. Only sseserver keeps the answers, so that they can be resumed. LiteLLM is given 40
answers at most, as 60 are beyond one core; with so few a token costs each server more (`--viewers 40` compares alike).

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
import sys
import tempfile
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median

import nginx
import others
import process
import rounds
import servers
from journal import Arrival, Check, Journal, Outcome, byViewer, checkStamps, outcomeOf, stampLags, tokenEvents
from load import Load, Plan
from probe import firstOf

BASELINE = "Agent"
NGINX = "nginx"
LITELLM = "LiteLLM"
LITELLM_VIEWERS = 40  # that is 800 tokens a second, and most of a core; under more it only falls behind

BODY = '{"prompt":"?"}'
ASK = '{"model":"m","messages":[{"role":"user","content":"?"}],"stream":true}'
COMPLETIONS = f"{servers.OURS}, completions"
PATH = "/v1/chat/completions"
FIRST = b" 1 "  # the first token has the number 1, behind its stamp


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
    models = [{"model_name": "m", "litellm_params": parameters}]
    # Everyone on the loopback interface may ask, as with the others.
    settings = {"dangerously_permit_weak_or_unset_master_key": True}
    file.write_text(json.dumps({"model_list": models, "general_settings": settings}))
    start = [program, "--config", str(file), "--host", process.HOST]
    return servers.Server(LITELLM, lambda port: [*start, "--port", str(port)], ask=ASK, most=LITELLM_VIEWERS)


def ours(upstream: int) -> servers.Server:
    """
    sseserver, as an operator starts it.
    """
    url = f"http://{process.HOST}:{upstream}/v1"
    return servers.twistd(f"--upstream={url}", "--linger", "1")


def contentOf(chunk: bytes) -> bytes:
    """
    The text of one of OpenAI's chunks; the first and the last may have none.
    """
    choices = json.loads(chunk)["choices"]
    return (choices[0]["delta"].get("content") or "").encode() if choices else b""


def texts(viewer: list[Arrival]) -> list[Arrival]:
    """
    The tokens among a viewer's events, each with its stamp and number as data: of OpenAI's chunks their text; several
    that came as one event, one by one.
    """
    tokens = []
    for event in viewer:
        if event.type:
            continue
        words = (contentOf(event.data) if event.data.startswith(b"{") else event.data).split()
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


def measure(
    server: servers.Server, round: int, options: argparse.Namespace, core: int | None, upstream: int
) -> Relayed:
    """
    Start a server, measure it, end it.
    """
    with servers.started(server, core) as child:
        ask, post = server.ask, server.post
        plan = Plan(child.port, 1, PATH, ask, post, BODY, settle=0, seconds=0.5, rest=options.rest)
        # One viewer first: what the server loads or builds at its first request is not the viewers'.
        Load(plan).run()
        viewers = min(options.viewers, server.most or options.viewers)
        plan = replace(plan, viewers=viewers, settle=1.0, seconds=options.seconds)
        meter = rounds.Meter(child)
        journal = Load(plan, meter.begin, meter.end).run()
        outcome = judge(journal, plan.viewers, options.rate)
        run = meter.run(server.name, round, outcome, plan.viewers, journal.end - journal.begin)
        # Until all that lingers is over.
        time.sleep(3)
        through, direct = list[float](), list[float]()

        def probe() -> None:
            for _ in range(options.probes // 5):
                through.append(firstOf(child.port, PATH, FIRST, post, BODY, ask).token)
                direct.append(firstOf(upstream, PATH, FIRST).token)

        Load(replace(plan, seconds=6.0), atSecond=probe).run()
    names = {field.name: getattr(run, field.name) for field in fields(rounds.Run)}
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
            COMPLETIONS: lambda: replace(ours(upstream), name=COMPLETIONS, post=None, ask=ASK),
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
    title = f"{options.viewers:,} answers, {options.rate:g} tokens/s each, {options.rounds} x {options.seconds:g} s"
    rounds.report(options, runs, title, rounds.table(runs, [NGINX, LITELLM, BASELINE]), firstTokens(runs))


if __name__ == "__main__":
    main()
