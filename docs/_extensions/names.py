"""
Names in the generated reference: the default role of the docstrings, and interfaces and built-ins in signatures.

A name in single back-quotes is code, and a link where it names a class or a member of one. Lower-case words (`type`,
`id`) are code only, since several classes have members of such names.
"""

from __future__ import annotations

import builtins
import re

from docutils.nodes import Node, Text, document, literal, system_message
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole

#: Names that can be links: a class, a member of a class, a module of the package.
_LINKED = re.compile(r"[A-Z]\w*[a-z]\w*(\.\w+)*|sseserver[\w.]*")

#: The form in which an interface stands in a signature that autodoc made.
_INTERFACE = re.compile(r"<InterfaceClass [\w.]*?(\w+)>")


class NameRole(PyXRefRole):
    """A Python name, or any other piece of code."""

    def run(self) -> tuple[list[Node], list[system_message]]:
        """Return a reference to a Python object, or plain code."""
        if not _LINKED.fullmatch(self.text):
            return [literal(self.rawtext, self.text)], []
        # The base class reads domain and type from the name of the role.
        self.name = "py:obj"
        return super().run()


def nameInterfaces(
    app: Sphinx, kind: str, name: str, value: object, options: object, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write interfaces in a signature by their names."""
    return arguments and _INTERFACE.sub(r"\1", arguments), returns and _INTERFACE.sub(r"\1", returns)


def unlinkBuiltins(app: Sphinx, page: document) -> None:
    """Turn references to built-ins (`type`, `int`) into text; Sphinx would link them to members of the same name."""
    for node in list(page.findall(pending_xref)):
        if node.get("refdomain") == "py" and hasattr(builtins, node["reftarget"]):
            node.replace_self(Text(node["reftarget"]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the role and the two filters."""
    app.add_role("name", NameRole())
    app.connect("autodoc-process-signature", nameInterfaces)
    app.connect("doctree-read", unlinkBuiltins)
    return {"parallel_read_safe": True}
