"""
The objects of an answer: pieces of it, its end, an answer in one piece, and the description of a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sseserver.protocols.chatcompletions import Usage, build, listCalls, readCall, readUsage
from sseserver.values import Reason

#: Names of the two endpoints with answers.
CHAT = "chat"
GENERATE = "generate"

#: Number. Those of a second.
_NANOSECONDS = 10**9


class AnswerWriter:
    """
    Makes the objects of one answer.

    Args:
        endpoint: `CHAT` or `GENERATE`: the text is a member of a message, or stands by itself.
        model: Name of the model.
        created: When the answer was begun, in seconds since 1970.
    """

    __slots__ = ("_created", "_endpoint", "_members")

    def __init__(self, endpoint: str, model: str, created: float) -> None:
        self._endpoint = endpoint
        self._created = created
        self._members = {"model": model, "created_at": writeStamp(created)}

    def rename(self, model: str | None) -> AnswerWriter:
        """Return a writer with another name of the model; `None` leaves the name."""
        return self if model is None else AnswerWriter(self._endpoint, model, self._created)

    def makePiece(self, text: object = "", thinking: object = "") -> dict[str, Any]:
        """
        Make a piece of an answer.

        Args:
            text: Its text.
            thinking: Text of the reasoning.
        """
        return {**self._members, **self._place(text, thinking), "done": False}

    def makeCalls(self, calls: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """
        Make the piece of an answer that has its tool calls.

        Raises:
            SourceError: The arguments of a call are no JSON object.
        """
        piece = self.makePiece()
        piece.setdefault("message", {"role": "assistant", "content": ""})["tool_calls"] = list(map(convertCall, calls))
        return piece

    def makeLoaded(self) -> dict[str, Any]:
        """Make the answer to a request without a prompt, by which a client loads a model."""
        return {**self._members, **self._place("", ""), "done": True, "done_reason": "load"}

    def makeEnd(self, reason: object, usage: Usage, durations: object = None) -> dict[str, Any]:
        """
        Make the last object of a streamed answer.

        Args:
            reason: The finish reason.
            usage: The usage.
            durations: Those of the entry `done`.
        """
        return {**self._members, **self._place("", ""), **_makeEnd(reason, usage, durations)}

    def makeWhole(self, completion: Mapping[str, Any], durations: object = None) -> dict[str, Any]:
        """
        Make an answer in one piece.

        Args:
            completion: The completion, in pieces as `CompletionBuilder` makes it. Only its first choice counts.
            durations: Those of the entry `done`.

        Returns:
            The object; its texts may be in pieces.

        Raises:
            SourceError: The arguments of a tool call are no JSON object.
        """
        choice = next(iter(completion["choices"].items))
        message = choice["message"]
        thinking = message.get("reasoning_content") or message.get("reasoning") or ""
        place = self._place(message["content"] or message["refusal"] or "", thinking)
        calls = listCalls(message)
        if calls and "message" in place:
            place["message"]["tool_calls"] = list(map(convertCall, calls))
        told = completion.get("usage")
        usage = readUsage(build(told) if isinstance(told, dict) else {})
        end = _makeEnd(choice["finish_reason"], usage, durations)
        return {**self._members, "model": completion["model"], **place, **end}

    def _place(self, text: object, thinking: object) -> dict[str, Any]:
        """Return the members with the text."""
        reasoning = {"thinking": thinking} if thinking else {}
        if self._endpoint == GENERATE:
            return {"response": text, **reasoning}
        return {"message": {"role": "assistant", "content": text, **reasoning}}


def _makeEnd(reason: object, usage: Usage, durations: object) -> dict[str, Any]:
    """Return the members that end an answer."""
    ended = Reason.LENGTH if reason == Reason.LENGTH else Reason.STOP
    end = {"done": True, "done_reason": ended, "prompt_eval_count": usage.prompt, "eval_count": usage.completion}
    return {**end, **_convertDurations(durations)}


def _convertDurations(told: object) -> dict[str, int]:
    """
    Return Ollama's durations, in nanoseconds.

    Until the first token a model reads the prompt, as far as this server knows; it is always loaded.

    Args:
        told: The member `durations` of the entry `done`; there are none without it.
    """
    if not isinstance(told, Mapping):
        return {}
    first, total = (round(_NANOSECONDS * told[name]) for name in ("first", "total"))
    return {
        "total_duration": total,
        "load_duration": 0,
        "prompt_eval_duration": first,
        "eval_duration": total - first,
    }


def convertCall(call: Mapping[str, Any]) -> dict[str, Any]:
    """
    Convert a tool call of a completion.

    Raises:
        SourceError: Its arguments are no JSON object.
    """
    read = readCall(call)
    return {"id": read.id, "function": {"name": read.name, "arguments": read.arguments}}


def describeModel(name: str, created: float) -> dict[str, Any]:
    """
    Describe a model in the list of models.

    Args:
        name: Its name.
        created: Seconds since 1970.
    """
    return {
        "name": name,
        "model": name,
        "modified_at": writeStamp(created),
        "size": 0,
        "digest": "",
        "details": _describeDetails(),
    }


def showModel(name: str, created: float, *, takesMessages: bool) -> dict[str, Any]:
    """
    Describe one model.

    Args:
        name: Its name.
        created: Seconds since 1970.
        takesMessages: Whether tools are passed on to it.
    """
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _describeDetails(),
        "model_info": {"general.architecture": "sseserver", "general.basename": name},
        "capabilities": ["completion", "tools"] if takesMessages else ["completion"],
        "modified_at": writeStamp(created),
    }


def _describeDetails() -> dict[str, Any]:
    """Return the details of a model, of which this server knows none."""
    return {
        "parent_model": "",
        "format": "",
        "family": "",
        "families": [],
        "parameter_size": "",
        "quantization_level": "",
    }


def writeStamp(seconds: float) -> str:
    """
    Return a time as Ollama writes it (RFC 3339).

    Args:
        seconds: Seconds since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
