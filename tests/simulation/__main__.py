"""
`python -m tests.simulation SEED`: replay seeds. See `runner`.
"""

from tests.simulation.runner import main

main()
