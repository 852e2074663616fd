"""
The programs in docs/ that write pages.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

from tests.house import ROOT


@cache
def loadGenerator(name: str) -> Any:
    """Return a program of docs/ as a module, by its name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
