"""Which local server a link belongs to: copies, moved servers and restored marks are told by their epochs."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from djlink_manifest.model.server.rights import LOCAL_RIGHTS
from djlink_manifest.reconcile.adopt.rehearsal import Rehearsal
from djlink_manifest.reconcile.explain import commands
from djlink_manifest.reconcile.plan.actions import NoteServer, Pull, Release
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.sandbox.servers.accounts import create_local_user
from tests.support.invariants.tables import checksums
from tests.support.pipelines.sessions import TABLES, held, locally
from tests.support.rig import PASSWORD, Rig, everything, link_of, quiet
from tests.support.servers import ALIKE
from tests.support.snapshots import Saved
from tests.support.sql import ask, run_all

TWO = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)


@pytest.fixture
def linked(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(everything(rig))[1].succeeded
    return rig


def marks(rig: Rig) -> tuple[Saved, Saved]:
    """What the source and the local server have of the links."""
    local = Saved.of(rig.servers.local, rig.local_schema("lab_a", "lab"))
    return Saved.of(rig.servers.lab_a, rig.outbound), local


def epochs(rig: Rig) -> list[tuple[Any, ...]]:
    """The epochs of the source's marks, then those of the local ones with what these announce."""
    source = ask(rig.servers.lab_a, f"SELECT epoch FROM `{rig.outbound}`.`~djlink` ORDER BY table_name")
    local = locally(rig, "SELECT epoch, epoch_next FROM {here}.`~djlink` ORDER BY table_name")
    return [(*s, *n) for s, n in zip(source, local, strict=True)]


def subject(rig: Rig, document: dict[str, Any] | None = None) -> LinkPlan:
    return link_of(rig.plan(document or everything(rig)), rig.address("lab_a", "lab", "Subject"))


def new_subject(rig: Rig, key: int) -> None:
    run_all(rig, f"INSERT INTO {{lab}}.subject VALUES ({key}, 'n{key}')")


def lose_a_subject(rig: Rig, server: str = "local") -> None:
    """Nothing wants the third subject any more, and it is gone locally: its protection is to be released."""
    schema = rig.local_schema("lab_a", "lab")
    for name in ("session__trial", "session", "subject"):
        ask(rig.server(server), f"DELETE FROM `{schema}`.{name} WHERE id = 3")


def narrowed(rig: Rig, **local: Any) -> dict[str, Any]:
    """The manifest without the third subject; `local` are further keys of the local server."""
    document = rig.document({"lab_a": {"lab": {"tables": {"Subject": {"where": "id <> 3"}, "Session": {}}}}})
    document["local"].update(local)
    return document


def elsewhere(rig: Rig) -> dict[str, Any]:
    """The local schema as it stands brought to another server; what leads there."""
    copy = rig.servers.lab_b
    Saved.of(rig.servers.local, rig.local_schema("lab_a", "lab")).put_back(copy)
    create_local_user(copy, rig.names("lab"), PASSWORD, [rig.names.pattern], LOCAL_RIGHTS)
    return {"host": copy.host, "port": copy.port}


def adopt(rig: Rig, document: dict[str, Any]) -> Rehearsal:
    with rig.job(document) as job:
        rehearsed = commands.rehearse(job, ["lab_a.*"])
        commands.adopt(job, rehearsed)
        return rehearsed


def whole_block(link: LinkPlan) -> tuple[str, str]:
    [blocked] = link.blocked
    assert (blocked.kind, blocked.whole, link.actions) == ("error", True, ())
    return blocked.reason, blocked.hint or ""


