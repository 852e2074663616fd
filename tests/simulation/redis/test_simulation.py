"""
The simulation of a Redis in the test command: 200 seeds, as in `tests.simulation.test_simulation`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import TESTS_ENVIRONMENT
from tests.simulation.redis.play import play
from tests.simulation.redis.scripting import findMissing
from tests.simulation.runner import check, describe

#: Number. The first seed.
FIRST = int(os.environ.get("SSESERVER_FIRST_SEED", "0"))

#: Number of seeds.
SEEDS = int(os.environ.get("SSESERVER_SEEDS", "200"))

#: Seeds in one test.
_PART = max(1, SEEDS // 2)


class SimulationTests(SynchronousTestCase):
    """The promises of several servers with one Redis, in every history that the seeds make."""

    skip = findMissing()

    def play(self, part: int) -> None:
        """Run one part of the seeds."""
        for seed in range(FIRST + part * _PART, FIRST + (part + 1) * _PART):
            outcome = check(seed, play=play)
            self.assertEqual(outcome.violations, [], describe(outcome, play))

    def test_seeds0(self) -> None:
        """No promise is broken, whatever the first half of the seeds does to the servers and the Redis."""
        self.play(0)

    def test_seeds1(self) -> None:
        """No promise is broken, whatever the second half of the seeds does to the servers and the Redis."""
        self.play(1)

    def test_hashSeed(self) -> None:
        """A seed means the same history, however Python hashes strings."""
        code = "from tests.simulation.redis.play import play; print(play(3).digest, play(9).digest)"
        digests = {
            subprocess.run(
                [sys.executable, "-P", "-c", code],
                env={**TESTS_ENVIRONMENT, "PYTHONHASHSEED": number},
                capture_output=True,
                check=True,
            ).stdout
            for number in ("1", "2")
        }
        self.assertEqual(len(digests), 1)
