"""Source rows that went while foreign key checks were off: counted by every plan, and the two ways out."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from djlink_manifest.cli import run
from djlink_manifest.model.links.entity import State
from djlink_manifest.reconcile.plan.actions import Blocked, Refill
from djlink_manifest.reconcile.plan.messages import STRAYS
from djlink_manifest.reconcile.plan.plan import Plan
from tests.support.rig import Rig, link_of, quiet
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.cell (id int PRIMARY KEY, v int)",
    "CREATE TABLE {lab}.cell__arm (id int, arm int, PRIMARY KEY (id, arm),"
    " FOREIGN KEY (id) REFERENCES {lab}.cell (id))",
    "CREATE TABLE {lab}.fit (f int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.cell (id))",
    "INSERT INTO {lab}.cell VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
    "INSERT INTO {lab}.cell__arm SELECT id, 1 FROM {lab}.cell",
    "INSERT INTO {lab}.fit VALUES (10, 1), (50, 5)",
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    return rig


def document(rig: Rig, cell: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    tables = {"Cell": {"changed": "mend", **(cell or {})}, "Fit": {}}
    return rig.document({"lab_a": {"lab": {"tables": tables, **options}}})


def unchecked(rig: Rig, *statements: str) -> None:
    """What an owner's script does without foreign key checks."""
    with rig.server("lab_a").connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION foreign_key_checks = 0")
        for statement in statements:
            cursor.execute(rig.sql(statement))


def gone(rig: Rig, *keys: int) -> None:
    listed = ", ".join(map(str, keys))
    unchecked(
        rig,
        f"DELETE FROM {{lab}}.fit WHERE id IN ({listed})",
        f"DELETE FROM {{lab}}.cell__arm WHERE id IN ({listed})",
        f"DELETE FROM {{lab}}.cell WHERE id IN ({listed})",
    )


def strays(rig: Rig, plan: Plan, table: str = "Cell") -> list[int]:
    blocked = link_of(plan, rig.address("lab_a", "lab", table)).blocked
    return [b.count for b in blocked if b.kind == "error" and b.reason == STRAYS]


def local_rows(rig: Rig, table: str = "cell", what: str = "*") -> list[tuple[Any, ...]]:
    schema = rig.local_schema("lab_a", "lab")
    return ask(rig.servers.local, f"SELECT {what} FROM `{schema}`.`{table}` ORDER BY 1")


def source_rows(rig: Rig, ending: str = "") -> list[tuple[Any, ...]]:
    return rig.run("lab_a", f"SELECT id FROM {rig.outbound_table('lab', f'cell{ending}')} ORDER BY 1")


def request(rig: Rig, where: str, ending: str = "_deletion_requested") -> None:
    table = rig.outbound_table("lab", f"cell{ending}")
    rig.run("lab_a", f"INSERT INTO {table} (id) SELECT id FROM {{lab}}.cell WHERE {where}")


@alike
@pytest.mark.parametrize("verify", [False, True])
def test_every_plan_counts_what_is_held_without_a_source_row(lab: Rig, verify: bool) -> None:
    gone(lab, 4, 5)
    with lab.job(document(lab)) as job:
        plan = job.plan(verify=verify)
    assert plan.has_errors
    assert not plan.has_changes
    assert strays(lab, plan) == [2]
    assert strays(lab, plan, "Fit") == [1]
    row = link_of(plan, lab.address("lab_a", "lab", "Cell"))
    assert (row.source_rows, row.outbound_rows, row.local_rows) == (3, 5, 5)


@alike
def test_equal_counts_hide_nothing(lab: Rig) -> None:
    gone(lab, 4, 5)
    run_all(lab, "INSERT INTO {lab}.cell VALUES (6, 6), (7, 7)", "INSERT INTO {lab}.cell__arm VALUES (6, 1)")
    plan, report = lab.apply(document(lab))
    assert strays(lab, plan) == [2]
    assert report.succeeded
    assert [row[0] for row in local_rows(lab)] == [1, 2, 3, 4, 5, 6, 7], "what has a source row is pulled"
    again = lab.plan(document(lab))
    assert strays(lab, again) == [2]
    assert not again.has_changes


