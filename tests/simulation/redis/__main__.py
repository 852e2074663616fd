"""
`python -m tests.simulation.redis SEED`: replay seeds. See `tests.simulation.runner`.
"""

from tests.simulation.redis.play import play
from tests.simulation.runner import main

main(play=play)