@TWO
def test_of_two_copies_with_one_fingerprint_the_one_that_applies_first_is_the_one(linked: Rig) -> None:
    _, copy = marks(linked)
    new_subject(linked, 4)
    assert linked.apply(everything(linked))[1].succeeded
    _, original = marks(linked)
    copy.put_back(linked.servers.local)
    lose_a_subject(linked)
    before = checksums(linked)
    plan, report = linked.apply(narrowed(linked))
    reason, hint = whole_block(link_of(plan, linked.address("lab_a", "lab", "Subject")))
    assert "has applied since this one did" in reason
    assert f"djlink adopt {linked.address('lab_a', 'lab', 'Subject')}" in hint
    assert report.outcomes == ()
    assert checksums(linked) == before
    assert held(linked, "subject") == [(1,), (2,), (3,), (4,)]
    adopt(linked, narrowed(linked))
    assert linked.apply(narrowed(linked))[1].succeeded
    assert held(linked, "subject") == [(1,), (2,), (4,)]
    original.put_back(linked.servers.local)
    assert "has applied since this one did" in whole_block(subject(linked))[0]


@TWO
def test_a_server_with_another_fingerprint_pulls_but_releases_nothing_until_it_is_adopted(
    linked: Rig,
) -> None:
    there = elsewhere(linked)
    lose_a_subject(linked, "lab_b")
    new_subject(linked, 4)
    before, document = epochs(linked), narrowed(linked, **there)
    plan, report = linked.apply(document)
    assert report.succeeded
    link = link_of(plan, linked.address("lab_a", "lab", "Subject"))
    assert [type(a) for a in link.actions] == [Pull]
    [blocked] = link.blocked
    assert (blocked.kind, blocked.count, blocked.whole) == ("error", 1, False)
    assert "this server was moved, or it is a copy" in blocked.reason
    assert "djlink adopt" in str(blocked.hint)
    assert "`local: {identity: NAME}`" in str(blocked.hint)
    [warning] = [w for w in plan.warnings if "wait" in w]
    assert warning.startswith("2 links of lab_a: the source knows the local server as")
    assert "djlink adopt 'lab_a.*'" in warning
    assert held(linked, "subject") == [(1,), (2,), (3,), (4,)]
    assert epochs(linked) == before
    rehearsed = adopt(linked, document)
    assert "is refused from then on" in rehearsed.adoptions[0].notes[0]
    plan, report = linked.apply(document)
    assert report.succeeded
    assert held(linked, "subject") == [(1,), (2,), (4,)]
    assert not linked.plan(document).has_changes
    assert "has applied since this one did" in whole_block(subject(linked))[0]


def test_a_copy_that_pulled_does_not_put_the_original_out_and_is_found_out_when_that_applies(
    linked: Rig,
) -> None:
    copy = everything(linked)
    copy["local"].update(elsewhere(linked))
    new_subject(linked, 4)
    assert linked.apply(copy)[1].succeeded
    plan, report = linked.apply(everything(linked))
    assert report.succeeded
    assert plan.warnings == ()
    assert "has applied since this one did" in whole_block(subject(linked, copy))[0]


def test_a_stated_identity_confirms_a_moved_server_by_a_planned_action_and_then_stays_with_it(
    linked: Rig,
) -> None:
    there = elsewhere(linked)
    lose_a_subject(linked, "lab_b")
    named = narrowed(linked, **there, identity="ourlab-db")
    plan, report = linked.apply(named)
    link = link_of(plan, linked.address("lab_a", "lab", "Subject"))
    assert [type(a) for a in link.actions] == [NoteServer, Release]
    assert "`identity: ourlab-db`: this server takes the place of" in link.actions[0].reason
    assert report.succeeded
    assert held(linked, "subject") == [(1,), (2,)]
    assert not linked.plan(named).has_changes
    assert "has applied since this one did" in whole_block(subject(linked))[0]


