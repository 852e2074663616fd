"""
Tests for `sseserver.options.types`: the conversion of options' values.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import optionNamed
from sseserver.wire import MAX_RECONNECTION_TIME


class ValueTests(SynchronousTestCase):
    """Conversion of each option's value."""

    def test_good(self) -> None:
        """Valid text converts to a value of the right type."""
        table: list[tuple[str, str, Any]] = [
            ("interval", "0", 0.0),
            ("interval", "0.5", 0.5),
            ("interval", "1e-3", 0.001),
            ("interval", "3600", 3600.0),
            ("heartbeat", "0.1", 0.1),
            ("heartbeat", "15", 15.0),
            ("linger", "0", 0.0),
            ("linger", "86400", 86400.0),
            ("retry", "1", 1),
            ("retry", "3000", 3000),
            ("max-viewers", "1", 1),
            ("max-viewers", "100000", 100_000),
            ("max-runs", "1", 1),
            ("max-waiting", "5000", 5000),
            ("retry-interrupted", "0", 0),
            ("retry-interrupted", "00", 0),
            ("retry-interrupted", "12", 12),
            ("window", "65536", 65536),
            ("window", "64K", 65536),
            ("window", "64k", 65536),
            ("max-bytes", "2M", 2 << 20),
            ("max-bytes", "1G", 1 << 30),
            ("model", "tom", "tom"),
            ("store", "memory", None),
            ("sync", "full", "full"),
            ("store", "sqlite:a:b", "a:b"),
        ]
        for name, text, value in table:
            converted = optionNamed(name).type.read(text)
            self.assertEqual((type(converted), converted), (type(value), value), (name, text))

    def test_bad(self) -> None:
        """Invalid text is a `ValueError` with a message of one line that quotes the text, unless that may be secret."""
        table = [
            ("interval", ("-1", "-0.001", "nan", "inf", "-inf", "1e999", "soon", "", "1s", "0,5", "0x1")),
            ("heartbeat", ("0", "-1", "nan", "inf", "often", "", "0.0", "-0")),
            ("linger", ("-1", "nan", "inf", "for ever", "")),
            ("retry", ("0", "-1", "1.5", "1_000", "+1", " 1", "nan", "", "٣", "3s", "1e3")),
            ("max-viewers", ("0", "-1", "1.5", "many", "", "٣", "²", "1_000")),
            ("max-runs", ("0", "-1", "1.5", "many", "")),
            ("max-waiting", ("0", "-1", "1.5", "many", "")),
            ("retry-interrupted", ("-1", "1.5", "many", "", "٣", "²", "1_000", "1000000001")),
            ("window", ("0", "-1", "1.5", "K", "", "1T", "9223372036854775808", "8589934592G")),
            ("exec", ("", " ", "'", 'cat "a', "cat \\", "'' a")),
            ("sync", ("", "Full", "off")),
            ("store", ("", "sqlite", "sqlite:", "redis:6379", "memory:", "Memory")),
        ]
        for name, texts in table:
            for text in texts:
                with self.assertRaises(ValueError, msg=(name, text)) as caught:
                    optionNamed(name).type.read(text)
                message = str(caught.exception)
                self.assertTrue(text in message or name == "exec", message)
                self.assertNotIn("\n", message)
                self.assertNotEqual(message, "")

    def test_saysWhatIsValid(self) -> None:
        """The message says what would be valid."""
        for name, text, expected in (
            ("interval", "soon", "not a number"),
            ("interval", "-1", "at least 0"),
            ("heartbeat", "0", "more than 0"),
            ("max-viewers", "0", "1 or more"),
            ("window", "big", "64K"),
            ("store", "redis", "sqlite:PATH"),
        ):
            message = str(self.assertRaises(ValueError, optionNamed(name).type.read, text))
            self.assertIn(expected, message)

    def test_longestReconnectionTime(self) -> None:
        """A reconnection time is refused if a third more than it overflows the timer of a browser."""
        read = optionNamed("retry").type.read
        longest = MAX_RECONNECTION_TIME * 3 // 4
        self.assertEqual(read(str(longest)), longest)
        self.assertRaises(ValueError, read, str(longest + 1))
        self.assertLess(len(str(self.assertRaises(ValueError, read, "9" * 5000))), 200)

    def test_largest(self) -> None:
        """Each number has a largest value, up to which it is exact; the message about a larger one says so, briefly."""
        for name, largest, larger in (
            ("max-viewers", "1000000000", ("1000000001", "9" * 30, "9" * 5000)),
            ("stall", "1e9", ("1000000000.1", "1e10", "1e300", "9" * 5000)),
            ("keep", "1000000000", ("1e10", "1e300")),
            ("window", "1048576G", ("1048577G", "9" * 30, "9" * 5000 + "K")),
        ):
            read = optionNamed(name).type.read
            self.assertTrue(read(largest) > read("1"), name)
            for text in larger:
                message = str(self.assertRaises(ValueError, read, text))
                self.assertRegex(message, rf"be at most {10**9}$|maximum is ({10**9}|{largest} bytes)$|not a finite")
                self.assertLess(len(message), 120)
        self.assertEqual(optionNamed("max-runs").type.read("0" * 5000 + "7"), 7)

    def test_quoting(self) -> None:
        """A command is split with the quoting rules of a shell; nothing is expanded or redirected."""
        for text, parts in (
            ("cat", ["cat"]),
            ("  echo  a   b ", ["echo", "a", "b"]),
            ("""sh -c 'echo "$1"' sh "a b" '' c\\ d""", ["sh", "-c", 'echo "$1"', "sh", "a b", "", "c d"]),
            ("echo $HOME * `id` > x | y # z", ["echo", "$HOME", "*", "`id`", ">", "x", "|", "y", "#", "z"]),
            ("say --words={prompt} '{prompt}'", ["say", "--words={prompt}", "{prompt}"]),
        ):
            self.assertEqual(optionNamed("exec").type.read(text), parts)
