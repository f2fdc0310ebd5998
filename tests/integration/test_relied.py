"""Refills and the rows of other tables that refer to what a refill would delete or change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from djlink_manifest import load
from djlink_manifest.errors import LinkRefused
from djlink_manifest.reconcile.plan.actions import Blocked, Refill
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime.events import Report
from djlink_manifest.servers.transfer import reliance
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE DATABASE {own}",
    "CREATE TABLE {lab}.cell (id int PRIMARY KEY, tag varchar(9) UNIQUE, v int)",
    "CREATE TABLE {lab}.cell__arm (id int, arm varchar(5), v int, PRIMARY KEY (id, arm),"
    " FOREIGN KEY (id) REFERENCES {lab}.cell (id))",
    "CREATE TABLE {lab}.fit (f int PRIMARY KEY, id int, arm varchar(5),"
    " FOREIGN KEY (id, arm) REFERENCES {lab}.cell__arm (id, arm))",
    "INSERT INTO {lab}.cell VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)",
    "INSERT INTO {lab}.cell__arm VALUES (1, 'l', 0), (1, 'r', 0), (2, 'l', 0), (2, 'r', 0), (3, 'l', 0)",
    "INSERT INTO {lab}.fit VALUES (1, 3, 'l')",
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES[:1], *TABLES[2:])
    ask(rig.servers.local, f"CREATE DATABASE `{rig.names('own')}`")
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    return rig


def document(rig: Rig, changed: str = "mend") -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": {"*": {"changed": changed}}}}})


def locally(rig: Rig, *texts: str) -> list[tuple[Any, ...]]:
    names = {"@here": f"`{rig.local_schema('lab_a', 'lab')}`", "@own": f"`{rig.names('own')}`"}
    rows: list[tuple[Any, ...]] = []
    for text in texts:
        for name, schema in names.items():
            text = text.replace(name, schema)
        rows = ask(rig.servers.local, text)
    return rows


def own(
    rig: Rig, rule: str, columns: str = "id int, arm varchar(5)", to: str = "cell__arm (id, arm)"
) -> None:
    """A table of the lab's own with one row for each row of a linked table."""
    names = to.partition(" ")[2].strip("()")
    locally(
        rig,
        f"CREATE TABLE @own.mine (n int AUTO_INCREMENT PRIMARY KEY, {columns},"
        f" FOREIGN KEY ({names}) REFERENCES @here.{to} {rule})",
        f"INSERT INTO @own.mine ({names}) SELECT {names} FROM @here.{to.partition(' ')[0]}",
    )


def verified(rig: Rig) -> tuple[Plan, Report]:
    with rig.job(document(rig)) as job:
        plan = job.plan(verify=True)
        return plan, job.apply(plan, quiet, threading.Event())


def cell(rig: Rig, plan: Plan) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", "Cell"))


def lab_rows(rig: Rig) -> list[tuple[Any, ...]]:
    return locally(rig, "SELECT * FROM @own.mine ORDER BY n")


def held(rig: Rig, plan: Plan) -> Blocked:
    (found,) = cell(rig, plan).blocked
    return found


@alike
@pytest.mark.parametrize("rule", ["ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE"])
def test_rows_of_the_labs_own_keep_the_part_rows_that_they_refer_to(lab: Rig, rule: str) -> None:
    own(lab, rule)
    before = lab_rows(lab)
    run_all(lab, "DELETE FROM {lab}.cell__arm WHERE id = 1 AND arm = 'l'", "UPDATE {lab}.cell__arm SET v = 5")
    plan, report = verified(lab)
    assert held(lab, plan).kind == "error"
    assert held(lab, plan).count == 1
    assert f"{lab.names('own')}.mine (1 row)" in held(lab, plan).reason
    assert [a.entities for a in cell(lab, plan).actions if isinstance(a, Refill)] == [2]
    assert report.succeeded, report
    assert lab_rows(lab) == before
    assert locally(lab, "SELECT id, arm, v FROM @here.cell__arm ORDER BY 1, 2") == [
        (1, "l", 0), (1, "r", 0), (2, "l", 5), (2, "r", 5), (3, "l", 5),
    ]  # fmt: skip
    again, _ = verified(lab)
    assert not again.has_changes
    assert again.has_errors
    locally(lab, "DELETE FROM @own.mine WHERE id = 1 AND arm = 'l'")
    plan, report = verified(lab)
    assert not plan.has_errors
    assert report.succeeded
    assert len(locally(lab, "SELECT * FROM @here.cell__arm")) == 4
    assert lab_rows(lab) == before[1:]


@alike
@pytest.mark.parametrize("rule", ["ON UPDATE CASCADE", "ON UPDATE SET NULL", "ON DELETE CASCADE"])
def test_rows_of_the_labs_own_keep_a_unique_value_that_they_refer_to(lab: Rig, rule: str) -> None:
    own(lab, rule, "tag varchar(9)", "cell (tag)")
    before = lab_rows(lab)
    run_all(lab, "UPDATE {lab}.cell SET tag = 'z' WHERE id = 1", "UPDATE {lab}.cell SET v = 7 WHERE id = 2")
    plan, report = verified(lab)
    assert held(lab, plan).count == 1
    assert [a.entities for a in cell(lab, plan).actions if isinstance(a, Refill)] == [1]
    assert report.succeeded, report
    assert lab_rows(lab) == before
    assert locally(lab, "SELECT tag, v FROM @here.cell ORDER BY id") == [("a", 0), ("b", 7), ("c", 0)]


