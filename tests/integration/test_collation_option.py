# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""`collation`: the local text columns of several sources compare alike, and no two keys become one."""

from __future__ import annotations

from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import ChangeLocal
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.sandbox.demo import pipeline
from tests.support.definitions import applied_cleanly
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.servers import ALIKE, CROSSED, PAIRS
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {{lab}} COLLATE {0}",
    "CREATE TABLE {{lab}}.subject (name varchar(12) PRIMARY KEY, note varchar(9) UNIQUE, story text)",
    "CREATE TABLE {{lab}}.subject__weight (name varchar(12), day varchar(9), PRIMARY KEY (name, day),"
    " FOREIGN KEY (name) REFERENCES {{lab}}.subject (name))",
    "CREATE TABLE {{lab}}.session (id int PRIMARY KEY, name varchar(12) NOT NULL, sort enum('a', 'B'),"
    " FOREIGN KEY (name) REFERENCES {{lab}}.subject (name))",
)
ROWS = (
    "INSERT INTO {lab}.subject VALUES ('Ada', 'x', 'é'), ('Bob', 'y', NULL)",
    "INSERT INTO {lab}.subject__weight VALUES ('Ada', 'mon'), ('Bob', 'mon')",
    "INSERT INTO {lab}.session VALUES (1, 'Ada', 'a'), (2, 'Bob', 'B')",
)
BIN, GENERAL, UNICODE = "utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_unicode_ci"


def declare(rig: Rig, collation: str, source: str = "lab_a") -> None:
    run_all(rig, *(text.format(collation) for text in TABLES), *ROWS, server=source)


def manifest(rig: Rig, collation: str | None, *sources: str, **tables: Any) -> dict[str, Any]:
    document = rig.document({name: {"lab": {"tables": tables or "*"}} for name in sources or ("lab_a",)})
    if collation is not None:
        document["defaults"]["collation"] = collation
    return document


def collations(rig: Rig, source: str = "lab_a") -> set[str]:
    """Those of the local copies of the source's columns."""
    rows = ask(
        rig.servers.local,
        "SELECT DISTINCT COLLATION_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND"
        " COLLATION_NAME IS NOT NULL AND TABLE_NAME IN ('subject', 'subject__weight', 'session')",
        (rig.local_schema(source, "lab"),),
    )
    return {str(row[0]) for row in rows}


def locally(rig: Rig, text: str) -> list[tuple[Any, ...]]:
    return ask(rig.servers.local, text.replace("@here", f"`{rig.local_schema('lab_a', 'lab')}`"))


def of(plan: Plan, rig: Rig, table: str = "Subject") -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", table))


@pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[0]], indirect=True, ids=str)
def test_a_table_of_the_labs_own_refers_to_linked_tables_of_two_sources(rig: Rig) -> None:
    declare(rig, BIN)
    declare(rig, GENERAL, "lab_b")
    rig.accounts({"lab_a": ["lab"], "lab_b": ["lab"]}, local=("ALL",))
    applied_cleanly(rig, manifest(rig, UNICODE, "lab_a", "lab_b"))
    assert collations(rig) == collations(rig, "lab_b") == {UNICODE}
    dj: Any = pipeline.load_datajoint()
    connection = pipeline.connect(rig.servers.local, rig.names("lab"), PASSWORD)
    a, b = (
        dj.VirtualModule(name, rig.local_schema(name, "lab"), connection=connection)
        for name in ("lab_a", "lab_b")
    )
    # DataJoint declares with its schema's collation, and djlink made that schema with the chosen one
    own = dj.Schema(
        rig.local_schema("lab_a", "lab"),
        {"SubjectA": a.Subject, "SubjectB": b.Subject},
        connection=connection,
    )

    @own
    class Pair(dj.Manual):
        definition = """
        -> SubjectA
        -> SubjectB.proj(other="name")
        """

    Pair.insert1({"name": "ada", "other": "BOB"})  # equal by the collation of both
    assert len(Pair * a.Subject) == 1
    connection.close()


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_keys_and_unique_values_that_would_be_one_are_counted_and_nothing_is_made(rig: Rig) -> None:
    declare(rig, BIN)
    run_all(
        rig,
        "INSERT INTO {lab}.subject VALUES ('ada', 'X', NULL), ('ADA', 'z', NULL)",
        "INSERT INTO {lab}.subject__weight VALUES ('Bob', 'MON')",
    )
    rig.accounts({"lab_a": ["lab"]})
    collation = "utf8mb4_0900_ai_ci" if rig.servers.local.vendor == "mysql" else GENERAL
    plan, _ = rig.apply(manifest(rig, collation))
    [blocked] = of(plan, rig).blocked
    local = rig.local_schema("lab_a", "lab")
    assert blocked.reason == (
        f"by `collation: {collation}` values would be equal that the source tells apart: 3 rows in the"
        f" primary key of {local}.subject, 2 rows in the unique key `note` of {local}.subject, 2 rows in the"
        f" primary key of {local}.subject__weight"
    )
    assert rig.run(
        "lab_a",
        f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{rig.outbound}'"
        " AND TABLE_NAME LIKE '%subject'",
    ) == [(0,)]
    only = {"where": {"name": ["Bob"]}}
    run_all(rig, "DELETE FROM {lab}.subject__weight WHERE day = 'MON'")
    applied_cleanly(rig, manifest(rig, collation, Subject=only))
    assert locally(rig, "SELECT name FROM @here.subject") == [("Bob",)]


