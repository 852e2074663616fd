"""
The UI messages of the Vercel AI SDK, without I/O.

The modules are `request` (of a chat) and `message` (the parts of a UI message stream, version 1).

Reference: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol.
"""

from sseserver.protocols.uimessages.message import DONE, HEADER, MessageWriter, writePart, writeProblem
from sseserver.protocols.uimessages.request import CHAT_ID, ChatBody, ChatRequest, checkChatID, readChat

__all__ = [
    "CHAT_ID",
    "DONE",
    "HEADER",
    "ChatBody",
    "ChatRequest",
    "MessageWriter",
    "checkChatID",
    "readChat",
    "writePart",
    "writeProblem",
]
