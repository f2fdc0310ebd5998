"""A process killed while it alters or refills: no entity is of two moments, and the next apply ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.faults.scene import VOLATILE, SourceLinks, evenly, piece_of, set_up
from tests.support.options import KILLS_SECONDS, killed, kills
from tests.support.rig import own_rig
from tests.support.servers import Servers

TRIES = kills(45)
PIECES = 2  # of each case, tests of their own, so that the workers share them

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.note (n int PRIMARY KEY, v int)",
    "CREATE TABLE {lab}.note__line (n int, line int, PRIMARY KEY (n, line),"
    " FOREIGN KEY (n) REFERENCES {lab}.note (n))",
    "CREATE TABLE {lab}.note__word (n int, line int, w int, PRIMARY KEY (n, line, w),"
    " FOREIGN KEY (n, line) REFERENCES {lab}.note__line (n, line),"
    " FOREIGN KEY (n) REFERENCES {lab}.note (n))",
    "INSERT INTO {lab}.note VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)",
    "INSERT INTO {lab}.note__line SELECT n, 7 FROM {lab}.note",
    "INSERT INTO {lab}.note__word SELECT n, 7, 1 FROM {lab}.note",
)
CHANGED = (
    "UPDATE {lab}.note SET v = 1",
    "DELETE FROM {lab}.note__word",
    "DELETE FROM {lab}.note__line",
    "INSERT INTO {lab}.note__line SELECT n, 8 FROM {lab}.note",
    "INSERT INTO {lab}.note__word SELECT n, 8, 2 FROM {lab}.note",
    "INSERT INTO {lab}.note VALUES (6, 1)",
    "INSERT INTO {lab}.note__line VALUES (6, 8)",
)
ADDED = (
    "ALTER TABLE {lab}.note ADD c int FIRST, ADD u int UNIQUE, ADD KEY by_c (c)",
    "ALTER TABLE {lab}.note MODIFY v bigint",
    "UPDATE {lab}.note SET c = n, u = n",
    "ALTER TABLE {lab}.note__line ADD d int DEFAULT 3",
    "CREATE TABLE {lab}.note__page (n int, page int, PRIMARY KEY (n, page),"
    " FOREIGN KEY (n) REFERENCES {lab}.note (n))",
    "INSERT INTO {lab}.note__page SELECT n, 1 FROM {lab}.note",
)


@contextmanager
def scene(servers: Servers, changes: tuple[str, ...]) -> Iterator[SourceLinks]:
    with own_rig(servers) as rig:
        for statement in PIPELINE:
            rig.run("lab_a", statement)
        rig.accounts({"lab_a": ["lab"]})
        document = rig.document({"lab_a": {"lab": {"tables": {"Note": {"changed": "mend"}}}}})
        assert rig.apply(document)[1].succeeded
        # as an earlier version left it
        local_schema = rig.local_schema("lab_a", "lab")
        rig.servers.local.execute(
            f"ALTER TABLE `{local_schema}`.`~djlink` DROP COLUMN refill, DROP COLUMN made"
        )
        for statement in changes:
            rig.run("lab_a", statement)
        with rig.job(document) as job:
            links = job.links
        with set_up(rig, links) as found:
            yield found


def no_entity_is_of_two_moments(found: SourceLinks) -> None:
    local_schema = found.rig.local_schema("lab_a", "lab")
    tables = f"`{local_schema}`.note LEFT JOIN `{local_schema}`.note__line USING (n)"
    rows = found.rig.servers.local.execute(f"SELECT v, GROUP_CONCAT(line) FROM {tables} GROUP BY n, v")
    assert {(int(v), str(lines)) for v, lines in rows} <= {(0, "7"), (1, "8")}


@pytest.mark.timeout(KILLS_SECONDS)
@pytest.mark.parametrize("piece", range(PIECES))
@pytest.mark.parametrize(
    ("changes", "verify"),
    [(CHANGED, True), ((*CHANGED, *ADDED), False), (ADDED, False)],
    ids=["rows", "definition and rows", "definition"],
)
def test_a_refill_killed_at_any_change_is_ended_by_the_next_apply(
    servers: Servers,
    changes: tuple[str, ...],
    verify: bool,
    piece: int,
    record_property: Callable[[str, object], None],
) -> None:
    with scene(servers, changes) as found:
        request: dict[str, Any] = {"manifest": str(found.manifest), "verify": verify}
        assert not found.applier(**request)["problems"]
        found.put_back()  # a table made anew from its text is described in other words, before and after
        answer = found.applier(**request)
        assert not answer["problems"]
        assert not answer["again"]
        assert "Refill" in answer["kinds"]
        made, end = answer["changes"], tuple(s.without(*VOLATILE) for s in found.state())
        endings = [n for n, text in enumerate(made, 1) if text.startswith(("COMMIT", "CREATE", "ALTER"))]
        cases = [(n, False) for n in evenly(range(1, len(made) + 1), TRIES)]
        cases = sorted([*cases, *((n, True) for n in evenly(endings, TRIES // 3))])
        cases = list(piece_of(cases, piece, PIECES))
        record_property("told", killed(cases, made, "a refill", servers.pair))
        for at, sent in cases:
            place = f"change {at}, sent {sent}: {made[at - 1]}"
            found.put_back()
            assert found.applier(**request, at=at, sent=sent) == {"killed": 9}, place
            found.wait_for_the_dead()
            no_entity_is_of_two_moments(found)
            if found.is_known():
                continue
            answer = found.applier(**request)
            assert (answer["problems"], answer["again"]) == ([], False), place
            assert tuple(s.without(*VOLATILE) for s in found.state()) == end, place
