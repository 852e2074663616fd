"""
Tests for `sseserver.streams.ids`.
"""

from __future__ import annotations

import os
import string

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.streams import ids
from sseserver.streams.ids import makeEpoch, parseID
from tests.streams.logs import EPOCH

# Last event IDs that no server of ours ever sent.
MALFORMED = [
    "",
    "-",
    "5",
    EPOCH,
    f"{EPOCH}-",
    f"{EPOCH}-+1",
    f"{EPOCH}--1",
    f"{EPOCH}- 1",
    f"{EPOCH}-1 ",
    f" {EPOCH}-1",
    f"{EPOCH}-1\n",
    f"{EPOCH}-1\r\n",
    f"\n{EPOCH}-1",
    f"{EPOCH}-1\0",
    f"{EPOCH}-01",
    f"{EPOCH}-00",
    f"{EPOCH}-0x1",
    f"{EPOCH}-1_0",
    f"{EPOCH}-1.0",
    f"{EPOCH}-1e0",
    f"{EPOCH}-1-1",
    f"{EPOCH}-\u0661",  # ARABIC-INDIC DIGIT ONE
    f"{EPOCH}-\uff11",  # FULLWIDTH DIGIT ONE
    f"{EPOCH}-\u00b9",  # SUPERSCRIPT ONE
    f"{EPOCH}-1\u0660",
    f"{EPOCH[:-1]}-1",
    f"{EPOCH}0-1",
    f"{EPOCH[:-1]}\u00e9-1",
    f"{EPOCH[:-1]}_-1",
    f"{EPOCH[:-1]}--1",
    f"{EPOCH}-{10**19}",
    f"{EPOCH}-{'9' * 5000}",
    f"{EPOCH}-{'0' * 5000}1",
    "null",
    "undefined",
    "\ufeff",
]


class EpochTests(SynchronousTestCase):
    """Epochs are never the same."""

    def test_epochs(self) -> None:
        """
        Epochs are 22 letters and digits, never the same, and IDs made with
        them are ours.
        """
        epochs = {makeEpoch() for _ in range(2000)}
        self.assertEqual(len(epochs), 2000)
        self.assertEqual({len(epoch) for epoch in epochs}, {22})
        self.assertEqual(set("".join(epochs)), set(string.ascii_letters + string.digits))
        for epoch in epochs:
            self.assertEqual(parseID(f"{epoch}-7"), (epoch, 7))

    def test_epochIsTheWholeNumber(self) -> None:
        """
        All 128 random bits are in the epoch: it tells the smallest, the
        largest and any number apart.
        """
        made = []
        for number in (0, 1, 62, 2**127, 2**128 - 2, 2**128 - 1):
            self.patch(ids.secrets, "randbits", {128: number}.__getitem__)
            ids.stock.clear()
            epoch = makeEpoch()
            made.append(epoch)
            alphabet = string.ascii_letters + string.digits
            self.assertEqual(sum(alphabet.index(digit) * 62**place for place, digit in enumerate(epoch)), number)
        self.assertEqual(len(set(made)), len(made))
        ids.stock.clear()

    def test_epochsOfTwoProcesses(self) -> None:
        """
        A process that is forked gives no epoch that its parent gives too.
        """
        makeEpoch()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, makeEpoch().encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        theirs = os.read(reading, 100).decode()
        os.close(reading)
        os.close(writing)
        self.assertEqual(parseID(f"{theirs}-0"), (theirs, 0))
        self.assertNotIn(theirs, {makeEpoch() for _ in range(100)})


class ParseTests(SynchronousTestCase):
    """Event IDs as clients send them."""

    @given(st.text(st.sampled_from("09aZ-_ \n\u0661")) | st.from_regex(r"[0-9A-Za-z]{21,23}-[0-9]{1,21}"))
    def test_anyText(self, lastEventID: str) -> None:
        """
        Any text either is refused or is exactly the ID that its epoch and
        number make.
        """
        parsed = parseID(lastEventID)
        if parsed is not None:
            self.assertEqual("{}-{}".format(*parsed), lastEventID)
            self.assertEqual(len(parsed[0]), 22)
