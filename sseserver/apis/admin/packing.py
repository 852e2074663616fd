"""
The metrics of a process as JSON, for another process that exports them: a worker packs, its pool unpacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.measured import Measured, Samples
from sseserver.counting import Durations


def packFamilies(measured: Measured) -> dict[str, Any]:
    """
    Read all families.

    Args:
        measured: The parts of the server.

    Returns:
        Their numbers by their names, as `unpackFamily` takes them.
    """
    return {family.name: _pack(family.read(measured)) for family in FAMILIES}


def unpackFamily(packed: Mapping[str, Any]) -> Samples | Durations:
    """Return the numbers of a family as it was read."""
    if "samples" in packed:
        return {tuple(values): number for values, number in packed["samples"]}
    durations = Durations(packed["bounds"])
    durations.counts, durations.total = packed["counts"], packed["total"]
    return durations


def _pack(read: Samples | Durations) -> dict[str, Any]:
    if isinstance(read, Durations):
        return {"bounds": list(read.bounds), "counts": read.counts, "total": read.total}
    return {"samples": [[values, number] for values, number in read.items()]}
