"""
The program of one of the processes of `twistd sseserver --workers`: `program` starts it, `making` makes its server.
"""

from sseserver.worker.program import main

__all__ = ["main"]
