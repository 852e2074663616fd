"""
Tells which build of the package this is: compiled or pure Python. `sseserver.compiled` is defined here.
"""

from __future__ import annotations

from sseserver.streams import log

#: Whether the modules that every token passes are compiled; either all of them are, or none (setup.py).
compiled = not log.__file__.endswith((".py", ".pyc"))
