"""A process killed at any of its statements: nothing is left half done, and the next apply ends it.

Between two statements that only read, a kill leaves what one at the next change leaves: the usual run kills
at every change, and after every commit. `DJLINK_KILLS=all pytest tests/integration/test_crash.py` kills at
every statement, before it is sent and before its answer is read; `DJLINK_KILLS=500` at so many of them.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.manifest.load import load
from djlink_manifest.reconcile.pipeline import open_job
from tests.support.faults.crash import Applier
from tests.support.faults.scene import VOLATILE, SourceLinks, evenly, piece_of, set_up
from tests.support.invariants.protection import check_whole
from tests.support.options import KILLS, KILLS_SECONDS, kills, seed, told
from tests.support.pipelines.atlas import Atlas, keys, rows
from tests.support.rig import Rig, own_rig
from tests.support.servers import Servers, drop_everything, new_names

TRIES = 60  # at most; evenly chosen where an apply makes more changes
PIECES = 4  # tests of their own, so that the workers share them

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, v int)",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (s int, n int, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.note (n int PRIMARY KEY, v int)",
    "CREATE TABLE {lab}.note__line (n int, line int, PRIMARY KEY (n, line),"
    " FOREIGN KEY (n) REFERENCES {lab}.note (n))",
    "INSERT INTO {lab}.subject VALUES (1, 1), (2, 2), (3, 3)",
    "INSERT INTO {lab}.session VALUES (10, 1), (20, 2)",
    "INSERT INTO {lab}.session__trial VALUES (10, 1), (10, 2), (20, 1)",
    "INSERT INTO {lab}.note VALUES (1, 0), (2, 0), (3, 0), (4, 0)",
    "INSERT INTO {lab}.note__line SELECT n, 7 FROM {lab}.note",
)


@contextmanager
def scene(servers: Servers) -> Iterator[SourceLinks]:
    with own_rig(servers) as rig, made(rig) as found:
        yield found


@contextmanager
def made(rig: Rig) -> Iterator[SourceLinks]:
    for statement in PIPELINE:
        rig.run("lab_a", statement)
    rig.accounts({"lab_a": ["lab"]})
    first = rig.document({"lab_a": {"lab": {"tables": ["Subject", "Note"]}}})
    _, report = rig.apply(first)
    assert report.succeeded
    local_schema, outbound = rig.local_schema("lab_a", "lab"), f"`{rig.outbound}`.`{rig.names('lab')}_note`"
    rig.run("lab_a", "INSERT INTO {lab}.subject VALUES (5, 5), (6, 6)")
    rig.run("lab_a", "INSERT INTO {lab}.session VALUES (30, 5)")
    rig.run("lab_a", "INSERT INTO {lab}.session__trial VALUES (30, 1)")
    rig.run("lab_a", "INSERT INTO {lab}.note VALUES (5, 0)")
    for statement in (
        f"DELETE FROM `{local_schema}`.subject WHERE id > 1",
        f"DELETE FROM `{local_schema}`.note__line WHERE n = 1",
        f"DELETE FROM `{local_schema}`.note WHERE n = 1",
    ):
        rig.servers.local.execute(statement)
    rig.run("lab_a", f"DELETE FROM {outbound} WHERE n IN (2, 3)")
    document = rig.document(
        {"lab_a": {"lab": {"tables": {"Subject": {}, "Session": {}, "Note": {"where": "n > 1"}}}}}
    )
    with rig.job(document) as job:
        links = job.links
    with set_up(rig, links) as found:
        yield found


def undisturbed(found: SourceLinks, every: bool = False) -> tuple[list[str], Any]:
    """The changes of an apply that nobody kills, or its statements with `every`, and the state it leaves."""
    answer = found.applier(manifest=str(found.manifest), every=every)
    assert not answer["problems"]
    assert not answer["again"]
    rows = ["Pull", "PullAgain", "Register", "Release"]
    assert answer["kinds"] == ["CopyLineage", "CreateLocal", "CreateOutbound", "NoteDefinition", *rows]
    assert check_whole(found.rig, found.links) == 5 + 3 + 4
    return answer["changes"], tuple(saved.without(*VOLATILE) for saved in found.state())


def crash_and_recover(found: SourceLinks, at: int, sent: bool, end: Any) -> None:
    found.put_back()
    answer = found.applier(manifest=str(found.manifest), at=at, sent=sent, every=bool(KILLS))
    assert answer == {"killed": 9}
    found.wait_for_the_dead()
    check_whole(found.rig, found.links, own=2)  # the two rows that are to be registered
    if not KILLS and found.is_known():
        return
    answer = found.applier(manifest=str(found.manifest))
    assert not answer["problems"]
    assert not answer["again"]
    assert tuple(saved.without(*VOLATILE) for saved in found.state()) == end


def kill_points(made: Sequence[str]) -> tuple[list[tuple[int, bool]], int]:
    """At which changes or statements to kill, and whether after they are sent; how many there are."""
    if KILLS:
        every = [(n, sent) for n in range(1, len(made) + 1) for sent in (False, True)]
        return evenly(every, kills(TRIES)), len(every)
    commits = [n for n, text in enumerate(made, 1) if text.startswith(("COMMIT", "CREATE"))]
    chosen = [(n, False) for n in evenly(range(1, len(made) + 1), TRIES)]
    chosen += [(n, True) for n in evenly(commits, TRIES // 2)]
    return sorted(chosen), len(made) + len(commits)


@pytest.mark.timeout(KILLS_SECONDS)
@pytest.mark.parametrize("piece", range(PIECES))
def test_an_apply_killed_at_any_change_leaves_nothing_half_done_and_the_next_one_ends_it(
    servers: Servers, piece: int, record_property: Callable[[str, object], None]
) -> None:
    with scene(servers) as found:
        made, end = undisturbed(found, every=bool(KILLS))
        cases, points = kill_points(made)
        faults = []
        for at, sent in piece_of(cases, piece, PIECES):
            try:
                crash_and_recover(found, at, sent, end)
            except AssertionError as error:
                faults.append(f"change {at}, sent {sent}: {made[at - 1]}: {error}")
        if piece == 0:
            kind = "statements" if KILLS else "changes"
            words = f"killed at {len(cases)} of {points} points, before and after {len(made)} {kind}"
            record_property("told", f"{words} ({servers.pair})")
    assert not faults, "\n".join(faults)


def test_twelve_tables_killed_again_and_again_on_their_way_arrive_whole(
    servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """DataJoint tables of two sources: each apply is killed a little further on, until one is not."""
    start = seed(1619078306)
    chance, atlas = random.Random(start), Atlas(servers, new_names(), tmp_path)
    applier = Applier(atlas.rig.environ, Path(__file__).parents[2])
    try:
        with open_job(load([atlas.path]), {**os.environ, **atlas.rig.environ}) as job:
            links = job.links
        kills = 0
        while True:
            at = chance.randint(1, 160)  # of some 600 changes: five to ten kills
            answer = applier(manifest=str(atlas.path), at=at, sent=chance.random() < 0.3, parallelism=2)
            if "killed" not in answer:
                break
            kills += 1
            until = time.monotonic() + 20
            while any(atlas.rig.own_sessions(server) for server in ("lab_a", "lab_b", "local")):
                assert time.monotonic() < until
                time.sleep(0.01)
            check_whole(atlas.rig, links)
        assert (answer["problems"], answer["again"]) == ([], False)
        assert kills > 2
        for server, schema, table, local_schema, local_table in atlas.tables():
            [primary] = [k[2].split(",") for k in keys(server, schema, table) if k[0] == "PRIMARY"]
            local_rows = rows(servers.local, local_schema, local_table, primary)
            assert local_rows == rows(server, schema, table, primary), table
    finally:
        record_property(
            "told", told(start, f"twelve tables, killed {kills} times on their way", servers.pair)
        )
        applier.close()
        for each in atlas.pipelines.values():
            each.connection.close()
        for server in servers:
            drop_everything(server, atlas.rig.names)


@pytest.mark.parametrize("words", ["INSERT INTO", "COMMIT"])
def test_the_locks_of_a_killed_process_die_with_it(servers: Servers, words: str) -> None:
    with scene(servers) as found:
        made, _ = undisturbed(found)
        found.put_back()
        at = next(n for n, text in enumerate(made, 1) if text.startswith(words))
        assert found.applier(manifest=str(found.manifest), at=at) == {"killed": 9}
        found.wait_for_the_dead()
        assert not found.applier(manifest=str(found.manifest))["problems"]


def test_outbound_tables_half_made_hold_up_no_other_link(servers: Servers) -> None:
    with scene(servers) as found:
        made, _ = undisturbed(found)
        found.put_back()
        at = [n for n, text in enumerate(made, 1) if text.startswith("CREATE TABLE `")][1]
        assert found.applier(manifest=str(found.manifest), at=at) == {"killed": 9}
        found.wait_for_the_dead()
        # the link is made after the others of its manifest, which have something to do again
        found.rig.run("lab_a", "INSERT INTO {lab}.subject VALUES (7, 7)")
        answer = found.applier(manifest=str(found.manifest))
        assert not answer["problems"]
        assert not answer["again"]
        assert check_whole(found.rig, found.links) == 6 + 3 + 4
