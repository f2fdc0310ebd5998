"""Links taken out of a manifest: forgotten ones are told, `removed` ones are taken out, kept or dropped."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.errors import LinkLocked
from djlink_manifest.model.tables.naming import lock_name
from tests.support.command import run
from tests.support.faults.crash import Applier
from tests.support.invariants.protection import check_whole
from tests.support.pipelines.deletion import (
    deletes,
    document,
    lab,
    local,
    of,
    on_all_pairs,
    outbound,
    own_table,
    request,
)
from tests.support.rig import Rig
from tests.support.snapshots import Saved
from tests.support.sql import ask
from tests.support.statements import Statement, once, watched

__all__ = ["lab"]  # a fixture
STAYING = ["Subject", "Spikes"]


def without_session(rig: Rig, table: str | None) -> dict[str, Any]:
    removed = {rig.address("lab_a", "lab", "Session"): {"table": table}} if table else {}
    return document(rig, STAYING, removed=removed)


def tables_of(rig: Rig, server: str, schema: str) -> set[str]:
    return {
        row[0]
        for row in ask(
            rig.server(server),
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s",
            (schema,),
        )
    }


def foreign_keys(rig: Rig, table: str) -> int:
    schema = rig.local_schema("lab_a", "lab")
    text = (
        "SELECT COUNT(*) FROM information_schema.table_constraints"
        " WHERE constraint_type = 'FOREIGN KEY' AND table_schema = %s AND table_name = %s"
    )
    return int(ask(rig.servers.local, text, (schema, table))[0][0])


def test_a_forgotten_link_is_told_with_what_it_holds_and_not_touched(lab: Rig) -> None:
    plan, report = lab.apply(without_session(lab, None))
    assert report.succeeded
    [forgotten] = plan.forgotten
    assert (forgotten.source_table.split(".")[1], forgotten.held) == ("session", 4)
    assert len(outbound(lab, "session")) == 4
    assert len(local(lab, "session")) == 4


def test_the_entry_that_a_plan_prints_for_a_forgotten_link_takes_it_out(lab: Rig) -> None:
    undeclared = {key: value for key, value in without_session(lab, None).items() if key != "removed"}
    path, address = lab.write(undeclared), lab.address("lab_a", "lab", "Session")
    code, out, err = run(lab, path, "plan", "--fail-on", "drift,forgotten")
    assert code == 1
    assert "--fail-on forgotten: 1 link forgotten" in err
    assert "1 link forgotten (4 rows still held)" in out
    told = json.loads(run(lab, path, "plan", "--json")[1])
    [forgotten] = told["forgotten"]
    assert forgotten["address"] == address
    assert (told["summary"]["forgotten"], told["summary"]["forgotten_rows"]) == (1, 4)
    words, _, entry = forgotten["hint"].partition("take it out: ")
    assert words
    with path.open("a") as file:
        file.write(entry + "\n")
    code, out, err = run(lab, path, "plan", "--fail-on", "forgotten")
    assert (code, err) == (0, "")
    assert "1 link to remove" in out
    # where the manifest has the key already, its place is told
    document = {
        **without_session(lab, None),
        "removed": {lab.address("lab_a", "lab", "Old"): {"table": "keep"}},
    }
    path = lab.write(document)
    line = path.read_text().splitlines().index("removed:") + 1
    assert f"an entry of `removed` ({path}:{line}): {address}: {{table: keep}}" in run(lab, path, "plan")[1]


@on_all_pairs
@pytest.mark.parametrize("table", ["keep", "drop"])
def test_a_removed_link_lets_go_of_its_rows_and_the_ledger_stays(lab: Rig, table: str) -> None:
    local_schema = lab.local_schema("lab_a", "lab")
    doc = without_session(lab, table)
    assert foreign_keys(lab, "spikes") == 1
    plan, report = lab.apply(doc)
    assert report.succeeded, report.outcomes
    assert not plan.forgotten
    [removal] = plan.removals
    assert (removal.held, len(removal.drop_keys)) == (4, 1)
    [outcome] = [o for o in report.outcomes if o.taken_out]
    assert outcome.counts.released == 4
    left = {name for name in tables_of(lab, "lab_a", lab.outbound) if "session" in name}
    assert left == {f"{lab.names('lab')}_session_history"}
    assert {row[0] for row in outbound(lab, "session_history", "event")} == {"released (removed)"}
    assert foreign_keys(lab, "spikes") == 0
    sessions = {name for name in tables_of(lab, "local", local_schema) if name.startswith("session")}
    assert sessions == ({"session", "session__trial"} if table == "keep" else set())
    lab.run("lab_a", "DELETE FROM {lab}.session__trial WHERE name = 'eve'")
    lab.run("lab_a", "DELETE FROM {lab}.session WHERE name = 'eve'")

    # nothing is left to do, and the entry says so; the other links go on
    plan = lab.plan(doc)
    assert not plan.has_changes
    assert any("is done; delete the entry" in words for words in plan.warnings)
    if table == "keep":
        [block] = of(lab, lab.plan(document(lab)), "Session").blocked
        assert "was not created by djlink" in block.reason
    if table == "drop":
        plan, report = lab.apply(document(lab))
        assert report.succeeded
        assert len(local(lab, "session")) == 3
        assert foreign_keys(lab, "spikes") == 1


def test_a_table_of_the_labs_own_keeps_a_dropped_link_from_going(lab: Rig) -> None:
    fit = own_table(lab, "session (name, n)")
    plan, _ = lab.apply(without_session(lab, "drop"))
    [removal] = plan.removals
    assert fit.replace("`", "") in removal.blocked[0].reason
    assert plan.has_errors
    assert len(local(lab, "session")) == 4
    assert len(outbound(lab, "session")) == 4
    _, report = lab.apply(without_session(lab, "keep"))
    assert report.succeeded


def test_a_removal_killed_at_any_change_is_finished_by_the_next_apply(lab: Rig) -> None:
    local_schema = lab.local_schema("lab_a", "lab")
    with lab.job(without_session(lab, "drop")) as job:
        links = job.links
    manifest = str(lab.folder / "djlink.yaml")

    def state() -> tuple[Saved, Saved]:
        return Saved.of(lab.servers.lab_a, lab.outbound), Saved.of(lab.servers.local, local_schema)

    before = state()
    applier = Applier(lab.environ, Path(__file__).parents[2])
    try:
        made = applier(manifest=manifest)["changes"]
        ends = [sorted(saved.tables) for saved in state()]
        for at in range(1, len(made) + 1):
            for saved, server in zip(before, (lab.servers.lab_a, lab.servers.local), strict=True):
                with server.connect() as connection, connection.cursor() as cursor:
                    cursor.execute("SET SESSION foreign_key_checks = 0")
                    for name in tables_of(
                        lab, "lab_a" if server is lab.servers.lab_a else "local", saved.schema
                    ):
                        cursor.execute(f"DROP TABLE `{saved.schema}`.`{name}`")
                saved.put_back(server)
            assert applier(manifest=manifest, at=at) == {"killed": 9}
            check_whole(lab, links)
            while lab.own_sessions("lab_a") or lab.own_sessions("local"):
                pass
            answer = applier(manifest=manifest)
            assert not answer["problems"], made[at - 1]
            assert not answer["again"], made[at - 1]
            assert [sorted(saved.tables) for saved in state()] == ends, made[at - 1]
    finally:
        applier.close()


def test_another_schema_name_is_refused_with_the_way_to_do_it(lab: Rig) -> None:
    doc = document(lab)
    doc["defaults"]["schema_name"] = lab.names("elsewhere_") + "{schema}"
    plan = lab.plan(doc)
    assert plan.has_errors
    hints = [b.hint or "" for link in plan.links for b in link.blocked]
    assert all("add `moved: [{local_schema: " in hint for hint in hints)


def test_a_deletion_below_a_forgotten_link_does_not_touch_its_rows(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    doc = document(lab, STAYING, defaults={"deletions": "auto", "max_deletions": "100%"})
    plan, report = lab.apply(doc)
    assert report.succeeded
    assert deletes(of(lab, plan, "Subject")) == []
    [block] = [b for b in of(lab, plan, "Subject").blocked if b.kind == "review"]
    assert "rows of your own depend on them" in block.reason
    assert len(local(lab, "session")) == 4


def test_a_removal_is_targeted_and_excluded_like_any_link_and_told_where_it_is_left_out(lab: Rig) -> None:
    doc = without_session(lab, "keep")
    session, subject = (lab.address("lab_a", "lab", name) for name in ("Session", "Subject"))
    for targets, excludes in (([subject], []), ([], [session])):
        plan, report = lab.apply(doc, targets=targets, excludes=excludes)
        assert report.succeeded
        assert not plan.removals
        [told] = [w for w in plan.warnings if "is not in this plan" in w]
        assert f"--target {session} removes it alone" in told
        assert not any("delete the entry" in w for w in plan.warnings)
    assert len(outbound(lab, "session")) == 4
    plan, report = lab.apply(doc, targets=[session])
    assert report.succeeded, report.outcomes
    assert ([r.address for r in plan.removals], plan.links) == ([session], ())
    assert tables_of(lab, "lab_a", lab.outbound) & {f"{lab.names('lab')}_session"} == set()


def test_a_removal_waits_for_no_one_and_nothing_is_done_where_another_djlink_has_its_lock(lab: Rig) -> None:
    doc = without_session(lab, "keep")
    lab.run("lab_a", "INSERT INTO {lab}.subject VALUES ('zoe', 'rat')")
    with lab.job(doc) as job:
        plan = job.plan()
        [removal] = plan.removals
        with lab.servers.local.connect() as other, other.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", (lock_name(removal.link_id, "local"),))
            with pytest.raises(LinkLocked, match="another djlink works on this link"):
                job.apply(plan, lambda _: None, threading.Event())
        assert len(outbound(lab, "session")) == 4
        assert len(local(lab, "subject")) == 3
        assert job.apply(plan, lambda _: None, threading.Event()).succeeded
    assert len(local(lab, "subject")) == 4


def test_a_removal_that_is_interrupted_ends_after_the_step_in_hand_and_says_so(lab: Rig) -> None:
    stop = threading.Event()

    def dropping(statement: Statement) -> bool:
        return statement.begins("DROP TABLE") and statement.port == lab.servers.lab_a.port

    with watched(once(dropping, lambda _: stop.set())):
        _, report = lab.apply(without_session(lab, "keep"), stop=stop)
    assert report.interrupted
    [outcome] = report.outcomes
    assert (outcome.status, outcome.taken_out) == ("failed", False)
    assert "interrupted; completed steps are kept" in (outcome.problem or "")
    left = {name for name in tables_of(lab, "lab_a", lab.outbound) if "session" in name}
    assert len(left) == 3, "one of the tables went, the others stand"
    _, report = lab.apply(without_session(lab, "keep"))
    assert report.succeeded
    assert lab.plan(without_session(lab, "keep")).has_changes is False
