"""
The output items of a response, while they grow: messages, reasoning, function calls.

`translation` makes them; the response and its events describe them.
"""

from __future__ import annotations

from typing import Any

from sseserver.interfaces import ByteCount

#: Bytes. Room that is counted for each text, at least.
_ROOM = 1024

#: Types of parts, and the member of each that has the text.
TEXT, REFUSAL, SUMMARY = "output_text", "refusal", "summary_text"

#: Types of items.
MESSAGE, REASONING, CALL = "message", "reasoning", "function_call"

#: Begins of the IDs of items, by type.
_PREFIXES = {MESSAGE: "msg", REASONING: "rs", CALL: "fc"}

IN_PROGRESS, COMPLETED, INCOMPLETE = "in_progress", "completed", "incomplete"


class SharedText:
    """
    The bytes of a text that grows. Translators of one log share it.

    They are counted as long as they are kept, with an eighth of them for the room to grow.

    Args:
        account: Counts them; `None` for nobody.

    Attributes:
        data: UTF-8. Only `add` changes it.
    """

    __slots__ = ("_account", "_counted", "data")

    def __init__(self, account: ByteCount | None) -> None:
        self.data = bytearray()
        self._account = account
        # Bytes that are counted already: counting each piece would cost every token.
        self._counted = 0

    def add(self, piece: bytes) -> None:
        """Add a piece."""
        self.data += piece
        size = len(self.data)
        if size > self._counted and self._account is not None:
            room = size + max(_ROOM, size >> 3)
            self._account.used += room - self._counted
            self._counted = room

    def __del__(self) -> None:
        """Count the bytes no longer."""
        if self._account is not None:
            self._account.used -= self._counted


class GrowingText:
    """
    A text to which pieces are added.

    Translators of one log add the same pieces, each up to its own place, so they share the bytes.

    Args:
        shared: UTF-8; may go on after this text.
        size: Bytes of it that are this text.
    """

    __slots__ = ("_shared", "_size")

    def __init__(self, shared: SharedText, size: int = 0) -> None:
        self._shared = shared
        self._size = size

    def fork(self) -> GrowingText:
        """Return a text that is the same now."""
        return GrowingText(self._shared, self._size)

    def add(self, text: bytes) -> None:
        """Add a piece, UTF-8."""
        size, shared = self._size + len(text), self._shared
        known = len(shared.data)
        if size > known:
            # Another translator may have got further, even into the middle of a text that this one skips.
            shared.add(text[known - self._size :])
        self._size = size

    def read(self) -> str:
        """Return the text."""
        return self._shared.data[: self._size].decode("utf-8")


class OutputPart:
    """
    A part of an item.

    Args:
        type: Its type.
        text: Its text.

    Attributes:
        annotations: Citations in its text.
    """

    __slots__ = ("annotations", "text", "type")

    def __init__(self, type: str, text: GrowingText) -> None:
        self.type = type
        self.text = text
        self.annotations: list[dict[str, Any]] = []

    def fork(self) -> OutputPart:
        """Return a part that is the same now."""
        part = OutputPart(self.type, self.text.fork())
        part.annotations = self.annotations.copy()
        return part

    def describe(self, text: str | None = None) -> dict[str, Any]:
        """
        Return the part as it is in an item.

        Args:
            text: Text to show instead of its own.
        """
        shown = self.text.read() if text is None else text
        if self.type == REFUSAL:
            return {"type": REFUSAL, "refusal": shown}
        if self.type == SUMMARY:
            return {"type": SUMMARY, "text": shown}
        return {"type": TEXT, "text": shown, "annotations": self.annotations.copy(), "logprobs": []}


class OutputItem:
    """
    An item of the output.

    Args:
        type: Its type.
        id: Its ID.
        index: Its index in the output.

    Attributes:
        callID: ID of a function call.
        name: Name of the function that is called.
        parts: Its parts; a function call has one, its arguments.
        status: Its status.
    """

    __slots__ = ("callID", "id", "index", "name", "parts", "status", "type")

    def __init__(self, type: str, id: str, index: int) -> None:
        self.type = type
        self.id = id
        self.index = index
        self.callID = self.name = ""
        self.parts: list[OutputPart] = []
        self.status = IN_PROGRESS

    def fork(self) -> OutputItem:
        """Return an item that is the same now. One that is finished does not change."""
        if self.status != IN_PROGRESS:
            return self
        item = OutputItem(self.type, self.id, self.index)
        item.callID, item.name = self.callID, self.name
        item.parts = [part.fork() for part in self.parts]
        return item

    def describe(self) -> dict[str, Any]:
        """Return the item as it is in a response."""
        if self.type == CALL:
            return {
                "id": self.id,
                "type": CALL,
                "status": self.status,
                "arguments": self.parts[0].text.read(),
                "call_id": self.callID,
                "name": self.name,
            }
        parts = [part.describe() for part in self.parts]
        if self.type == REASONING:
            return {"id": self.id, "type": REASONING, "summary": parts}
        return {"id": self.id, "type": MESSAGE, "status": self.status, "role": "assistant", "content": parts}


class Output:
    """
    The items of a response, in their order.

    Args:
        name: Name of the response: part of the IDs of its items.
        account: Counts the bytes of the texts; `None` for nobody.

    Attributes:
        items: The items.
    """

    __slots__ = ("_account", "_name", "_texts", "items")

    def __init__(self, name: str, account: ByteCount | None = None) -> None:
        self._name = name
        self._account = account
        self.items: list[OutputItem] = []
        # The bytes of the texts, by item and part.
        self._texts: dict[tuple[int, int], SharedText] = {}

    def fork(self) -> Output:
        """Return an output that is the same now."""
        output = Output(self._name, self._account)
        output.items = [item.fork() for item in self.items]
        output._texts = self._texts
        return output

    def addItem(self, type: str) -> OutputItem:
        """Add an item of a type, and return it."""
        index = len(self.items)
        item = OutputItem(type, f"{_PREFIXES[type]}_{self._name}_{index}", index)
        self.items.append(item)
        return item

    def addPart(self, item: OutputItem, type: str) -> OutputPart:
        """
        Add a part to an item.

        Args:
            item: One of the items.
            type: Type of the part.

        Returns:
            The part, whose text is empty.
        """
        place = (item.index, len(item.parts))
        shared = self._texts.get(place)
        if shared is None:
            shared = self._texts[place] = SharedText(self._account)
        part = OutputPart(type, GrowingText(shared))
        item.parts.append(part)
        return part

    def describe(self) -> list[dict[str, Any]]:
        """Return the items as they are in a response."""
        return [item.describe() for item in self.items]