def test_an_identity_is_noted_kept_over_a_move_and_refused_where_it_is_another(linked: Rig) -> None:
    named = narrowed(linked, identity="ourlab-db")
    plan, report = linked.apply(named)
    assert {type(a) for link in plan.links for a in link.actions} == {NoteServer}
    assert plan.links[0].actions[0].reason == "the manifest states `identity: ourlab-db`"
    assert report.succeeded
    assert not linked.plan(named).has_changes
    lose_a_subject(linked)
    # another name for this server: pulls go on, the release waits
    other = subject(linked, narrowed(linked, identity="staging"))
    assert other.actions == ()
    assert "by another `identity`" in other.blocked[0].reason
    # moved on purpose
    there = elsewhere(linked)
    moved = subject(linked, narrowed(linked, **there, identity="ourlab-db"))
    assert [type(a) for a in moved.actions] == [NoteServer, Release]
    # the name is taken out of the manifest: the fingerprint counts again
    plan, report = linked.apply(narrowed(linked))
    link = link_of(plan, linked.address("lab_a", "lab", "Subject"))
    assert [type(a) for a in link.actions] == [NoteServer, Release]
    assert link.actions[0].reason == "the manifest no longer states `identity: ourlab-db`"
    assert report.succeeded
    assert "has applied since" in whole_block(subject(linked, narrowed(linked, **there)))[0]


@TWO
def test_a_local_server_restored_from_a_backup_is_refused_until_it_is_adopted(linked: Rig) -> None:
    _, backup = marks(linked)
    new_subject(linked, 4)
    assert linked.apply(everything(linked))[1].succeeded
    backup.put_back(linked.servers.local)
    assert "was restored from a backup" in whole_block(subject(linked))[0]
    adopt(linked, everything(linked))
    assert linked.apply(everything(linked))[1].succeeded
    assert not linked.plan(everything(linked)).has_changes
    assert locally(linked, "SELECT COUNT(*) FROM {here}.subject") == [(4,)]


def test_a_source_restored_from_a_backup_gets_its_protection_back_and_loses_none_until_adopted(
    linked: Rig,
) -> None:
    backup, _ = marks(linked)
    new_subject(linked, 4)
    assert linked.apply(everything(linked))[1].succeeded
    backup.put_back(linked.servers.lab_a)
    lose_a_subject(linked)
    plan, report = linked.apply(narrowed(linked))
    assert report.succeeded
    assert held(linked, "subject") == [(1,), (2,), (3,), (4,)]
    [blocked] = link_of(plan, linked.address("lab_a", "lab", "Subject")).blocked
    assert (blocked.kind, blocked.count) == ("error", 1)
    assert "the source's marks are older than the local ones" in blocked.reason
    adopt(linked, narrowed(linked))
    assert linked.apply(narrowed(linked))[1].succeeded
    assert held(linked, "subject") == [(1,), (2,), (4,)]


def test_both_sides_restored_to_one_moment_go_on(linked: Rig) -> None:
    source, local = marks(linked)
    new_subject(linked, 4)
    assert linked.apply(everything(linked))[1].succeeded
    source.put_back(linked.servers.lab_a)
    local.put_back(linked.servers.local)
    plan, report = linked.apply(everything(linked))
    assert (plan.warnings, report.succeeded) == ((), True)
    assert not linked.plan(everything(linked)).has_changes


def test_a_local_schema_that_was_dropped_comes_back_and_releases_nothing_until_adopted(linked: Rig) -> None:
    locally(linked, "DROP DATABASE {here}")
    assert linked.apply(everything(linked))[1].succeeded
    assert locally(linked, "SELECT COUNT(*) FROM {here}.subject") == [(3,)]
    lose_a_subject(linked)
    [blocked] = subject(linked, narrowed(linked)).blocked
    assert "the local marks do not have the epoch of the last apply" in blocked.reason
    adopt(linked, narrowed(linked))
    assert linked.apply(narrowed(linked))[1].succeeded
    assert held(linked, "subject") == [(1,), (2,)]


