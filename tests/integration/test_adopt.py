"""Tables of another mark or of none are taken over after a look at definitions and keys, and only then."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from djlink_manifest.errors import DjlinkError, LinkLocked, MissingPrivilege
from djlink_manifest.model.tables.naming import lock_name
from djlink_manifest.reconcile.adopt.rehearsal import Rehearsal
from djlink_manifest.reconcile.explain import commands
from djlink_manifest.reconcile.plan.actions import Register
from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.accounts import create_link_user, create_local_user
from tests.support.invariants.tables import checksums
from tests.support.pipelines.sessions import TABLES, held, locally
from tests.support.rig import PASSWORD, Rig, everything, link_of
from tests.support.servers import ALIKE, CROSSED, PAIRS
from tests.support.sql import ask, run_all

ALL = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
TWO = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[0]], indirect=True, ids=str)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    return rig


@pytest.fixture
def linked(lab: Rig) -> Rig:
    assert lab.apply(everything(lab))[1].succeeded
    return lab


def adopt(rig: Rig, document: dict[str, Any], given_up: str | None = None, of: str = "lab_a.*") -> Rehearsal:
    with rig.job(document) as job:
        rehearsed = commands.rehearse(job, [of], given_up)
        if rehearsed.adoptions:
            commands.adopt(job, rehearsed)
        return rehearsed


def rehearse(rig: Rig, document: dict[str, Any], given_up: str | None = None) -> Rehearsal:
    """What an adoption would do; nothing is changed by asking."""
    before = checksums(rig)
    with rig.job(document) as job:
        rehearsed = commands.rehearse(job, ["lab_a.*"], given_up)
    assert checksums(rig) == before
    return rehearsed


def settles(rig: Rig, document: dict[str, Any]) -> None:
    """The next apply succeeds, and the plan after it is empty, with all rows held and here."""
    plan, report = rig.apply(document)
    assert not plan.has_errors
    assert report.succeeded
    plan = rig.plan(document)
    assert (plan.has_changes, plan.has_errors, plan.forgotten) == (False, False, ())
    assert held(rig, "subject") == [(1,), (2,), (3,)]
    assert locally(rig, "SELECT COUNT(*) FROM {here}.session__trial") == [(4,)]


@ALL
def test_a_manifest_that_was_renamed_keeps_its_links_by_adopting_them(linked: Rig) -> None:
    renamed = {**everything(linked), "name": "renamed"}
    assert "djlink adopt lab_a." in str(linked.plan(renamed).links[0].blocked[0].hint)
    rehearsed = rehearse(linked, renamed)
    assert [a.outbound_before is not None for a in rehearsed.adoptions] == [True, True]
    assert rehearsed.refusals == ()
    assert rehearsed.plan is not None
    assert not rehearsed.plan.has_errors
    adopt(linked, renamed)
    settles(linked, renamed)
    assert adopt(linked, renamed).adoptions == ()
    assert "belongs to the manifest `renamed`" in linked.plan(everything(linked)).links[0].blocked[0].reason


@TWO
@pytest.mark.parametrize("side", ["both", "source"])
def test_a_local_server_that_was_moved_or_restored_is_adopted_for_good(linked: Rig, side: str) -> None:
    change = "SET fingerprint = REPEAT('0', 64), local_server = 'db.before'"
    run_all(linked, f"UPDATE {{outbound}}.`~djlink` {change}")
    if side == "both":
        locally(linked, f"UPDATE {{here}}.`~djlink` {change}")
    rehearsed = adopt(linked, everything(linked))
    assert any("`db.before`, is refused from then on" in n for a in rehearsed.adoptions for n in a.notes)
    settles(linked, everything(linked))


def restore(rig: Rig, schema: str, server: SandboxServer) -> None:
    """Bring a schema of the local server, as it stands, to another server."""
    tables = [t for (t,) in ask(rig.servers.local, f"SHOW TABLES FROM `{schema}`")]
    with closing(server.connect()) as source, source.cursor() as cursor:
        cursor.execute("SET SESSION foreign_key_checks = 0")
        cursor.execute(f"CREATE DATABASE `{schema}`")
        cursor.execute(f"USE `{schema}`")
        for table in tables:
            [(_, text)] = ask(rig.servers.local, f"SHOW CREATE TABLE `{schema}`.`{table}`")
            cursor.execute(text)
            rows = ask(rig.servers.local, f"SELECT * FROM `{schema}`.`{table}`")
            for row in rows:
                cursor.execute(f"INSERT INTO `{table}` VALUES ({', '.join(['%s'] * len(row))})", row)


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_database_restored_on_another_server_is_unconfirmed_there_until_it_is_adopted_for_good(
    linked: Rig,
) -> None:
    copy = linked.servers.lab_b
    restore(linked, linked.local_schema("lab_a", "lab"), copy)
    create_local_user(copy, linked.names("lab"), PASSWORD, [linked.names.pattern])
    moved = everything(linked)
    moved["local"].update(host=copy.host, port=copy.port)
    plan, report = linked.apply(moved)
    assert report.outcomes == ()
    [warning] = plan.warnings
    assert "this server was moved, or it is a copy" in warning
    assert "run `djlink adopt 'lab_a.*'`" in warning
    adopt(linked, moved)
    assert linked.apply(moved)[1].succeeded
    plan = linked.plan(moved)
    assert (plan.has_changes, plan.has_errors) == (False, False)
    before = linked.plan(everything(linked))
    assert all(p.is_stopped for p in before.links)
    assert "has applied since this one did" in before.links[0].blocked[0].reason


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_another_server_that_answers_to_the_sources_name_is_refused_and_not_mixed_in(linked: Rig) -> None:
    run_all(linked, *TABLES[:4], server="lab_b")
    # other rows under the same keys, as numbers have it
    run_all(linked, "INSERT INTO {lab}.subject VALUES (1, 'x'), (2, 'y'), (50, 'z')", server="lab_b")
    other = linked.servers.lab_b
    create_link_user(other, linked.names("link"), PASSWORD, [linked.names("lab")], linked.outbound)
    strange = everything(linked)
    strange["sources"]["lab_a"].update(host=other.host, port=other.port)
    before = checksums(linked)
    plan, report = linked.apply(strange)
    assert report.outcomes == ()
    [blocked] = link_of(plan, linked.address("lab_a", "lab", "Subject")).blocked
    assert "lab_a has no record of it" in blocked.reason
    rehearsed = adopt(linked, strange)
    assert rehearsed.adoptions == ()
    assert any(
        "none of its 3 local rows is held or equals a source row" in r.reason for r in rehearsed.refusals
    )
    assert checksums(linked) == before
    settles(linked, everything(linked))


@TWO
def test_marks_that_were_lost_on_either_side_are_written_again(linked: Rig) -> None:
    locally(linked, "DROP TABLE {here}.`~djlink`")
    adopt(linked, everything(linked))
    settles(linked, everything(linked))
    run_all(linked, "DROP TABLE {outbound}.`~djlink`")
    assert linked.plan(everything(linked)).has_errors
    adopt(linked, everything(linked))
    settles(linked, everything(linked))


@TWO
def test_marks_whose_tables_are_gone_are_taken_over_too(linked: Rig) -> None:
    renamed = {**everything(linked), "name": "renamed"}
    run_all(
        linked,
        *(
            f"DROP TABLE {{outbound}}.`{linked.names('lab')}_{table}{suffix}`"
            for table in ("session", "subject")
            for suffix in ("", "_deletion_requested", "_deletion_approved", "_history")
        ),
    )
    locally(
        linked,
        "DROP TABLE {here}.session__deletion_requested, {here}.session__trial, {here}.session",
        "DROP TABLE {here}.subject__deletion_requested, {here}.subject",
    )
    assert linked.plan(renamed).has_errors
    assert len(adopt(linked, renamed).adoptions) == 2
    settles(linked, renamed)


@ALL
def test_tables_copied_by_hand_are_taken_over_and_only_rows_that_are_equal_are_registered(lab: Rig) -> None:
    assert lab.apply(everything(lab))[1].succeeded
    run_all(lab, "DROP DATABASE {outbound}", "CREATE DATABASE {outbound}")
    locally(
        lab,
        "DROP TABLE {here}.`~djlink`",
        "DROP TABLE {here}.session__deletion_requested",
        "DROP TABLE {here}.subject__deletion_requested",
        "UPDATE {here}.session SET note = 'mine' WHERE id = 2",
        "INSERT INTO {here}.subject VALUES (90, 'own')",
    )
    before = locally(lab, "SELECT * FROM {here}.session ORDER BY id, n")
    rehearsed = adopt(lab, everything(lab))
    assert len(rehearsed.adoptions) == 2
    assert {a.local_before for a in rehearsed.adoptions} == {None}
    lab.apply(everything(lab))
    session = link_of(lab.plan(everything(lab)), lab.address("lab_a", "lab", "Session"))
    subject = link_of(lab.plan(everything(lab)), lab.address("lab_a", "lab", "Subject"))
    assert [b.count for b in session.blocked if "differ" in b.reason] == [1]
    assert [d.count for d in subject.drift] == [1]
    assert held(lab, "subject") == [(1,), (2,), (3,)]
    assert held(lab, "session") == [(1, 1), (3, 1), (3, 2)]
    assert locally(lab, "SELECT * FROM {here}.session ORDER BY id, n") == before


@TWO
def test_another_server_behind_the_name_is_adopted_only_where_it_knows_local_rows(linked: Rig) -> None:
    run_all(linked, "DROP DATABASE {outbound}", "CREATE DATABASE {outbound}")
    stranger = link_of(linked.plan(everything(linked)), linked.address("lab_a", "lab", "Subject"))
    assert "djlink adopt" in str(stranger.blocked[0].hint)
    rehearsed = rehearse(linked, everything(linked))
    assert rehearsed.plan is not None
    assert [a.entities for p in rehearsed.plan.links for a in p.actions if isinstance(a, Register)] == [3, 4]
    run_all(
        linked,
        "DELETE FROM {lab}.session__trial",
        "DELETE FROM {lab}.session",
        "DELETE FROM {lab}.subject",
        "INSERT INTO {lab}.subject VALUES (71, 'x')",
    )
    rehearsed = rehearse(linked, everything(linked))
    assert rehearsed.adoptions == ()
    reasons = {r.address.rpartition(".")[2]: r.reason for r in rehearsed.refusals}
    assert "none of its 3 local rows is held or equals a source row" in reasons["Subject"]
    run_all(linked, "INSERT INTO {lab}.subject VALUES (1, 'a')")
    adopt(linked, everything(linked), of="lab_a.*.Subject")
    assert linked.apply(everything(linked), targets=["lab_a.*.Subject"])[1].succeeded
    assert held(linked, "subject") == [(1,), (71,)]
    subject = link_of(linked.plan(everything(linked)), linked.address("lab_a", "lab", "Subject"))
    assert [d.count for d in subject.drift] == [2]


@TWO
def test_what_another_lab_holds_is_taken_only_where_its_manifest_is_named(linked: Rig) -> None:
    run_all(
        linked,
        "UPDATE {outbound}.`~djlink` SET manifest = 'theirs', contact = 'o@x.example', local_server = 'db.x',"
        " fingerprint = REPEAT('0', 64)",
    )
    for given_up in (None, "another"):
        rehearsed = rehearse(linked, everything(linked), given_up)
        assert rehearsed.adoptions == ()
        assert all("belong to the manifest `theirs` (o@x.example)" in r.reason for r in rehearsed.refusals)
        assert all("--from theirs" in str(r.hint) for r in rehearsed.refusals)
    adopt(linked, everything(linked), "theirs")
    settles(linked, everything(linked))


@TWO
@pytest.mark.parametrize(
    ("where", "change", "words"),
    [
        ("local", "ALTER TABLE {here}.session MODIFY note varchar(8)", "column `note` has the type"),
        ("local", "ALTER TABLE {here}.session__trial DROP tag", "column `tag` is missing"),
        ("lab_a", "ALTER TABLE {outbound}.`{t}` DROP FOREIGN KEY `{key}`", "a foreign key to"),
        ("lab_a", "ALTER TABLE {outbound}.`{t}` ADD x int NOT NULL", "the source's table has no column `x`"),
    ],
)
def test_what_does_not_fit_is_refused_and_left_as_it_is(
    linked: Rig, where: str, change: str, words: str
) -> None:
    if where == "local":
        locally(linked, change)
    else:
        table = linked.names("lab_session")
        [(key,)] = ask(
            linked.servers.lab_a,
            "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = %s"
            " AND TABLE_NAME = %s AND CONSTRAINT_TYPE = 'FOREIGN KEY'",
            (linked.outbound, table),
        )
        text = change.replace("{t}", table).replace("{key}", key).replace("{outbound}", linked.outbound)
        ask(linked.servers.lab_a, text)
    rehearsed = rehearse(linked, {**everything(linked), "name": "renamed"})
    assert [a.address.rpartition(".")[2] for a in rehearsed.adoptions] == ["Subject"]
    [refusal] = rehearsed.refusals
    assert "does not match" in refusal.reason
    assert words in refusal.reason


@TWO
def test_a_link_is_not_adopted_before_those_that_it_needs(linked: Rig) -> None:
    renamed = {**everything(linked), "name": "renamed"}
    rehearsed = adopt(linked, renamed, of="lab_a.*.Session")
    assert rehearsed.adoptions == ()
    assert "adopt them in the same command" in str(rehearsed.refusals[0].hint)
    assert len(adopt(linked, renamed).adoptions) == 2


@TWO
def test_an_adoption_that_stops_between_the_two_servers_is_finished_by_the_next(linked: Rig) -> None:
    renamed = {**everything(linked), "name": "renamed"}
    pattern, user = linked.names.pattern.replace("%", "%%"), linked.names("lab")
    with linked.job(renamed) as job:
        rehearsed = commands.rehearse(job, ["lab_a.*"])
        ask(linked.servers.local, f"REVOKE UPDATE ON `{pattern}`.* FROM %s@'%%'", (user,))
        with pytest.raises(MissingPrivilege):
            commands.adopt(job, rehearsed)
    ask(linked.servers.local, f"GRANT UPDATE ON `{pattern}`.* TO %s@'%%'", (user,))
    assert all(p.is_stopped for p in linked.plan(renamed).links)
    assert any(p.is_stopped for p in linked.plan(everything(linked)).links)
    adopt(linked, renamed)
    settles(linked, renamed)


@TWO
def test_an_adoption_waits_for_no_running_apply_and_writes_over_no_mark_that_it_did_not_show(
    linked: Rig,
) -> None:
    renamed = {**everything(linked), "name": "renamed"}
    [(old,)] = ask(
        linked.servers.lab_a,
        f"SELECT link_id FROM `{linked.outbound}`.`~djlink` WHERE source_table = 'session'",
    )
    with closing(linked.servers.local.connect()) as other, other.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (lock_name(old, "local"),))
        with linked.job(renamed) as job, pytest.raises(LinkLocked):
            commands.adopt(job, commands.rehearse(job, ["lab_a.*"]))
    with linked.job(renamed) as job:
        rehearsed = commands.rehearse(job, ["lab_a.*"])
        run_all(linked, "UPDATE {outbound}.`~djlink` SET link_id = REVERSE(link_id)")
        with pytest.raises(DjlinkError, match="has changed in the meantime"):
            commands.adopt(job, rehearsed)
