"""
Contracts of token sources, and of the sinks that they write to.

The author of a source writes an `ITokenSource` (docs/sources.md). A run (`sseserver.service.run`) is its sink.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from sseserver.values import PackedEntries, Prompt


class Origin(NamedTuple):
    """
    The upstream that answers a run, among several.

    Attributes:
        upstream: Its name.
        failed: The upstreams that failed before it, as `NAME=REASON`.
    """

    upstream: str
    failed: tuple[str, ...] = ()


class ITokenSource(Interface):
    """
    Produces tokens into a sink. One source serves many runs at once.

    A source that offers several models also provides `IModels`.
    """

    takesPrompt: bool = Attribute("Whether a run of this source needs a `Prompt`.")
    model: str = Attribute("Name of the source as a model, in chat completions.")

    def produce(sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any] | Coroutine[Any, Any, Any] | None:
        """
        Produce one answer.

        Args:
            sink: Takes the tokens.
            prompt: The request; `None` for a source that takes no prompt.

        Returns:
            A Deferred or coroutine that ends when the last token is written, or `None` if all tokens are
            written. The stream then ends `done`. If the result is a `str`, such as `length`, it is the
            reason, otherwise the reason is `stop`.

            The Deferred is cancelled when the run is stopped. The source then stops its work and
            releases its resources; the Deferred may fire after that.

        Raises:
            SourceError: (also as the errback) The stream ends `failed` with this reason and message. Any
                other exception ends it `failed`, too, with a message that tells viewers no details.
        """


class IModels(Interface):
    """
    Lists the models of a token source that passes requests on.

    The chat APIs accept every model name for such a source, and requests without a user's text.
    """

    def models() -> Deferred[Sequence[str | Mapping[str, Any]]]:
        """
        Return the models: each as its name, or as an object with its name as `id` and any other members.

        Raises:
            SourceError: (errback) The models are unknown at present.
        """


class IResponsesSource(Interface):
    """Tells whether a token source writes the events of an upstream's response. See `IResponseSink`."""

    writesResponseEvents: bool = Attribute("Whether an answer that is requested now may begin with such events.")


class ITokenSink(Interface):
    """
    Takes the tokens of one run. Similar to `IConsumer`, but for `str`.

    All methods are called in the reactor thread.
    """

    def write(token: str) -> None:
        """
        Append a token to the stream.

        It never blocks, and never loses a token of an open stream: a source that can be paused registers
        a producer, or awaits `ready`. Tokens written after the end of the run are dropped.

        Args:
            token: A piece of text; an empty one is ignored.

        Raises:
            UnicodeEncodeError: The token contains a lone surrogate.
        """

    def writeChunk(chunk: bytes, text: str) -> None:
        """
        Append a chunk of a chat completion as an upstream sent it.

        Viewers in the format `openai` get the chunk, viewers in other formats its text. In the format `events` a chunk
        without text is an event `chunk`.

        Args:
            chunk: A JSON object in UTF-8. White space around it and line ends inside it are not kept.
            text: The text of the chunk; may be empty.

        Raises:
            UnicodeEncodeError: The text contains a lone surrogate.
        """

    def noteOrigin(origin: Origin) -> None:
        """
        Note the upstream whose answer follows, for the headers of responses.

        Args:
            origin: The upstream.
        """

    def ready() -> Deferred[None]:
        """
        Wait until the run is not paused.

        Returns:
            A Deferred that fires at once unless the run is paused, otherwise when the run resumes or
            ends.
        """

    def registerProducer(producer: Any, streaming: bool) -> None:
        """
        Register a producer, which is paused and resumed with the run.

        Args:
            producer: An `IPushProducer`. Its `stopProducing` is called when the run is stopped.
            streaming: Must be true: pull producers are refused.

        Raises:
            ValueError: `streaming` is false.
            RuntimeError: Another producer is registered.
        """

    def unregisterProducer() -> None:
        """Forget the producer. None of its methods is called after that."""


class IResponseSink(ITokenSink):
    """A token sink that also takes the events of OpenAI's Responses. A run is one; a sink of your own need not be."""

    def writeResponseEvent(event: bytes) -> None:
        """
        Append an event of a response as an upstream sent it. The chunks that it became are written after it.

        Viewers in the format `responses` get the event, with IDs of this server; in all other formats it is nothing.

        Args:
            event: A JSON object in UTF-8 with a member `type`. White space around it and line ends inside it are not
                kept.
        """


class IPackedSink(ITokenSink):
    """A token sink that also takes many tokens at once: a run is one, and a sink of your own need not be."""

    def writeTokens(tokens: PackedEntries) -> None:
        """
        Append tokens to the stream, as `write` does with each of them. The run looks after them whether it must pause.

        Args:
            tokens: Tokens, one or more, none of which is empty. They are copied.
        """