@alike
def test_a_new_spelling_of_a_key_is_not_written_where_rows_of_the_labs_own_would_follow(lab: Rig) -> None:
    own(lab, "ON UPDATE CASCADE")
    before = lab_rows(lab)
    run_all(lab, "UPDATE {lab}.cell__arm SET arm = 'L' WHERE id = 1 AND arm = 'l'")
    plan, report = verified(lab)
    assert held(lab, plan).count == 1
    assert report.succeeded
    assert lab_rows(lab) == before


@alike
def test_rows_of_the_labs_own_that_refer_to_what_stays_are_in_nobodys_way(lab: Rig) -> None:
    own(lab, "ON DELETE CASCADE ON UPDATE CASCADE")
    locally(lab, "DELETE FROM @own.mine WHERE arm = 'l'")
    run_all(
        lab,
        "DELETE FROM {lab}.cell__arm WHERE id IN (1, 2) AND arm = 'l'",
        "UPDATE {lab}.cell__arm SET v = 9",
        "UPDATE {lab}.cell SET tag = 'y' WHERE id = 1",
    )
    before = lab_rows(lab)
    plan, report = verified(lab)
    assert not plan.has_errors
    assert report.succeeded
    assert lab_rows(lab) == before
    assert not verified(lab)[0].has_changes


