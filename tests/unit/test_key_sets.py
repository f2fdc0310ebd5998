"""Digests of the sets of keys that a plan is bound to: the same in every process, and of no other set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.reconcile.state.plan_keys import (
    NOTHING_SEEN,
    ClosureKeys,
    Key,
    KeyDigests,
    PlanKeys,
    set_digests,
)

KEYS: st.SearchStrategy[Key] = st.lists(st.none() | st.binary(max_size=3), min_size=1, max_size=3).map(tuple)
SETS = st.sets(KEYS, max_size=6)


@given(SETS, SETS)
def test_sets_have_equal_digests_where_they_are_equal(one: set[Key], other: set[Key]) -> None:
    digests = KeyDigests(sorted(one, key=repr)).digest, KeyDigests(sorted(other, key=repr)[::-1]).digest
    assert (digests[0] == digests[1]) is (one == other)
    assert bool(digests[0]) is bool(one)


def test_what_goes_along_is_a_part_of_the_set() -> None:
    own = KeyDigests([(b"1",)])
    closures = [
        ClosureKeys(own),
        ClosureKeys(own, {"a.b.C": KeyDigests([(b"1",)])}),
        ClosureKeys(own, {"a.b.C": KeyDigests([(b"2",)])}),
        ClosureKeys(own, {"a.b.D": KeyDigests([(b"1",)])}),
        ClosureKeys(KeyDigests([(b"2",)]), {"a.b.C": KeyDigests([(b"1",)])}),
    ]
    assert len({closure.digest for closure in closures}) == len(closures)
    assert ClosureKeys(own, {"a.b.C": KeyDigests()}).digest == closures[0].digest


def test_only_sets_with_keys_have_a_digest() -> None:
    assert set_digests(NOTHING_SEEN) == {}
    keys = PlanKeys(granted=ClosureKeys(KeyDigests([(b"1",)])), gone=KeyDigests([(b"1",)]))
    assert set(set_digests(keys)) == {"granted", "gone"}


def test_another_process_has_the_same_digest() -> None:
    code = (
        "from djlink_manifest.reconcile.state.plan_keys import KeyDigests; "
        "print(KeyDigests([(b'1', None), (b'2', b'')]).digest)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == KeyDigests([(b"2", b""), (b"1", None)]).digest
