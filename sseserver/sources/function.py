"""
FunctionSource: a function that writes tokens to a sink, as a token source. Embedders make one of their own code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.values import MODEL, Prompt


@implementer(ITokenSource)
class FunctionSource:
    """
    Calls a function for each run.

    Args:
        function: Called with the sink and the prompt. It writes tokens, and returns a Deferred, a
            coroutine, or `None` if all tokens are written: see `ITokenSource.produce`.
        takesPrompt: Whether a run needs a prompt.
        model: Name of the source as a model.
    """

    def __init__(
        self,
        function: Callable[[ITokenSink, Prompt | None], Any],
        takesPrompt: bool = False,
        model: str = MODEL,
    ) -> None:
        self.takesPrompt = takesPrompt
        self.model = model
        self._function = function

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Any:
        """See `ITokenSource.produce`."""
        return self._function(sink, prompt)
