"""
Seeds that once found a fault of the server, or of its oracle. They run in every test run, beside the others.
"""

from __future__ import annotations

#: The fault that each seed found.
NAMED: dict[int, str] = {
    313: "Streams that were being deleted made pages of the list of streams short, which ended the list.",
    61: "Runs of standard input were woken in the order of their addresses.",
    16526: "A ticker whose last tick was cancelled at the end of a turn, and that got a new one there, ran twice.",
    16986: "A viewer whose transport held the end of its stream was told to return later when the server stopped.",
    23: "A prompt between 64 KiB and 1 MiB was sent to an upstream as no bytes, which no transport takes.",
    5: "A publish that the direct way could not do was counted twice, and refused for the rate of its client.",
    20092: "The oracle let a client that is refused start a run after all runs should have ended.",
    20208: "A PUT with entries was answered 404, because its stream was deleted between its opening and its publish.",
    18117: "The oracle blamed a server whose only turn was taken by a run that lingered: its queue outlasted a client.",
    18434: "The same, with another queue.",
    20905: "The oracle took the 429 of an upstream for that of a limit.",
    20282: "The same as 18117, with a client whose turn came shortly before the end of the oracle's patience.",
    100647: "A waiting run whose end ended a working run had its turn before it was taken out of the queue.",
    110434: "The oracle took an answer that had overtaken another one for a counter that falls.",
    320: "A connection with TLS that was lost just before the second signal stopped the cut of all other ones.",
}