@alike
def test_a_row_that_comes_after_the_plan_is_kept_too(lab: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    own(lab, "ON DELETE CASCADE")
    locally(lab, "DELETE FROM @own.mine")
    run_all(lab, "DELETE FROM {lab}.cell__arm WHERE arm = 'r'")
    with lab.job(document(lab)) as job:
        plan = job.plan(verify=True)
        assert not cell(lab, plan).blocked
        locally(lab, "INSERT INTO @own.mine (id, arm) VALUES (1, 'r')")
        report = job.apply(plan, quiet, threading.Event())
    assert lab_rows(lab)
    (outcome,) = report.outcomes
    assert outcome.counts.refilled == 1
    assert "1 entity not refilled" in (outcome.problem or "")
    assert locally(lab, "SELECT id FROM @here.cell__arm WHERE arm = 'r'") == [(1,)]


@alike
def test_a_row_that_comes_while_the_refill_runs_waits_for_it_or_is_seen(
    lab: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(lab, "ON DELETE CASCADE")
    locally(lab, "DELETE FROM @own.mine")
    run_all(lab, "DELETE FROM {lab}.cell__arm WHERE arm = 'r'")
    came = list[str]()
    find: Callable[[reliance.PutAside], int] = reliance.PutAside.find

    def found(aside: reliance.PutAside) -> int:
        entities = find(aside)
        if threading.current_thread() is not threading.main_thread() and not came:
            try:
                with lab.servers.local.connect() as connection, connection.cursor() as cursor:
                    cursor.execute("SET innodb_lock_wait_timeout = 1")
                    cursor.execute(f"INSERT INTO `{lab.names('own')}`.mine (id, arm) VALUES (1, 'r')")
                came.append("came")
            except pymysql.MySQLError as error:
                came.append(str(error))
        return entities

    with lab.job(document(lab)) as job:
        plan = job.plan(verify=True)
        monkeypatch.setattr(reliance.PutAside, "find", found)
        report = job.apply(plan, quiet, threading.Event())
    assert report.succeeded
    assert ["Lock wait timeout" in words for words in came] == [True], came
    assert not lab_rows(lab)


@alike
def test_rows_of_a_linked_child_are_brought_up_to_date_first(lab: Rig) -> None:
    run_all(
        lab,
        "UPDATE {lab}.fit SET arm = NULL",
        "DELETE FROM {lab}.cell__arm WHERE id = 3",
    )
    plan, report = verified(lab)
    assert held(lab, plan).kind == "upstream"
    assert lab.address("lab_a", "lab", "Fit") in held(lab, plan).reason
    assert report.succeeded
    plan, report = verified(lab)
    assert not cell(lab, plan).blocked
    assert report.succeeded
    assert locally(lab, "SELECT * FROM @here.cell__arm WHERE id = 3") == []
    assert not verified(lab)[0].has_changes


@alike
def test_a_refill_after_the_source_added_a_column_asks_too(lab: Rig) -> None:
    own(lab, "ON DELETE CASCADE")
    before = lab_rows(lab)
    run_all(
        lab,
        "DELETE FROM {lab}.cell__arm WHERE id = 1 AND arm = 'l'",
        "ALTER TABLE {lab}.cell__arm ADD COLUMN more int",
        "UPDATE {lab}.cell__arm SET more = 1",
    )
    plan, report = lab.apply(document(lab))
    assert held(lab, plan).count == 1
    assert [a.entities for a in cell(lab, plan).actions if isinstance(a, Refill)] == [2]
    assert report.succeeded, report
    assert lab_rows(lab) == before
    assert locally(lab, "SELECT COUNT(more) FROM @here.cell__arm") == [(3,)]
    again = lab.plan(document(lab))
    assert held(lab, again).count == 1, "the refill is not over"
    assert not again.has_changes, "and there is nothing to do meanwhile"
    locally(lab, "DELETE FROM @own.mine WHERE id = 1 AND arm = 'l'")
    assert lab.apply(document(lab))[1].succeeded
    assert locally(lab, "SELECT COUNT(more) FROM @here.cell__arm") == [(4,)]
    assert not lab.plan(document(lab)).has_changes


@alike
def test_the_plans_line_deletes_the_rows_that_are_in_the_way(lab: Rig) -> None:
    own(lab, "ON DELETE CASCADE")
    before = lab_rows(lab)
    run_all(lab, "DELETE FROM {lab}.cell__arm WHERE id = 1 AND arm = 'l'")
    plan, _ = verified(lab)
    line = (held(lab, plan).hint or "").partition("again: ")[2]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lab.environ.items():
            patch.setenv(name, value)
        exec(line.replace(".delete()", ".delete(prompt=False)"), {})
    assert lab_rows(lab) == before[1:]
    plan, report = verified(lab)
    assert not plan.has_errors
    assert report.succeeded


@alike
def test_a_table_that_the_account_cannot_see_keeps_them_too(rig: Rig) -> None:
    run_all(rig, *TABLES[:1], *TABLES[2:])
    hidden = f"hidden_{rig.names('x')}"
    ask(rig.servers.local, f"CREATE DATABASE `{hidden}`")
    try:
        rig.accounts({"lab_a": ["lab"]})
        ask(rig.servers.local, f"GRANT PROCESS ON *.* TO `{rig.names('lab')}`@`%`")
        assert rig.apply(document(rig))[1].succeeded
        for text in (
            f"CREATE TABLE `{hidden}`.mine (id int, arm varchar(5), FOREIGN KEY (id, arm)"
            " REFERENCES @here.cell__arm (id, arm) ON DELETE CASCADE)",
            f"INSERT INTO `{hidden}`.mine SELECT id, arm FROM @here.cell__arm",
        ):
            locally(rig, text)
        run_all(rig, "DELETE FROM {lab}.cell__arm WHERE id = 1", "UPDATE {lab}.cell SET v = 3")
        plan, report = verified(rig)
        assert f"GRANT SELECT ON `{hidden}`.`mine`" in (held(rig, plan).hint or "")
        assert held(rig, plan).count == 1
        assert report.succeeded
        assert locally(rig, f"SELECT COUNT(*) FROM `{hidden}`.mine") == [(5,)]
        assert locally(rig, "SELECT COUNT(*) FROM @here.cell WHERE v = 3") == [(2,)]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in rig.environ.items():
                patch.setenv(name, value)
            linked = load(rig.write(document(rig)))[rig.address("lab_a", "lab", "Cell")]
            with pytest.raises(LinkRefused, match="mine refers to its rows"):
                (linked() & "id = 2").delete(prompt=False)
        assert locally(rig, f"SELECT COUNT(*) FROM `{hidden}`.mine") == [(5,)]
    finally:
        ask(rig.servers.local, f"DROP DATABASE `{hidden}`")


@alike
def test_a_note_of_a_request_stays_while_rows_of_the_labs_own_refer_to_it(lab: Rig) -> None:
    asked = lab.outbound_table("lab", "cell_deletion_requested")
    run_all(lab, f"INSERT INTO {asked} (id, reason) VALUES (1, 'bad'), (2, 'bad')")
    assert lab.apply(document(lab))[1].succeeded
    locally(
        lab,
        "CREATE TABLE @own.mine (n int PRIMARY KEY, id int, FOREIGN KEY (id)"
        " REFERENCES @here.cell__deletion_requested (id) ON DELETE CASCADE)",
        "INSERT INTO @own.mine VALUES (1, 1), (2, 2)",
    )
    run_all(
        lab,
        f"DELETE FROM {asked} WHERE id = 1",
        f"UPDATE {asked} SET requested_at = '2026-01-02', reason = 'worse' WHERE id = 2",
        f"INSERT INTO {asked} (id, reason) VALUES (3, 'new')",
    )
    assert lab.apply(document(lab))[1].succeeded
    assert lab_rows(lab) == [(1, 1), (2, 2)]
    notes = "SELECT id, reason FROM @here.cell__deletion_requested ORDER BY id"
    assert locally(lab, notes) == [(1, "bad"), (2, "worse"), (3, "new")]
    locally(lab, "DELETE FROM @own.mine")
    assert lab.apply(document(lab))[1].succeeded
    assert locally(lab, notes) == [(2, "worse"), (3, "new")]
    assert not lab.plan(document(lab)).has_changes
