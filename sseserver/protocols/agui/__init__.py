"""
AG-UI, the protocol between agents and user interfaces, without I/O.

The modules are `request` (`RunAgentInput`), `ids` (of events) and `run` (its events).

Reference: https://docs.ag-ui.com/concepts/events.
"""

from sseserver.protocols.agui.ids import parseEventID
from sseserver.protocols.agui.request import AgentInput, RunRequest, checkRunID, readAgentInput
from sseserver.protocols.agui.run import IDs, RunNames, RunWriter, packNames, readNames, writeProblem

__all__ = [
    "AgentInput",
    "IDs",
    "RunNames",
    "RunRequest",
    "RunWriter",
    "checkRunID",
    "packNames",
    "parseEventID",
    "readAgentInput",
    "readNames",
    "writeProblem",
]
