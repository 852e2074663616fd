"""
Anthropic's Messages, without I/O.

The modules are `request` (the body of a request), `blocks` (the content of its messages), `conversion` (into the
messages of chat completions), `estimate` (of tokens), `translation` (an answer as events), `message` (an answer in one
piece) and `problems` (errors).

Reference: https://docs.anthropic.com/en/api/messages.
"""

from sseserver.protocols.messages.estimate import estimateTokens
from sseserver.protocols.messages.message import makeMessage
from sseserver.protocols.messages.problems import MessagesOverloaded, convertProblem, describeProblem, writeProblem
from sseserver.protocols.messages.request import MessagesBody, MessagesRequest, TokensBody, checkVersion, readMessages
from sseserver.protocols.messages.translation import PING, MessagesTranslator

__all__ = [
    "PING",
    "MessagesBody",
    "MessagesOverloaded",
    "MessagesRequest",
    "MessagesTranslator",
    "TokensBody",
    "checkVersion",
    "convertProblem",
    "describeProblem",
    "estimateTokens",
    "makeMessage",
    "readMessages",
    "writeProblem",
]
