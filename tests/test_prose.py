"""
Tests for the prose check (tests/prose.py): each rule finds a small bad input, and lets a good one pass.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.prose import countClauses, faultsIn, filesIn, main, passagesIn

#: A clean module, with each part that the rules look at.
GOOD = '''
"""Numbers of the house."""

#: Seconds. Pause between two tries.
PAUSE = 0.5

#: Version of the format.
VERSION = 2

#: Bytes. Two sizes with one comment.
SMALL = 1024
LARGE = 64 * 1024


def wait(pause: float) -> None:
    """
    Wait, so that others can go on.

    See `PAUSE`.
    """
    # Nothing to do: what follows is a statement.
    return None
'''

#: A clean page, with each part that the rules look at.
GOOD_PAGE = f"""
# A page

| name | meaning |
| --- | --- |
| [short](https://example.org/{"x" * 40}) | a cell with a `\\|` |

https://example.org/{"x" * 100}

[link]: https://example.org/{"x" * 100}

```
| {"x" * 90} |
```
"""


class ProseTests(SynchronousTestCase):
    """The rules, on small inputs."""

    def assertFaults(self, path: str, text: str, *found: tuple[int, str]) -> None:
        """Check for one fault for each pair of a line and the start of a text."""
        faults = faultsIn(path, text)
        expected = [(line, start) for line, start in found]
        starts = [(fault.line, fault.text[: len(start)]) for fault, (_, start) in zip(faults, found, strict=False)]
        self.assertEqual(starts, expected, faults)
        self.assertEqual(len(faults), len(found), faults)

    def test_good(self) -> None:
        """A clean module and a clean page pass, and files of other kinds are not looked at."""
        self.assertFaults("good.py", GOOD)
        self.assertFaults("good.md", GOOD_PAGE)
        self.assertFaults("good.js", "// What else\n")

    def test_clauseFirst(self) -> None:
        """A docstring or comment that begins with a clause is found, wherever it stands."""
        for word in ("What", "Who", "Whoever", "Whom", "Where", "So", "Those", "That"):
            self.assertFaults(
                "a.py", f'class A:\n    """\n    {word} it is.\n    """\n', (2, f"begins with a clause: {word}")
            )
        self.assertFaults(
            "a.py", '"""What a module."""\nasync def f():\n    """Who calls."""\n', (1, "begins"), (3, "begins")
        )
        self.assertFaults("a.py", "a = 1  # What it is.\n#: So many.\n# So it goes.\n", (1, "begins"), (2, "begins"))
        self.assertFaults(
            "a.pxd", "cdef class A:  # Where it is.\n    pass\n", (1, "begins with a clause: Where it is.")
        )
        self.assertFaults("a.py", '"""Whether it is. Thatched."""\n')

    def test_epytext(self) -> None:
        """Epytext in docstrings and comments is found; braces in code are not."""
        self.assertFaults(
            "a.py", '"""See L{this}."""\n# C{None}\na = f"URL{1}"\n', (1, "holds epytext"), (2, "holds epytext")
        )

    def test_unit(self) -> None:
        """The comment of a number with a dimension starts with its unit."""
        for bad in (
            "#: The seconds to wait.\nA = 1\n",
            "#: Pause.\nA = 0.1\n",
            "#: Pause.\n_A: float = -0.1\n",
            "# At most 3 KiB\n#: in all.\nMAX_A = 3 * 1024\n",
            "#: Largest part.\nPART_BYTES = 3\n",
        ):
            self.assertFaults("a.py", bad, (bad.count("\n"), "the comment of"))
        self.assertFaults("a.py", "class A:\n    # Twice a second.\n    B = 2.0\n", (3, "the comment of B"))
        self.assertFaults("a.py", "#: The bytes of it.\nA = b'x'\n#: The pause.\na = 0.1\n#: All seconds.\nB = f(1)\n")

    def test_longLine(self) -> None:
        """A line of a page over 100 characters is found, in a table and in code as well."""
        text = "x " * 50 + "x\n"
        self.assertFaults("a.md", text + "y\n" + text, (1, "has 101 characters"), (3, "has 101"))
        self.assertFaults(
            "a.md", f"```\n{text}```\n| {text.strip()} | y |\n", (2, "has 101"), (4, "has 109"), (4, "has a")
        )

    def test_wideCell(self) -> None:
        """A cell over 80 characters is found, measured without the targets of its links."""
        self.assertFaults("a.md", f"| a | {'x' * 81} |\n", (1, "has a table cell of 81"))
        self.assertFaults("a.md", f"| a | [{'x' * 78}](y) |\n")

    def test_clauseSentence(self) -> None:
        """A sentence of a page that begins with a clause is found, with its line; questions and code are not."""
        text = "# What it is\n\nA name. It\nis. What\nis here.\n* Who\n  asks?\n* Whoever.\n\n| What |\n| --- |\n"
        self.assertFaults(
            "a.md", text, (4, "begins with a clause: What is here."), (8, "begins"), (8, "has the word Whoever")
        )
        self.assertFaults("a.md", "```\nWhat a block.\n```\n`What` [it](What) is.\n")

    def test_banned(self) -> None:
        """A word that the vocabulary has not is found in the sentences of a page; the things of others are not."""
        text = "A helper.\n\nAll but\nfor one; the Subscribers of an engine.\n"
        words = ("helper", "Subscribers", "but for", "engine")
        self.assertFaults("a.md", text, *((1 if word == "helper" else 3, f"has the word {word}") for word in words))
        good = "The service manager. A container engine. `handler`, [a](helper.md), [b][manager]. <https://engine/>\n"
        self.assertFaults("a.md", good + "\n```\nsubscriber\n```\n\n[manager]: helper\n")

    def test_opening(self) -> None:
        """A page of docs/ opens with its reader; the index and pages elsewhere need not."""
        self.assertFaults("docs/a.md", "<!-- Written. -->\n\n# A\n\nFor all. See.\n")
        self.assertFaults("docs/guides/a.md", "# A\n\nThis.\n", (3, "does not open with the reader"))
        self.assertFaults("docs/index.md", "# A\n\nThis.\n")
        self.assertFaults("README.md", "# A\n\nThis.\n")

    def test_longGuide(self) -> None:
        """A guide of more than 80 lines is found; other pages may be longer."""
        self.assertFaults("docs/guides/a.md", "For all.\n" + "\n" * 79)
        self.assertFaults("docs/guides/a.md", "For all.\n" + "\n" * 80, (81, "has 81 lines"))
        self.assertFaults("docs/a.md", "For all.\n" + "\n" * 80)

    def test_countClauses(self) -> None:
        """Pronouns of clauses are counted in docstrings and comments, beside all words."""
        passages = passagesIn('"""Tell who\'s there, and what."""\nwhat = "who"  # for whom, whatever\n')
        self.assertEqual(countClauses(passages), (2, 8))

    def test_main(self) -> None:
        """The program prints each fault with its place, and tells by its exit status whether there were any."""
        folder = Path(self.mktemp()).resolve()
        (folder / "_build").mkdir(parents=True)
        (folder / "_build" / "bad.py").write_text("# What\n")
        (folder / "bad.py").write_text("# What\n")
        self.assertEqual(list(filesIn([folder])), [folder / "bad.py"])
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.assertEqual(main([str(folder)]), 1)
        self.assertEqual(output.getvalue(), f"{folder / 'bad.py'}:1 begins with a clause: What\n")
        (folder / "bad.py").write_text("# A name\n")
        self.assertEqual(main([str(folder / "bad.py")]), 0)
