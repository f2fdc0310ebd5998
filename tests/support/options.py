"""What the environment says of long tests: how much of them to run, and from which seed."""

from __future__ import annotations

import os
import random

from tests.support.servers import Pair

SEED = "DJLINK_SEED"


def number(name: str, usual: int) -> int:
    """The number that an environment variable gives, else the usual one."""
    return int(os.environ.get(name, usual))


def seed() -> int:
    """The seed of this run: DJLINK_SEED, else one by chance, which the run's end tells."""
    return number(SEED, random.SystemRandom().randrange(1 << 32))


def told(seed: int, words: str, pair: Pair) -> str:
    """What the run's end says of a test with a seed, and how to run it again."""
    return f"{words} ({pair}); again: {SEED}={seed}"