def test_an_apply_moves_the_epoch_of_what_it_writes_alone_and_a_plan_moves_none(linked: Rig) -> None:
    session, before = epochs(linked)
    assert {row[0] for row in (session, before)} == {before[0]}
    assert session == (before[0], before[0], None)
    assert not linked.apply(everything(linked))[0].has_changes
    assert epochs(linked) == [session, before]
    new_subject(linked, 4)
    linked.plan(everything(linked))
    assert epochs(linked) == [session, before]
    linked.apply(everything(linked))
    [same, after] = epochs(linked)
    assert same == session
    assert after == (after[0], after[0], None)
    assert int(after[0].partition(".")[0]) == int(before[0].partition(".")[0]) + 1


@TWO
@pytest.mark.parametrize("at_source", [False, True], ids=["announced", "written at the source"])
def test_an_apply_killed_between_the_steps_of_an_epoch_is_known_as_ours(linked: Rig, at_source: bool) -> None:
    locally(linked, "UPDATE {here}.`~djlink` SET epoch_next = '7.ab'")
    if at_source:
        run_all(linked, "UPDATE {outbound}.`~djlink` SET epoch = '7.ab'")
    new_subject(linked, 4)
    plan, report = linked.apply(everything(linked))
    assert (plan.warnings, report.succeeded) == ((), True)
    [_, after] = epochs(linked)
    assert after == (after[0], after[0], None)
    assert after[0].startswith("8.")


@pytest.mark.parametrize("moved", [False, True], ids=["own", "moved"])
def test_an_epoch_that_moves_between_plan_and_apply_stops_the_link_with_nothing_done(
    linked: Rig, moved: bool
) -> None:
    document = {**everything(linked)}
    if moved:
        document["local"] = {**document["local"], **elsewhere(linked)}
    new_subject(linked, 4)
    with linked.job(document) as job:
        plan = job.plan()
        run_all(linked, "UPDATE {outbound}.`~djlink` SET epoch = '9.other'")
        report = job.apply(plan, quiet, threading.Event())
    [outcome] = report.outcomes
    assert outcome.status == "failed"
    assert "another apply has worked on this link since the plan was made" in (outcome.problem or "")
    assert "djlink plan" in (outcome.hint or "")
    assert held(linked, "subject") == [(1,), (2,), (3,)]
    assert locally(linked, "SELECT COUNT(*) FROM {here}.subject") == [(3,)]


def test_a_link_of_a_server_that_is_not_confirmed_is_not_taken_out(linked: Rig) -> None:
    there = elsewhere(linked)
    address = linked.address("lab_a", "lab", "Session")
    document = linked.document(
        {"lab_a": {"lab": {"tables": ["Subject"]}}}, removed={address: {"table": "keep"}}
    )
    document["local"].update(there)
    plan, _ = linked.apply(document)
    [removal] = plan.removals
    assert "moved, or it is a copy" in removal.blocked[0].reason
    assert held(linked, "session") != []


def test_marks_of_an_earlier_version_get_epochs_by_a_planned_action(linked: Rig) -> None:
    columns = "DROP COLUMN epoch, DROP COLUMN epoch_next, DROP COLUMN identity"
    run_all(linked, f"ALTER TABLE {{outbound}}.`~djlink` {columns}")
    locally(linked, f"ALTER TABLE {{here}}.`~djlink` {columns}")
    plan, report = linked.apply(everything(linked))
    assert (plan.has_changes, report.succeeded) == (False, True)
    [warning] = plan.warnings
    statement = warning.partition("run: ")[2]
    assert statement.startswith(f"ALTER TABLE `{linked.outbound}`.`~djlink` ADD COLUMN epoch varchar(64)")
    new_subject(linked, 4)
    assert linked.apply(everything(linked))[1].succeeded
    ask(linked.servers.lab_a, statement)
    plan, report = linked.apply(everything(linked))
    assert report.succeeded
    assert {type(a) for link in plan.links for a in link.actions} == {NoteServer}
    assert all(row == (row[0], row[0], None) and row[0].startswith("1.") for row in epochs(linked))
    plan = linked.plan(everything(linked))
    assert (plan.has_changes, plan.warnings) == (False, ())
