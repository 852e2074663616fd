"""
Mechanical part of the house style for prose: docstrings, comments, and pages of the documentation.

The lint environment of tox runs this file over the whole tree. To check single files or folders while writing:

    python tests/prose.py sseserver/streams docs/stores.md

Only the standard library is needed. tests/test_prose.py holds a small bad input for each rule. A reader judges the
rest: whether a sentence names its subject, and says one thing.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

#: The files and folders of the tree that hold prose.
PLACES = (
    "sseserver",
    "tests",
    "benchmarks",
    "docs",
    "twisted",
    "setup.py",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
)

#: Pages written by a program.
GENERATED = ("benchmarks/results.md",)

#: Folders with files that belong to tools.
SKIPPED = {"__pycache__", "_build"}

#: Characters. Longest line of a page.
LINE = 100

#: Characters. Widest cell of a table in a page, without the targets of its links.
CELL = 80

#: Lines. Longest page about one task (docs/guides).
GUIDE = 80

#: Share. Largest number of pronouns of clauses ("what", "who") in 1,000 words of docstrings and comments.
CLAUSES = 2.0

#: First words that describe a thing by a clause instead of naming it.
_CLAUSE_FIRST = re.compile(r"(What|Who|Whoever|Whom|Where|So many|So much|Those|That)\b")
_SO_FIRST = re.compile(r"So\b")
_CLAUSE_WORDS = {"what", "who", "whoever", "whom"}
_EPYTEXT = re.compile(r"\b[BCILU]\{")

#: First words of a numeric constant's comment. Counts name what they count.
_UNITS = re.compile(
    r"(Seconds|Milliseconds|Microseconds|Bytes|Characters|Entries|Events|Tokens|Words|Lines|Rows|Calls|Turns|Connections"
    r"|Streams|Viewers|Requests|Responses|Redirects|Groups|Pages|Rounds|Epochs|Objects|Levels|Kills|Share|Factor|Number"
    r"|Exit status)\b"
)
_NEEDS_UNIT = re.compile(r"\b(milli|micro)?seconds?\b|\bms\b|\bbytes?\b|\bcharacters?\b|\b[KM]i?B\b", re.IGNORECASE)
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
_LINK_TARGET = re.compile(r"\]\([^)]*\)")

#: First words of a sentence of a page that describe a thing by a clause. A question may begin so.
_CLAUSE_SENTENCE = re.compile(r"(What|Who|Whoever|Whom|So many|So much)\b(?!.*\?$)", re.DOTALL)

#: Words with which a page would describe a thing instead of naming it, or that name our things by other words. Managers
#: of services and engines of containers are the things of others.
_BANNED = re.compile(
    r"\b(whoever|but for|handlers?|helpers?|utils?|dialects?|subscribers?"
    r"|(?<!service )managers?|(?<!container )engines?)\b",
    re.IGNORECASE,
)

#: Parts of a page that are no sentences: code, and the targets of links.
_NO_WORDS = re.compile(r"`[^`]*`|(?<=\])(\([^)]*\)|\[\w+\])|<https?:[^>]*>")

#: End of a sentence, or of its first part.
_END = re.compile(r"(?<=[.!?:])\s+")

#: Begins a paragraph: an item of a list.
_ITEM = re.compile(r" *([*-]|[0-9]+\.) +")
_WORD = re.compile(r"[A-Za-z']+")


class Fault(NamedTuple):
    """One breach of a rule, printed as `path:line text`."""

    path: str
    line: int
    text: str


class Passage(NamedTuple):
    """A docstring, or one line of a comment."""

    line: int
    text: str
    isDocstring: bool


def faultsIn(path: str, text: str) -> list[Fault]:
    """
    Check one file by its suffix.

    Args:
        path: Its name, for the report; only the suffix counts.
        text: Its content.

    Returns:
        The breaches, in order of their lines; files other than Python and Markdown have none.
    """
    rules = {
        ".py": _faultsInSource,
        ".tac": _faultsInSource,
        ".pxd": _faultsInComments,
        ".md": partial(_faultsInPage, Path(path)),
    }
    check = rules.get(Path(path).suffix)
    return sorted(Fault(path, line, what) for line, what in check(text)) if check else []


@cache
def passagesIn(text: str) -> list[Passage]:
    """Return the docstrings and comments of a Python module."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        Passage(node.body[0].lineno, docstring, True)
        for node in _statementsIn(_parse(text))
        if isinstance(node, documented) and (docstring := ast.get_docstring(node))
    ]
    comments = [
        Passage(token.start[0], token.string.lstrip("#: "), False)
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    return docstrings + comments


@lru_cache(maxsize=1)
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _statementsIn(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a module and its statements, the inner ones included, but no expressions, which are most of a tree."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _statementsIn(child)


def countClauses(passages: Iterable[Passage]) -> tuple[int, int]:
    """Return the number of clause pronouns in some passages, and the number of all words."""
    words = [word.lower() for passage in passages for word in _WORD.findall(passage.text)]
    return sum(word in _CLAUSE_WORDS for word in words), len(words)


def _faultsInSource(text: str) -> Iterator[tuple[int, str]]:
    """Check a Python module."""
    for passage in passagesIn(text):
        yield from _faultsInPassage(passage)
    yield from _unitlessConstants(text)


def _faultsInComments(text: str) -> Iterator[tuple[int, str]]:
    """Check the comments of a `.pxd` file."""
    for number, line in enumerate(text.split("\n"), 1):
        _, mark, comment = line.partition("#")
        if mark:
            yield from _faultsInPassage(Passage(number, comment.lstrip("#: "), False))


def _faultsInPassage(passage: Passage) -> Iterator[tuple[int, str]]:
    """Check the first words and the markup of one passage."""
    if _CLAUSE_FIRST.match(passage.text) or (passage.isDocstring and _SO_FIRST.match(passage.text)):
        yield passage.line, f"begins with a clause: {passage.text.splitlines()[0]}"
    if _EPYTEXT.search(passage.text):
        yield passage.line, "holds epytext; write names in single back-quotes"


def _unitlessConstants(text: str) -> Iterator[tuple[int, str]]:
    """Find numeric constants that have a dimension, but no unit at the start of their comment."""
    lines = text.split("\n")
    for name, value, line in _numericConstants(_parse(text)):
        comment = _commentAbove(lines, line)
        if (
            comment
            and not _UNITS.match(comment)
            and (_isFloat(value) or _NEEDS_UNIT.search(f"{name} {comment}".replace("_", " ")))
        ):
            yield line, f"the comment of {name} starts without a unit: {comment}"


def _numericConstants(tree: ast.Module) -> Iterator[tuple[str, ast.expr, int]]:
    """Find constants that are numbers, or computed from literal numbers."""
    for node in _statementsIn(tree):
        if not isinstance(node, ast.Module | ast.ClassDef):
            continue
        for statement in node.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
                name = ast.unparse(target)
                if _CONSTANT.fullmatch(name) and _isNumber(statement.value):
                    yield name, statement.value, statement.lineno


def _isNumber(value: ast.expr) -> bool:
    """Tell whether an expression is made of literal numbers only."""
    parts = [
        node for node in ast.walk(value) if not isinstance(node, ast.operator | ast.unaryop | ast.BinOp | ast.UnaryOp)
    ]
    return all(isinstance(part, ast.Constant) and type(part.value) in {int, float} for part in parts)


def _isFloat(value: ast.expr) -> bool:
    """Tell whether a float is part of an expression."""
    return any(isinstance(part, ast.Constant) and isinstance(part.value, float) for part in ast.walk(value))


def _commentAbove(lines: list[str], line: int) -> str:
    """Return the comment directly above a line (numbered from 1), joined; empty without one."""
    comment: list[str] = []
    for text in reversed(lines[: line - 1]):
        if not text.lstrip().startswith("#"):
            break
        comment.insert(0, text.strip().lstrip("#: "))
    return " ".join(comment)


def sentencesIn(text: str) -> Iterator[tuple[int, str]]:
    """
    Yield the sentences of a page, each with the number of its line.

    Code, tables, headings and comments have none. A part that ends with a colon counts as a sentence.
    """
    paragraph: list[tuple[int, str]] = []
    inCode = False
    for number, line in enumerate([*text.split("\n"), ""], 1):
        inCode ^= line.lstrip().startswith(("```", "~~~"))
        isText = not inCode and line.strip() and not re.match(r" *(```|~~~|[|#>]|<!--|\[\w+\]: |!\[)", line)
        if paragraph and (not isText or _ITEM.match(line)):
            yield from _split(paragraph)
            paragraph = []
        if isText:
            paragraph.append((number, _ITEM.sub("", line, count=1).strip()))


def _split(paragraph: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the sentences of a paragraph, which is made of lines with their numbers."""
    starts = list(accumulate((len(line) + 1 for _, line in paragraph), initial=0))
    text = " ".join(line for _, line in paragraph)
    text = _NO_WORDS.sub(lambda found: "x" * len(found[0]), text)
    place = 0
    for sentence in _END.split(text):
        place = text.index(sentence, place)
        yield paragraph[bisect_right(starts, place) - 1][0], sentence.strip("*_ ")
        place += len(sentence)


def _faultsInPage(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Check a page of the documentation."""
    yield from _wideLines(text)
    sentences = list(sentencesIn(text))
    for number, sentence in sentences:
        if _CLAUSE_SENTENCE.match(sentence):
            yield number, f"begins with a clause: {sentence}"
        for found in _BANNED.finditer(sentence):
            yield number, f"has the word {found[0]}: {sentence}"
    if "docs" in path.parts and path.name != "index.md" and sentences and not sentences[0][1].startswith("For "):
        yield sentences[0][0], "does not open with the reader that the page is for"
    lines = text.count("\n")
    if path.parent.name == "guides" and lines > GUIDE:
        yield lines, f"has {lines} lines, more than {GUIDE}: a page is about one task"


def _wideLines(text: str) -> Iterator[tuple[int, str]]:
    """Find the lines and the cells of tables of a page that are too long."""
    inCode = False
    for number, line in enumerate(text.split("\n"), 1):
        inCode ^= line.lstrip().startswith(("```", "~~~"))
        # An address cannot be broken.
        if len(line) > LINE and " " in line.strip() and not re.match(r"\[[^\]]+\]: ", line):
            yield number, f"has {len(line)} characters, more than {LINE}"
        if line.startswith("|") and not inCode:
            widest = max(len(cell.strip()) for cell in re.split(r"(?<!\\)\|", _LINK_TARGET.sub("]", line)))
            if widest > CELL:
                yield number, f"has a table cell of {widest} characters, more than {CELL}"


def filesIn(places: Iterable[Path]) -> Iterator[Path]:
    """Find the files to check in some folders; files are taken as they are."""
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not SKIPPED & set(path.parts) and not path.as_posix().endswith(GENERATED):
                yield path


def main(arguments: list[str]) -> int:
    """Check the tree, or the files and folders named by the arguments, and return the exit status."""
    files = list(filesIn(map(Path, arguments) if arguments else [ROOT / place for place in PLACES]))
    texts = {path: path.read_text("utf-8") for path in files if path.suffix in {".py", ".tac", ".pxd", ".md"}}
    faults = [fault for path, text in texts.items() for fault in faultsIn(str(path), text)]
    for fault in faults:
        sys.stdout.write(f"{fault.path}:{fault.line} {fault.text}\n")
    package = ROOT / "sseserver"
    clauses = {path: countClauses(passagesIn(text)) for path, text in texts.items() if path.suffix == ".py"}
    clauses = {path: count for path, count in clauses.items() if package in path.resolve().parents}
    share = 1000 * sum(found for found, _ in clauses.values()) / max(sum(words for _, words in clauses.values()), 1)
    if share > CLAUSES:
        sys.stdout.write(f"what, who, whom: {share:.1f} in 1,000 words, more than {CLAUSES}; most of them in\n")
        for path, (found, words) in sorted(clauses.items(), key=lambda item: -item[1][0])[:10]:
            sys.stdout.write(f"    {path}: {found} in {words} words\n")
    return 1 if faults or share > CLAUSES else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
