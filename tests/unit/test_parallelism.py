"""How many links go at the same time where nobody says."""

from __future__ import annotations

import os

import pytest

from djlink_manifest.reconcile.observe.context import usual_parallelism


def test_it_is_one_more_than_the_processors_that_this_process_may_use_or_the_sources_and_2_to_4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    for usable, found in ((1, [2, 2, 3, 4, 4]), (2, [3, 3, 3, 4, 4]), (64, [4, 4, 4, 4, 4])):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, n=usable: set(range(n)), raising=False)
        assert [usual_parallelism(sources) for sources in range(1, 6)] == found, usable
