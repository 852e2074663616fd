"""
Contracts for stores and token sources that can tell whether they work. `sseserver.apis.admin` asks them for `/readyz`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import Interface


class UpstreamState(NamedTuple):
    """
    The state of one upstream among several.

    Attributes:
        name: Its name.
        problem: Why it cannot be used now, as a sentence without secrets, or `None`.
        requests: Number of answers that it was asked for.
        failures: Number of those that failed before their first token.
    """

    name: str
    problem: str | None
    requests: int
    failures: int


class IChecked(Interface):
    """
    A store or a token source that can tell whether it works now. `/readyz` asks it.

    Optional: one that does not provide it counts as ready.
    """

    def findProblem() -> str | None:
        """
        Return what is wrong, as a sentence without secrets, or `None`.

        It returns at once with what is known. If that is old, it may begin a new check, whose result the next call
        returns.
        """


class IUpstreams(Interface):
    """
    A token source with several upstreams. `/readyz` and the metrics name them.

    A client may name one before a model: the name of the upstream, a slash and the name of the model there.
    """

    def listUpstreams() -> Sequence[UpstreamState]:
        """Return the states of the upstreams, in the order in which they are preferred."""

    def findModel(name: str) -> Deferred[Mapping[str, Any] | None]:
        """
        Find a model that is named with its upstream. The list of models has it without that name, or not at all.

        Args:
            name: Name of an upstream, a slash and the name of the model there.

        Returns:
            A Deferred that fires with the model, described with this name; `None` if no upstream is named, or that
            upstream tells its models and has no such one.
        """