@alike
def test_every_state_without_a_source_row_is_counted(lab: Rig) -> None:
    """With requests, approvals, local rows and `where`, each with and without the others."""
    request(lab, "id IN (2, 3)")
    run_all(lab, "INSERT INTO {lab}.cell VALUES (8, 8), (9, 9)")
    request(lab, "id = 8")
    request(lab, "id = 9", "_deletion_approved")
    schema = lab.local_schema("lab_a", "lab")
    for table, key in (("cell__arm", 3), ("cell__arm", 4), ("cell", 3), ("cell", 4)):
        ask(lab.servers.local, f"DELETE FROM `{schema}`.`{table}` WHERE id = {key}")
    ask(lab.servers.local, f"INSERT INTO `{schema}`.cell VALUES (9, 9), (90, 9)")
    gone(lab, 2, 3, 4, 5, 8, 9)
    expected = {
        (True, True, True, False): 1,  # 2
        (True, False, True, False): 1,  # 3
        (True, False, False, False): 1,  # 4
        (True, True, False, False): 1,  # 5
        (False, False, True, False): 1,  # 8
        (False, True, False, True): 1,  # 9
    }
    for where in ({}, {"where": "id < 100"}, {"where": "id = 1", "unwanted": "release", "max_deletions": 99}):
        with lab.job(document(lab, where)) as job:
            plan = job.plan()
            snapshot = job.observed.snapshots[lab.address("lab_a", "lab", "Cell")]
        found = {c.presence[1:]: n for c, n in snapshot.counts.items() if not c.presence.source}
        assert found == {**expected, (False, True, False, False): 1}, where  # 90
        assert strays(lab, plan) == [6]
        assert snapshot.in_state(State.ORPHAN) == 1
    # nothing of it goes by itself, not by `auto`, not as unwanted, not as gone
    before = local_rows(lab)
    auto = document(lab, {"where": "id = 1", "unwanted": "release", "deletions": "auto", "max_deletions": 99})
    _, report = lab.apply(auto)
    assert report.succeeded, report
    assert local_rows(lab) == before
    assert source_rows(lab) == [(1,), (2,), (3,), (4,), (5,)]


@alike
def test_a_request_for_what_is_gone_is_in_nobodys_way(lab: Rig) -> None:
    request(lab, "id IN (2, 3)")
    gone(lab, 3)
    auto = document(lab, {"deletions": "auto", "max_deletions": 99})
    _, report = lab.apply(auto)
    assert report.succeeded, report
    assert [row[0] for row in local_rows(lab)] == [1, 3, 4, 5]
    assert source_rows(lab, "_deletion_approved") == [(2,)]


@alike
def test_nothing_is_refilled_while_source_rows_are_missing(lab: Rig) -> None:
    gone(lab, 4, 5)
    run_all(lab, "INSERT INTO {lab}.cell VALUES (4, 400)", "INSERT INTO {lab}.cell__arm VALUES (4, 7)")
    run_all(lab, "ALTER TABLE {lab}.cell ADD COLUMN more int")
    with lab.job(document(lab)) as job:
        plan = job.plan(verify=True)
        report = job.apply(plan, quiet, threading.Event())
    assert strays(lab, plan) == [1]
    cell = link_of(plan, lab.address("lab_a", "lab", "Cell"))
    assert not [a for a in cell.actions if isinstance(a, Refill)]
    assert report.succeeded, report
    assert local_rows(lab, "cell", "id, v") == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)], (
        "its key may be another's"
    )
    run_all(lab, "INSERT INTO {lab}.cell VALUES (5, 5, 1)", "INSERT INTO {lab}.cell__arm VALUES (5, 1)")
    plan, report = lab.apply(document(lab))  # the owner put the row back
    assert strays(lab, plan) == []
    assert report.succeeded
    assert local_rows(lab, "cell", "id, v, more")[4] == (5, 5, 1)


@alike
def test_the_row_put_back_by_the_owner_is_held_as_before(lab: Rig) -> None:
    unchecked(
        lab, "CREATE TABLE {lab}.kept AS SELECT * FROM {lab}.cell", "DELETE FROM {lab}.cell WHERE id > 1"
    )
    assert strays(lab, lab.plan(document(lab))) == [4]
    unchecked(lab, "INSERT INTO {lab}.cell SELECT * FROM {lab}.kept WHERE id > 1")
    plan = lab.plan(document(lab))
    assert not plan.has_errors
    assert not plan.has_changes


@alike
def test_an_approval_that_names_them_deletes_what_is_here_and_forgets_them(
    lab: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request(lab, "id IN (3, 4)")
    schema = lab.local_schema("lab_a", "lab")
    for table in ("cell__arm", "cell"):
        ask(lab.servers.local, f"DELETE FROM `{schema}`.`{table}` WHERE id = 4")
    gone(lab, 3, 4, 5)
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)
    address = lab.address("lab_a", "lab", "Cell")
    (block,) = [b for b in _blocked(lab, address) if b.reason == STRAYS]
    assert f"`djlink approve {address} --orphans`" in (block.hint or "")
    file = ["-f", str(lab.folder / "djlink.yaml")]
    assert run(["approve", address, "--orphans", *file]) == 0
    assert "id=3" in capsys.readouterr().err
    run(["apply", "--auto-approve", *file])  # 1: of `Fit` one is gone too, which goes along
    assert run(["plan", *file]) == 0, capsys.readouterr().out
    assert [row[0] for row in local_rows(lab)] == [1, 2]
    assert local_rows(lab, "fit") == [(10, 1)]
    assert source_rows(lab) == [(1,), (2,)]
    assert source_rows(lab, "_deletion_requested") == []


