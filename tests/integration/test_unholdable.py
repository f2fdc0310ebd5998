"""Tables that a server cannot protect or hold are refused in the plan; nothing is written for them."""

from __future__ import annotations

import re

import pytest

from djlink_manifest.model.tables.naming import class_name
from tests.support.definitions import ALL, applied_cleanly
from tests.support.invariants.tables import standing
from tests.support.rig import Rig
from tests.support.servers import PAIRS, Pair
from tests.support.sql import ask, run_all

every_pair = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
to_mysql = pytest.mark.parametrize("servers", [Pair("mariadb", "mysql")], indirect=True, ids=str)
to_mariadb = pytest.mark.parametrize("servers", [Pair("mariadb", "mariadb")], indirect=True, ids=str)

LATIN = "CHARACTER SET latin1 COLLATE latin1_swedish_nopad_ci"
# table: (what makes it, the words of its refusal)
UNPROTECTED = {
    "prefixed": (
        "CREATE TABLE {lab}.prefixed (a varchar(99), PRIMARY KEY (a(10)))",
        "it has a primary key on a prefix of a column",
    ),
    "part_prefixed": (
        "CREATE TABLE {lab}.part_prefixed (id int PRIMARY KEY);"
        "CREATE TABLE {lab}.part_prefixed__bit (id int, a varchar(99), PRIMARY KEY (id, a(10)),"
        " FOREIGN KEY (id) REFERENCES {lab}.part_prefixed (id))",
        "its part `part_prefixed__bit` has a primary key on a prefix",
    ),
}
OF_MARIADB = {
    "counter": ("CREATE SEQUENCE {lab}.counter", "it is a sequence"),
    "versions": (
        "CREATE TABLE {lab}.versions (id int PRIMARY KEY) WITH SYSTEM VERSIONING",
        "system-versioned",
    ),
}
TOO_WIDE = {
    "wide_key": (
        f"CREATE TABLE {{lab}}.wide_key (id varchar(1000) {LATIN} PRIMARY KEY)",
        "its primary key has 4000 bytes, but only 3072 are allowed",
    ),
    "wide_index": (
        f"CREATE TABLE {{lab}}.wide_index (id int PRIMARY KEY, a varchar(1000) {LATIN}, KEY too (a, id))",
        "the index `too` has 4004 bytes",
    ),
    "wide_row": (
        f"CREATE TABLE {{lab}}.wide_row (id int PRIMARY KEY, a varchar(20000) {LATIN})",
        r"a row has 80006 bytes without its texts and blobs, but only 65535 are allowed",
    ),
    "wide_part": (
        "CREATE TABLE {lab}.wide_part (id int PRIMARY KEY);"
        f"CREATE TABLE {{lab}}.wide_part__bit (id int, a varchar(769) {LATIN}, PRIMARY KEY (id, a),"
        " FOREIGN KEY (id) REFERENCES {lab}.wide_part (id))",
        "as the local `wide_part__bit`, its primary key has 3080 bytes",
    ),
}


@every_pair
def test_what_cannot_stand_is_refused_in_the_plan_and_an_apply_writes_nothing(rig: Rig) -> None:
    source, local = rig.servers.pair.source, rig.servers.pair.local
    cases = UNPROTECTED | (OF_MARIADB if source == "mariadb" else {})
    if (source, local) == ("mariadb", "mysql"):
        cases = cases | TOO_WIDE
    run_all(rig, "CREATE DATABASE {lab}")
    for making, _ in cases.values():
        run_all(rig, *making.split(";"))
    rig.accounts({"lab_a": ["lab"]})
    before = standing(rig)
    plan, report = rig.apply(rig.document({"lab_a": {"lab": {"tables": list(cases)}}}))
    assert not plan.refusals
    assert len(plan.links) == len(cases)
    for table, (_, words) in cases.items():
        link = next(x for x in plan.links if x.address == rig.address("lab_a", "lab", class_name(table)))
        [blocked] = link.blocked
        assert blocked.whole
        assert re.search(words, blocked.reason), blocked.reason
        assert not link.actions
    assert standing(rig) == before
    assert all(o.status != "done" for o in report.outcomes)


@to_mysql
def test_what_is_at_the_edge_of_a_servers_bounds_is_held(rig: Rig) -> None:
    """The bounds that the plan computes are the server's: a byte less passes."""
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        f"CREATE TABLE {{lab}}.edge_key (id int, a varchar(767) {LATIN}, PRIMARY KEY (id, a))",
        f"CREATE TABLE {{lab}}.edge_index (id int PRIMARY KEY, a varchar(768) {LATIN}, KEY fits (a))",
        f"CREATE TABLE {{lab}}.edge_row (id int PRIMARY KEY, a varchar(16300) {LATIN}, b text {LATIN},"
        " c decimal(9,2), d datetime(6), e timestamp(6) NULL, f time(6), g enum('a'), h bit(9), i longblob)",
        "INSERT INTO {lab}.edge_key VALUES (1, REPEAT('é', 767))",
        "INSERT INTO {lab}.edge_row (id, a, b) VALUES (1, REPEAT('€', 16300), REPEAT('€', 65535))",
    )
    rig.accounts({"lab_a": ["lab"]})
    applied_cleanly(rig, rig.document({"lab_a": {"lab": ALL}}))
    local_schema = rig.local_schema("lab_a", "lab")
    assert ask(rig.servers.local, f"SELECT a = REPEAT('é', 767) FROM {local_schema}.edge_key") == [(1,)]
    [found] = ask(
        rig.servers.local,
        f"SELECT a = REPEAT('€', 16300), b = REPEAT('€', 65535) FROM {local_schema}.edge_row",
    )
    assert found == (1, 1)
