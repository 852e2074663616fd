"""
Tests for `sseserver.options.tomltext`: the values of options in a file.
"""

from __future__ import annotations

import tomllib

from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import OPTIONS, optionNamed
from sseserver.options.row import Option
from sseserver.options.tomltext import describeForm, readValue, writeValue
from sseserver.options.types import FLAG, Form

#: Texts that need escapes in TOML.
TEXTS = ("a", 'say "a"', "a\\b", "a\nb\tc\x01\x7f", "ä 📖 \u2028", "\u202e\x9b\U000e0001", "")


class ValueTests(SynchronousTestCase):
    """`readValue` and `writeValue`."""

    def again(self, option: Option, *texts: str) -> tuple[str, ...]:
        """Write the texts of an option into a file, and read them again."""
        return readValue(option, tomllib.loads(writeValue(option, texts))[option.name])

    def test_again(self) -> None:
        """Each default, and any text, is the same after it was written and read."""
        for option in OPTIONS:
            if option.type is FLAG:
                self.assertEqual([self.again(option, text) for text in ("true", "false")], [("true",), ("false",)])
            elif option.default is not None:
                text = option.type.write(option.default)
                (read,) = self.again(option, text)
                self.assertEqual(option.type.read(read), option.default, option.name)
        for text in TEXTS:
            self.assertEqual(self.again(optionNamed("prompt"), text), (text,))
            self.assertTrue(writeValue(optionNamed("prompt"), (text,)).isprintable(), text)
        self.assertEqual(self.again(optionNamed("host"), *TEXTS), TEXTS)
        self.assertEqual(self.again(optionNamed("host")), ())

    def test_numbers(self) -> None:
        """Numbers that only the command line takes become numbers of TOML."""
        for name, text, line in (
            ("linger", ".5", "linger = 0.5"),
            ("linger", "1e3", "linger = 1000"),
            ("linger", "1e-7", "linger = 1e-07"),
            ("linger", "60", "linger = 60"),
            ("retry", "003000", "retry = 3000"),
            ("window", "64k", 'window = "64k"'),
            ("window", "0065536", "window = 65536"),
        ):
            option = optionNamed(name)
            self.assertEqual(writeValue(option, (text,)), line)
            self.assertEqual(option.type.read(self.again(option, text)[0]), option.type.read(text))

    def test_NUL(self) -> None:
        """A text with a NUL character, which no path and no argument can have, is refused."""
        for option in OPTIONS:
            if option.type.form is Form.TEXT:
                value = ["a", "b\0"] if option.repeatable else "b\0"
                message = str(self.assertRaises(ValueError, readValue, option, value))
                self.assertEqual(message, "the value has a NUL character")

    def test_forms(self) -> None:
        """A value of another form than the option is refused, with the form that it should have."""
        good = {
            Form.FLAG: (True, False),
            Form.NUMBER: (1, 0.5, -1),
            Form.SIZE: (1, "1M"),
            Form.TEXT: ("a", ""),
            Form.WHOLE: (1, -1),
        }
        values = (True, 1, 0.5, "a", [], ["a"], {}, tomllib.loads("a = 2026-11-30")["a"])
        for option in OPTIONS:
            if option.repeatable:
                self.assertEqual(readValue(option, ["a", "b"]), ("a", "b"))
                self.assertEqual(readValue(option, "a"), ("a",))
                for value in (1, {}, [1], [["a"]]):
                    message = str(self.assertRaises(ValueError, readValue, option, value))
                    self.assertEqual(message, f'the value must be an array: {option.name} = ["…", "…"]')
                continue
            for value in good[option.type.form]:
                self.assertEqual(len(readValue(option, value)), 1)
            for value in values:
                # `True` is an `int`, but not a number here.
                if type(value) not in {type(each) for each in good[option.type.form]}:
                    message = str(self.assertRaises(ValueError, readValue, option, value))
                    self.assertEqual(message, f"the value must be {describeForm(option)}", (option.name, value))
