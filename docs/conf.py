"""
Settings of Sphinx, which makes a site of the pages in this folder: `tox -e docs`.

The pages are Markdown and read well on a code host, too. The reference of the Python names comes from their docstrings.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

project = "sseserver"
author = "the authors of sseserver"
html_title = "sseserver"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "names", "zopeinterface"]
# The pages of examples are beside them, for readers of the code.
exclude_patterns = ["_build", "_extensions", "examples"]
# Links to headings, as on a code host: `page.md#a-heading`.
myst_heading_anchors = 3
myst_links_external_new_tab = False

default_role = "name"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False


def checkOutside(app: Sphinx, page: str, source: list[str]) -> None:
    """
    Replace links to pages outside this folder, which work on a code host only, by their text and path.

    Links to other files, such as programs, stay: Sphinx offers them for download. Broken links are warnings.
    """
    place = (HERE / page).parent

    def replace(link: re.Match[str]) -> str:
        text, path = link.groups()
        target = (place / path.partition("#")[0]).resolve()
        if not target.exists():
            logging.getLogger(__name__).warning("broken link to %s", path, location=page)
        return link[0] if target.is_relative_to(HERE) else f"{text} (`{target.relative_to(HERE.parent)}`)"

    # Links of the form `[text][label]` first become `[text](path)`.
    paths = dict(re.findall(r"^\[(\w+)\]: (\.\./\S+\.md)$", source[0], re.MULTILINE))
    for label, path in paths.items():
        source[0] = source[0].replace(f"][{label}]", f"]({path})")
    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)]+\.md(?:#[^)]*)?)\)", replace, source[0])


def setup(app: Sphinx) -> None:
    """Register the check of links to pages outside this folder."""
    app.connect("source-read", checkOutside)
