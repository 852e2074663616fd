"""
Plans: how a seed sets up the server and the network.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from sseserver.settings import Settings
from tests.simulation.commandline import Plan
from tests.simulation.history import History
from tests.simulation.limits import Limits
from tests.simulation.network import Weather
from tests.simulation.refusals import Refusals


def makeSettings(chance: Random) -> Settings:
    """Choose the limits of a server. Small ones are reached."""
    pick = chance.choice
    return Settings(
        heartbeat=pick((1.0, 2.0, 5.0)),
        reconnectionTime=pick((100, 500, 2000)),
        linger=pick((0.0, 1.0, 6.0, 60.0)),
        # A small limit of open files would lower a larger one.
        maxViewers=pick((2, 5, 100, 100)),
        idle=pick((6.0, 86_400.0, 86_400.0)),
        maxRuns=pick((1, 2, 1000, 1000)),
        maxWaiting=pick((1, 1000, 1000)),
        stall=pick((1.5, 4.0, 30.0)),
        keep=pick((30.0, 600.0, 600.0)),
        window=pick((2000, 20_000, 16 << 20, 16 << 20, 16 << 20)),
        maxBytes=pick((100_000, 512 << 20, 512 << 20)),
        maxStreams=pick((3, 100_000, 100_000)),
        readAhead=pick((200, 4000, 1 << 20)),
        drain=pick((0.5, 3.0, 12.0)),
        plain=chance.random() < 0.2,
        maxViewersPerClient=pick((None, 1, 3)),
        maxRunsPerClient=pick((None, 1, 2)),
        runsPerMinute=pick((None, 2, 6)),
        publishesPerSecond=pick((None, 1, 3)),
    )


def makePlan(chance: Random) -> Plan:
    """Choose how a server is set up."""
    source = chance.choice(("script", "script", "silent", "input", "upstream", "upstream", "exec", "exec"))
    plan = Plan(
        settings=makeSettings(chance),
        store=chance.choice(("memory", "sqlite", "sqlite", "sqlite")),
        source=source,
        prompt=None if source in ("silent", "input") else "of the page",
        bufferSize=chance.choice((500, 4000, 65536)),
        diskDelay=chance.choice((0.0, 0.0, 0.01, 0.2)),
        model=chance.random() < 0.5,
        proxy=chance.random() < 0.4,
        accessLog=chance.choice(("none", "log", "file")),
        connections=chance.choice((None, None, None, 20)),
        drainWait=chance.choice((0.0, 0.5, 3.0)),
        connectionsEach=chance.choice((None, None, 4)),
        keyServer=chance.random() < 0.4,
    )
    if plan.connections is None:
        return plan
    # A quarter of the connections is left to short requests.
    viewers = min(plan.settings.maxViewers, plan.connections * 3 // 4)
    return replace(plan, settings=replace(plan.settings, maxViewers=viewers))


def makeWeather(chance: Random) -> Weather:
    """Choose how the network treats its connections."""
    if chance.random() < 0.2:
        # Only then do large texts arrive soon, and are times exact.
        return Weather()
    latency = chance.choice((0.0, 0.0, 0.005, 0.1))
    return Weather(
        latency=latency,
        # Together with a long latency a small cut is no network any more.
        cut=chance.choice((0, 0, 0, 7, 300)) if latency < 0.1 else chance.choice((0, 1000)),
        sendBuffer=chance.choice((300, 4000, 65536)),
        receiveBuffer=chance.choice((300, 4000, 65536)),
    )


def makeRefusals(plan: Plan, weather: Weather, history: History) -> Refusals:
    """
    Make the judge of refusals.

    Args:
        plan: How the server is set up.
        weather: How the network treats its connections.
        history: Takes the verdicts.
    """
    settings = plan.settings
    bounds = {
        "connection": plan.connectionsEach,
        "viewer": settings.maxViewersPerClient,
        "run": settings.maxRunsPerClient,
        "start": settings.runsPerMinute,
        "publish": settings.publishesPerSecond,
    }
    tight = {
        "streams": settings.maxBytes < 1 << 20 or settings.maxStreams < 1000,
        "runs": min(settings.maxRuns, settings.maxWaiting) < 1000,
        "viewers": settings.maxViewers < 100,
    }
    limits = Limits(
        history, {kind: limit for kind, limit in bounds.items() if limit is not None}, settings.stall, weather.wide
    )
    return Refusals(
        history, limits, frozenset(what for what, isTight in tight.items() if isTight), plan.source == "upstream"
    )
