"""What the environment says of long tests: how much of them to run, and from which seed."""

from __future__ import annotations

import os

from tests.support.servers import Pair

SEED = "DJLINK_SEED"


def number(name: str, usual: int) -> int:
    """The number that an environment variable gives, else the usual one."""
    return int(os.environ.get(name, usual))


def seed(usual: int) -> int:
    """The seed of this run: DJLINK_SEED, else the usual one, so that only a change can make a test fail."""
    return number(SEED, usual)


def told(seed: int, words: str, pair: Pair) -> str:
    """What the run's end says of a test with a seed, and how to run it again."""
    return f"{words} ({pair}); again: {SEED}={seed}"
