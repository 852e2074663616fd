"""
The simulation in the test command: 200 seeds, or as many as the environment variable `SSESERVER_SEEDS` says, from
`SSESERVER_FIRST_SEED` on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import TESTS_ENVIRONMENT
from tests.simulation.history import Violation
from tests.simulation.named import NAMED
from tests.simulation.runner import check, describe, shorten

#: Number. The first seed.
FIRST = int(os.environ.get("SSESERVER_FIRST_SEED", "0"))

#: Number of seeds.
SEEDS = int(os.environ.get("SSESERVER_SEEDS", "200"))

#: Seeds in one test.
_PART = max(1, SEEDS // 4)


class SimulationTests(SynchronousTestCase):
    """The promises of the server, in every history that the seeds make."""

    def play(self, part: int) -> None:
        """Run one part of the seeds."""
        for seed in range(FIRST + part * _PART, FIRST + (part + 1) * _PART):
            outcome = check(seed)
            self.assertEqual(outcome.violations, [], describe(outcome))

    def test_seeds0(self) -> None:
        """No promise is broken, whatever the first quarter of the seeds does to the server."""
        self.play(0)

    def test_seeds1(self) -> None:
        """No promise is broken, whatever the second quarter of the seeds does to the server."""
        self.play(1)

    def test_seeds2(self) -> None:
        """No promise is broken, whatever the third quarter of the seeds does to the server."""
        self.play(2)

    def test_seeds3(self) -> None:
        """No promise is broken, whatever the last quarter of the seeds does to the server."""
        self.play(3)

    def test_hashSeed(self) -> None:
        """A seed means the same history, however Python hashes strings."""
        code = "from tests.simulation.play import play; print(play(3).digest, play(9).digest)"
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

    def test_shortened(self) -> None:
        """Acts that a broken promise does not need are left out, and the rest is a history of its own."""
        # All but the last two are left out already, so that there is little to play.
        left = frozenset(range(1, check(3, twice=False).acts - 1))
        outcome = check(3, without=left)
        self.assertEqual((outcome.without, outcome.violations), (left, []))
        broken = replace(outcome, violations=[Violation(1.0, "rule", "text")])
        self.assertEqual(shorten(broken), broken)
        self.assertIn("--without=1 --without=2", describe(broken))

    def test_named(self) -> None:
        """The seeds that once found a fault find none any more."""
        for seed, fault in NAMED.items():
            outcome = check(seed, twice=False)
            self.assertEqual(outcome.violations, [], f"{fault}\n{describe(outcome)}")
