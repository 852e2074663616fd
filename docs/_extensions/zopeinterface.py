"""
A directive that documents a `zope.interface` from its source: `.. autointerface:: package.module.IName`.

Sphinx's own `autoclass` takes classes only, and an interface is not a class. The directive reads the docstrings and the
annotated signatures from the syntax tree, and leaves the Google sections to napoleon.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from docutils.nodes import Node
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

#: Characters. Indentation of the content of a directive.
INDENT = 3


class AutoInterface(SphinxDirective):
    """One interface with its attributes and methods."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Return the nodes of the interface."""
        package, _, name = self.arguments[0].rpartition(".")
        # The package may import the interface from the module that defines it.
        module = importlib.import_module(getattr(importlib.import_module(package), name).__module__)
        source = inspect.getsourcefile(module) or ""
        self.env.note_dependency(source)
        lines = StringList(list(self._interface(Path(source).read_text("utf-8"), package, name)), source=source)
        return nested_parse_to_nodes(self.state, lines, offset=self.content_offset)

    def _interface(self, code: str, package: str, name: str) -> Iterator[str]:
        """Write the interface as reStructuredText."""
        tree = ast.parse(code)
        [node] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
        yield from [f".. py:class:: {name}", f"   :canonical: {package}.{name}", ""]
        yield from self._docstring(node, INDENT)
        for member in node.body:
            if isinstance(member, ast.FunctionDef):
                result = f" -> {ast.unparse(member.returns)}" if member.returns else ""
                yield f"   .. py:method:: {member.name}({ast.unparse(member.args)}){result}"
                yield ""
                yield from self._docstring(member, 2 * INDENT)
            elif isinstance(member, ast.Assign | ast.AnnAssign):
                yield from self._attribute(member)

    def _attribute(self, node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
        """Write an `Attribute("...")`."""
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        yield from [f"   .. py:attribute:: {ast.unparse(target)}", ""]
        if isinstance(node.value, ast.Call) and node.value.args:
            yield from self._indented(inspect.cleandoc(ast.literal_eval(node.value.args[0])), 2 * INDENT)

    def _docstring(self, node: ast.ClassDef | ast.FunctionDef, indent: int) -> Iterator[str]:
        """Write a docstring, its Google sections turned into fields."""
        yield from self._indented(str(GoogleDocstring(ast.get_docstring(node) or "", self.config)), indent)

    def _indented(self, text: str, indent: int) -> Iterator[str]:
        """Indent the lines of a text, and end them with an empty one."""
        yield from (" " * indent + line if line else "" for line in text.split("\n"))
        yield ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("autointerface", AutoInterface)
    return {"parallel_read_safe": True}