def test_rows_that_spell_the_key_that_they_refer_to_otherwise_are_counted(rig: Rig) -> None:
    declare(rig, GENERAL)
    rig.accounts({"lab_a": ["lab"]})
    applied_cleanly(rig, manifest(rig, BIN))
    local, told = rig.local_schema("lab_a", "lab"), "would differ from the keys that they refer to"
    run_all(rig, "INSERT INTO {lab}.subject VALUES ('cleo ', 'w', NULL)")
    run_all(rig, "INSERT INTO {lab}.session VALUES (3, 'CLEO', 'a')")
    reason = of(rig.plan(manifest(rig, BIN)), rig, "Session").blocked[0].reason
    assert told in reason
    assert reason.endswith(f"1 row of {local}.session")
    run_all(rig, "INSERT INTO {lab}.subject__weight VALUES ('CLEO', 'mon'), ('ADA', 'tue')")
    reason = of(rig.plan(manifest(rig, BIN)), rig).blocked[0].reason
    assert told in reason
    assert reason.endswith(f"2 rows of {local}.subject__weight")
    run_all(rig, "DELETE FROM {lab}.subject__weight WHERE day = 'tue' OR name = 'cleo'")
    run_all(rig, "UPDATE {lab}.session SET name = 'cleo ' WHERE id = 3")
    applied_cleanly(rig, manifest(rig, BIN))
    assert locally(rig, "SELECT HEX(name) FROM @here.session WHERE id = 3") == [("636C656F20",)]


def test_another_collation_of_columns_off_the_keys_changes_the_local_table_and_is_recorded(rig: Rig) -> None:
    run_all(
        rig,
        f"CREATE DATABASE {{lab}} COLLATE {BIN}",
        "CREATE TABLE {lab}.subject (id int PRIMARY KEY, note varchar(9) UNIQUE, story text, sort enum('a'))",
        "INSERT INTO {lab}.subject VALUES (1, 'x', 'é', 'a'), (2, 'y', NULL, NULL)",
    )
    rig.accounts({"lab_a": ["lab"]})
    applied_cleanly(rig, manifest(rig, None))
    plan, report = rig.apply(manifest(rig, GENERAL))
    assert report.succeeded
    [change] = [a for a in of(plan, rig).actions if isinstance(a, ChangeLocal)]
    assert change.changes[0] == f"`note` ({BIN} to {GENERAL})"
    assert change.cost == "copy"
    applied_cleanly(rig, manifest(rig, GENERAL))
    assert collations(rig) == {GENERAL}
    run_all(rig, "INSERT INTO {lab}.subject VALUES (3, 'X', NULL, NULL)")
    [blocked] = of(rig.plan(manifest(rig, GENERAL)), rig).blocked
    assert "2 rows in the unique key `note`" in blocked.reason
    applied_cleanly(rig, manifest(rig, None))
    assert collations(rig) == {BIN}
    [blocked] = of(rig.plan(manifest(rig, GENERAL)), rig).blocked  # not only what comes: what is here, too
    assert "2 rows in the unique key `note`" in blocked.reason


def test_another_collation_of_keys_is_told_and_the_way_on_works(rig: Rig) -> None:
    declare(rig, BIN)
    rig.accounts({"lab_a": ["lab"]})
    applied_cleanly(rig, manifest(rig, None))
    plan = rig.plan(manifest(rig, GENERAL))
    [blocked] = of(plan, rig).blocked
    assert "cannot take another `collation`, since keys and foreign keys hold the columns" in blocked.reason
    assert f"column `name` has the collation {BIN}, not {GENERAL}" in blocked.reason
    assert (blocked.hint or "").startswith(
        "restore the former `collation`; or, if it has no rows of your own"
    )
    assert not of(rig.plan(manifest(rig, None)), rig).blocked
    locally(
        rig,
        "DROP TABLE @here.session__deletion_requested, @here.session, @here.subject__deletion_requested,"
        " @here.subject__weight, @here.subject",
    )
    assert rig.apply(manifest(rig, GENERAL))[1].succeeded
    applied_cleanly(rig, manifest(rig, GENERAL))
    assert collations(rig) == {GENERAL}
    assert locally(rig, "SELECT COUNT(*) FROM @here.session") == [(2,)]


def test_a_parent_and_a_child_of_other_collations_are_told_with_the_lines_of_both(rig: Rig) -> None:
    declare(rig, BIN)
    rig.accounts({"lab_a": ["lab"]})
    plan = rig.plan(manifest(rig, None, Subject={}, Session={"collation": GENERAL}))
    child, parent = of(plan, rig, "Session"), of(plan, rig)
    [blocked] = child.blocked
    for link, option in ((child, GENERAL), (parent, "source")):
        assert f"{link.location} has `collation: {option}`" in blocked.reason
    assert not parent.blocked


def test_a_collation_that_the_local_server_lacks_is_told(rig: Rig) -> None:
    declare(rig, BIN)
    rig.accounts({"lab_a": ["lab"]})
    blocked = of(rig.plan(manifest(rig, "utf8mb4_klingon_ci")), rig).blocked[0]
    assert "has no collation `utf8mb4_klingon_ci`" in blocked.reason
    assert "SHOW COLLATION" in (blocked.hint or "")


def test_a_collation_whose_characters_are_fewer_is_refused(rig: Rig) -> None:
    declare(rig, BIN)
    rig.accounts({"lab_a": ["lab"]})
    blocked = of(rig.plan(manifest(rig, "latin1_bin")), rig).blocked[0]
    assert "which lacks characters of it" in blocked.reason
