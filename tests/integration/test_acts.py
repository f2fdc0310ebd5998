"""What is blocked is an act, not a link: deletion needs the key, and nothing else of a link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Approve, Delete, Mend, Pull
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from tests.support.rig import Rig, link_of

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.mouse (m int PRIMARY KEY, note int NOT NULL)",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, m int NOT NULL, note int NOT NULL,"
    " FOREIGN KEY (m) REFERENCES {lab}.mouse (m))",
    "CREATE TABLE {lab}.session__trial (s int, n int, note int NOT NULL, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.scan (s int, k int, note int NOT NULL, PRIMARY KEY (s, k),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "INSERT INTO {lab}.mouse VALUES (1, 0), (2, 0)",
    "INSERT INTO {lab}.session VALUES (10, 1, 0), (20, 1, 0), (30, 2, 0), (40, 2, 0)",
    "INSERT INTO {lab}.session__trial VALUES (10, 1, 0), (20, 1, 0)",
    "INSERT INTO {lab}.scan VALUES (10, 1, 0), (20, 1, 0), (30, 1, 0)",
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    """Mice, sessions with trials, and scans, all of them linked and pulled; then one more session comes."""
    for each in PIPELINE:
        rig.run("lab_a", each)
    rig.accounts({"lab_a": ["lab"]})
    _, report = rig.apply(document(rig))
    assert report.succeeded
    rig.run("lab_a", "INSERT INTO {lab}.session VALUES (50, 2, 0)")
    return rig


def document(rig: Rig, **rules: Any) -> dict[str, Any]:
    tables = {"Mouse": {}, "Session": {}, "Scan": {}, **rules}
    left = {name: rule for name, rule in tables.items() if rule is not None}
    return rig.document({"lab_a": {"lab": {"tables": left}}}, defaults=defaults(rig))


def defaults(rig: Rig) -> dict[str, Any]:
    return {
        "schema_name": rig.names("our_{source}_") + "{schema}",
        "deletions": "auto",
        "max_deletions": "100%",
    }


def altered(text: str) -> Callable[[Rig], dict[str, Any]]:
    """The source changes a definition."""

    def happens(rig: Rig) -> dict[str, Any]:
        rig.run("lab_a", f"ALTER TABLE {text}")
        return document(rig)

    return happens


def altered_locally(text: str) -> Callable[[Rig], dict[str, Any]]:
    def happens(rig: Rig) -> dict[str, Any]:
        schema = f"`{rig.local_schema('lab_a', 'lab')}`"
        rig.servers.local.execute(f"ALTER TABLE {text.format(schema=schema)}")
        return document(rig)

    return happens


def ruled(**rules: Any) -> Callable[[Rig], dict[str, Any]]:
    return lambda rig: document(rig, **rules)


def a_part_comes_where_a_table_of_ours_stands(rig: Rig) -> dict[str, Any]:
    schema = rig.local_schema("lab_a", "lab")
    rig.servers.local.execute(f"CREATE TABLE `{schema}`.session__note (s int, n int, PRIMARY KEY (s, n))")
    rig.servers.local.execute(f"INSERT INTO `{schema}`.session__note VALUES (10, 1)")
    rig.run(
        "lab_a",
        "CREATE TABLE {lab}.session__note (s int, n int, PRIMARY KEY (s, n),"
        " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    )
    return document(rig)


def a_part_and_a_column_come(rig: Rig) -> dict[str, Any]:
    rig.run(
        "lab_a",
        "CREATE TABLE {lab}.session__note (s int, n int, PRIMARY KEY (s, n),"
        " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    )
    return altered("{lab}.session MODIFY note varchar(9) NOT NULL")(rig)


def a_store_is_missing(rig: Rig) -> dict[str, Any]:
    comment = "':<blob@raw>:'"
    rig.run("lab_a", f"ALTER TABLE {{lab}}.session ADD COLUMN waves json NULL COMMENT {comment}")
    return document(rig)


def no_right_to_refer(rig: Rig) -> dict[str, Any]:
    pattern = rig.names("lab").replace("_", "\\_")
    rig.run("lab_a", f"REVOKE REFERENCES ON `{pattern}`.* FROM '{rig.names('link')}'@'%'")
    return document(rig)


def it_depends_on_no_link(rig: Rig) -> dict[str, Any]:
    return document(rig, Nothing={}, Session={"depends_on": [rig.address("lab_a", "lab", "Nothing")]})


def a_condition_that_cannot_be_evaluated(rig: Rig) -> dict[str, Any]:
    rig.run("lab_a", "ALTER TABLE {lab}.session ADD word varchar(9) NOT NULL DEFAULT 'private'")
    return document(rig, Session={"where": "word = 5"})


CAUSES: dict[str, Callable[[Rig], dict[str, Any]]] = {
    "a column of another type": altered("{lab}.session MODIFY note varchar(9) NOT NULL"),
    "a column that needs a value": altered("{lab}.session ADD extra int NOT NULL"),
    "a column is gone": altered("{lab}.session DROP note"),
    "a part's column of another type": altered("{lab}.session__trial MODIFY note varchar(9) NOT NULL"),
    "a local column of another type": altered_locally("{schema}.session MODIFY note varchar(9) NOT NULL"),
    "a local part's column of another type": altered_locally("{schema}.session__trial MODIFY note text"),
    "a store is missing": a_store_is_missing,
    "a part stands locally": a_part_comes_where_a_table_of_ours_stands,
    "a part and a column of another type": a_part_and_a_column_come,
    "a condition on no column": ruled(Session={"where": "nothing = 1"}),
    "a condition that the server rejects": ruled(Session={"where": "note = abs(1, 2)"}),
    "a condition that cannot be evaluated": a_condition_that_cannot_be_evaluated,
    "it depends on no link": it_depends_on_no_link,
    "the parent is mistyped": ruled(Mouse=None, Muose={}),
    "the parent has a column of another type": altered("{lab}.mouse MODIFY note varchar(9) NOT NULL"),
    "the child has a column of another type": altered("{lab}.scan MODIFY note varchar(9) NOT NULL"),
    "the child's condition is wrong": ruled(Scan={"where": "nothing = 1"}),
    "no right to refer": no_right_to_refer,
}


def planned_of(rig: Rig, plan: Plan, name: str) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", name))


def ask(rig: Rig, table: str, ending: str, column: str, value: int) -> None:
    """Insert a request or an approval."""
    base = f"{{outbound}}.{rig.names('lab')}_{table}_{ending}"
    rig.run("lab_a", f"INSERT INTO {base} ({column}) VALUES ({value})")


def keys(rig: Rig, table: str) -> tuple[list[int], list[int]]:
    """The first key column of what is held, and of what is here."""
    column, schema = "m" if table == "mouse" else "s", rig.local_schema("lab_a", "lab")
    held = rig.run("lab_a", f"SELECT {column} FROM {{outbound}}.{rig.names('lab')}_{table} ORDER BY 1")
    local = rig.servers.local.execute(f"SELECT {column} FROM `{schema}`.{table} ORDER BY 1")
    return [row[0] for row in held], [row[0] for row in local]


@pytest.mark.parametrize("cause", CAUSES)
def test_what_bars_pulls_bars_no_request_no_deletion_and_no_approval(lab: Rig, cause: str) -> None:
    manifest, schema = CAUSES[cause](lab), lab.local_schema("lab_a", "lab")
    ask(lab, "session", "deletion_requested", "s", 10)
    ask(lab, "session", "deletion_requested", "s", 40)
    lab.servers.local.execute(f"DELETE FROM `{schema}`.session WHERE s = 40")
    ask(lab, "session", "deletion_approved", "s", 30)  # an approval that was interrupted
    plan, report = lab.apply(manifest)
    assert plan.has_errors
    assert report.succeeded, report.outcomes
    link = planned_of(lab, plan, "Session")
    assert link.is_stopped is not cause.startswith("the child")
    assert (link.observed, link.source_rows, link.outbound_rows, link.local_rows) == (True, 5, 4, 3)
    assert bool([a for a in link.actions if isinstance(a, Pull)]) is not link.is_stopped
    [deletion] = [a for a in link.actions if isinstance(a, Delete)]
    assert (deletion.entities, deletion.along) == (1, ((lab.address("lab_a", "lab", "Scan"), 1),))
    others = [(type(a), a.entities) for a in link.actions if isinstance(a, Approve | Mend)]
    assert others == [(Mend, 1), (Approve, 1)]
    new = [] if link.is_stopped else [50]
    assert keys(lab, "session") == ([20, 30, *new], [20, 30, *new])
    assert keys(lab, "scan") == ([20, 30], [20, 30])
    # the owner may delete them now
    for table in ("scan", "session__trial", "session"):
        lab.run("lab_a", f"DELETE FROM {{lab}}.{table} WHERE s IN (10, 40)")
    again = lab.plan(manifest)
    assert not again.has_changes
    assert again.has_errors
    if cause == "the parent is mistyped":
        return  # there is no link of it
    ask(lab, "mouse", "deletion_requested", "m", 1)
    plan, report = lab.apply(manifest)
    assert report.succeeded, report.outcomes
    [deletion] = [a for a in planned_of(lab, plan, "Mouse").actions if isinstance(a, Delete)]
    assert [count for _, count in deletion.along] == [1, 1]
    assert keys(lab, "mouse") == ([2], [2])
    assert keys(lab, "session") == ([30, *new], [30, *new])
    assert keys(lab, "scan") == ([30], [30])


def test_rows_of_ours_in_a_table_with_the_name_of_a_part_keep_what_they_refer_to(lab: Rig) -> None:
    manifest, schema = a_part_comes_where_a_table_of_ours_stands(lab), lab.local_schema("lab_a", "lab")
    lab.servers.local.execute(
        f"ALTER TABLE `{schema}`.session__note ADD FOREIGN KEY (s) REFERENCES `{schema}`.session (s)"
    )
    ask(lab, "session", "deletion_requested", "s", 10)
    plan, report = lab.apply(manifest)
    assert report.succeeded
    assert keys(lab, "session")[1] == [10, 20, 30, 40]
    [block] = [b for b in planned_of(lab, plan, "Session").blocked if b.kind == "review"]
    assert f"{schema}.session__note (1 row)" in block.reason


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("ALTER TABLE {lab}.session DROP FOREIGN KEY session_ibfk_1", None),  # it bars nothing
        ("RENAME TABLE {outbound}.`~djlink` TO {outbound}.was_djlink", "was not created by djlink"),
    ],
)
def test_what_says_that_the_tables_are_not_ours_bars_everything(
    lab: Rig, cause: str, words: str | None
) -> None:
    lab.run("lab_a", cause)
    ask(lab, "session", "deletion_requested", "s", 10)
    plan, _ = lab.apply(document(lab))
    link = planned_of(lab, plan, "Session")
    assert link.observed is (words is None)
    assert bool(link.actions) is (words is None)
    assert any(words in b.reason for b in link.blocked if b.whole) if words else not link.is_stopped
    assert keys(lab, "session")[1] == ([20, 30, 40, 50] if words is None else [10, 20, 30, 40])


def test_a_child_that_cannot_be_observed_keeps_its_parents_entities(lab: Rig) -> None:
    schema = lab.local_schema("lab_a", "lab")
    lab.servers.local.execute(f"UPDATE `{schema}`.`~djlink` SET manifest = 'other' WHERE table_name = 'scan'")
    ask(lab, "session", "deletion_requested", "s", 10)
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    assert not planned_of(lab, plan, "Scan").observed
    assert not any(isinstance(a, Delete) for a in planned_of(lab, plan, "Session").actions)
    assert 10 in keys(lab, "session")[1]
    assert 10 in keys(lab, "scan")[1]


def test_under_release_nothing_goes_while_what_is_wanted_is_not_sure(lab: Rig) -> None:
    lab.run("lab_a", "ALTER TABLE {lab}.mouse MODIFY note varchar(9) NOT NULL")
    plan, _ = lab.apply(document(lab, Session={"unwanted": "release", "where": "s = 10"}))
    assert planned_of(lab, plan, "Session").is_stopped
    assert keys(lab, "session")[1] == [10, 20, 30, 40]


def test_rows_that_are_missing_locally_are_not_released_while_they_cannot_come_again(lab: Rig) -> None:
    schema = lab.local_schema("lab_a", "lab")
    lab.servers.local.execute(f"DELETE FROM `{schema}`.session WHERE s = 40")
    lab.run("lab_a", "ALTER TABLE {lab}.mouse MODIFY note varchar(9) NOT NULL")
    lab.apply(document(lab))
    assert keys(lab, "session") == ([10, 20, 30, 40], [10, 20, 30])
