"""
Contract for stores and token sources that can tell whether they work. `sseserver.apis.admin` asks them for `/readyz`.
"""

from __future__ import annotations

from zope.interface import Interface


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