@alike
def test_rows_of_the_labs_own_keep_what_has_no_source_row_any_more(lab: Rig) -> None:
    schema = lab.local_schema("lab_a", "lab")
    ask(lab.servers.local, f"CREATE TABLE `{schema}`.mine (id int, FOREIGN KEY (id) REFERENCES cell (id))")
    ask(lab.servers.local, f"INSERT INTO `{schema}`.mine VALUES (5)")
    gone(lab, 4, 5)
    address = lab.address("lab_a", "lab", "Cell")
    with lab.job(document(lab)) as job:
        plan = job.plan(orphans_of=[address])
        [given] = job.approvals(plan, address, "a.lee", "2026-11-24", orphans=True)
    entry = {
        "link": given.link, "keys": given.keys, "count": given.count, "with": dict(given.along),
        "by": given.by, "date": given.date, "orphans": True,
    }  # fmt: skip
    doc = {**document(lab), "approvals": [entry]}
    plan, report = lab.apply(doc)
    assert report.succeeded, report
    assert [row[0] for row in local_rows(lab)] == [1, 2, 3, 5]
    assert source_rows(lab) == [(1,), (2,), (3,), (5,)]
    assert strays(lab, lab.plan(document(lab))) == [1]


def _blocked(rig: Rig, address: str) -> tuple[Blocked, ...]:
    return link_of(rig.plan(document(rig)), address).blocked


@alike
def test_commands_say_it(
    lab: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone(lab, 5)
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)
    file = ["-f", str(lab.write(document(lab)))]
    for command in (["plan"], ["plan", "--json"], ["status"], ["apply", "--auto-approve"]):
        assert run([*command, *file]) == 1, command
        told = capsys.readouterr()
        assert any(words in told.out + told.err for words in ("1 row blocked", '"count": 1')), told
    assert run(["explain", lab.address("lab_a", "lab", "Cell"), "id=5", *file]) == 0
    assert "impossible" in capsys.readouterr().out


@alike
def test_what_refers_to_a_row_that_the_source_does_not_have_is_counted_and_rests(
    lab: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unchecked(lab, "INSERT INTO {lab}.fit VALUES (70, 99)")
    run_all(lab, "INSERT INTO {lab}.fit VALUES (71, 4)")
    _, report = lab.apply(document(lab))
    assert report.succeeded
    assert local_rows(lab, "fit") == [(10, 1), (50, 5), (71, 4)]
    plan = lab.plan(document(lab))
    assert not plan.has_changes
    address = lab.address("lab_a", "lab", "Fit")
    assert [(b.kind, b.count) for b in link_of(plan, address).blocked] == [("error", 1)]
    assert "that do not exist at the source" in link_of(plan, address).blocked[0].reason
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)
    assert run(["explain", address, "f=70", "-f", str(lab.folder / "djlink.yaml")]) == 0
    assert "that do not exist at the source" in capsys.readouterr().out
    run_all(lab, "INSERT INTO {lab}.cell VALUES (99, 9)")
    assert lab.apply(document(lab))[1].succeeded
    assert not lab.plan(document(lab)).has_changes
    assert (70, 99) in local_rows(lab, "fit")


@alike
def test_below_a_dropped_table_what_has_no_source_row_leaves_nothing_to_do_for_ever(lab: Rig) -> None:
    gone(lab, 4, 5)
    unchecked(lab, "INSERT INTO {lab}.fit VALUES (50, 5)")  # refers to a row that is held, and gone
    schema = lab.local_schema("lab_a", "lab")
    for table in ("fit__deletion_requested", "fit", "cell__deletion_requested", "cell__arm", "cell"):
        ask(lab.servers.local, f"DROP TABLE `{schema}`.`{table}`")
    _, report = lab.apply(document(lab))
    assert report.succeeded, report.outcomes
    assert [row[0] for row in local_rows(lab)] == [1, 2, 3]
    assert local_rows(lab, "fit") == [(10, 1)]
    again = lab.plan(document(lab))
    assert not again.has_changes, [link.actions for link in again.links]
    assert strays(lab, again) == [2]
