"""What the environment says of long tests: how much of them to run, and from which seed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

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


KILLS = os.environ.get("DJLINK_KILLS")
KILLS_SECONDS = 36_000 if KILLS else 180  # how long a test that kills may take


def kills(usual: int) -> int:
    """How many kills a test tries at most: as many as DJLINK_KILLS says, `all` or a number, else `usual`."""
    return usual if KILLS is None else sys.maxsize if KILLS == "all" else int(KILLS)


def killed(cases: Sequence[object], made: Sequence[str], what: str, pair: Pair) -> str:
    """What the run's end says of a test that kills at such cases of the changes that were made."""
    return f"{what} killed at {len(cases)} points, before and after {len(made)} changes ({pair})"
