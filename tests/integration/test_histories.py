"""Random histories on real servers: whatever happens in whatever order, nothing is lost, all comes to rest.

`DJLINK_HISTORIES=2000 pytest -n 2 tests/integration/test_histories.py` runs more of them, `DJLINK_SEED=…`
those of an earlier run again, and `DJLINK_SHRINK=1` looks for the shortest one that fails.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.support.histories.courses import Courses
from tests.support.histories.history import COUNTED
from tests.support.histories.place import Place
from tests.support.options import SEED, number, told
from tests.support.rig import Rig
from tests.support.servers import PAIRS, Servers, drop_everything, new_names

HISTORIES = number("DJLINK_HISTORIES", 200)
PIECES = 3  # for each pair, each a test of its own, so that the workers share them
STEPS = 12
# the same histories every time, so that a change alone can fail; others: DJLINK_SEED=…
SEEDS = dict(zip(PAIRS, (4135784548, 1035972437, 2718281828, 3141592653), strict=True))
SHRINK = (Phase.shrink,) if os.environ.get("DJLINK_SHRINK") else ()


@pytest.mark.timeout(60 + 10 * HISTORIES)
@pytest.mark.parametrize("piece", range(PIECES))
@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_random_histories_lose_nothing_and_come_to_rest(
    servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None], piece: int
) -> None:
    start = number(SEED, SEEDS[servers.pair])
    share = math.ceil(HISTORIES / len(PAIRS) / PIECES)

    class Told(Courses):
        pass

    rig = Rig(servers, new_names(), tmp_path)
    try:
        Told.place, Told.told = Place(rig), dict.fromkeys(COUNTED, 0)
        run_state_machine_as_test(
            seeded(start + piece)(Told),
            settings=settings(
                max_examples=share,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                report_multiple_bugs=False,
                phases=(Phase.generate, *SHRINK),
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        words = ", ".join(f"{count:,} {what}" for what, count in Told.told.items())
        record_property("told", told(start, f"piece {piece}: {words}", servers.pair))
        Told.place.close()
        for server in servers:
            drop_everything(server, rig.names)
