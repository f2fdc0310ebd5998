"""What is not djlink's own, or not as djlink left it: told, refused where it must be, and never touched."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Pull
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.sandbox import ServerOptions, start_server
from tests.support.invariants.tables import checksums
from tests.support.pipelines.sessions import TABLES, held, locally
from tests.support.rig import Rig, everything, link_of, quiet
from tests.support.servers import Servers
from tests.support.sql import ask, run_all


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    return rig


@pytest.fixture
def linked(lab: Rig) -> Rig:
    assert lab.apply(everything(lab))[1].succeeded
    return lab


def of(rig: Rig, table: str, document: dict[str, Any] | None = None) -> LinkPlan:
    return link_of(rig.plan(document or everything(rig)), rig.address("lab_a", "lab", table))


def refused(link: LinkPlan) -> tuple[str, str]:
    """The reason and hint for which nothing of the link is done."""
    [blocked] = link.blocked
    assert (blocked.kind, blocked.whole, link.actions) == ("error", True, ())
    return blocked.reason, blocked.hint or ""


def test_tables_of_another_manifest_are_refused_with_its_name_and_contact(linked: Rig) -> None:
    before = checksums(linked)
    other = {**everything(linked), "name": "other"}
    plan, report = linked.apply(other)
    reason, hint = refused(link_of(plan, linked.address("lab_a", "lab", "Subject")))
    assert f"belongs to the manifest `{linked.names('atlas')}` (data@ourlab.example)" in reason
    assert "another outbound schema" in hint
    assert report.outcomes == ()
    assert checksums(linked) == before


def test_another_manifest_with_other_tables_works_beside_it(linked: Rig) -> None:
    other = {**everything(linked), "name": "other"}
    other["defaults"] = {"schema_name": linked.names("theirs_") + "{schema}"}
    other["sources"] = {"lab_a": {**other["sources"]["lab_a"], "outbound": linked.names("outbound2")}}
    ask(linked.servers.lab_a, f"CREATE DATABASE {linked.names('outbound2')}")
    ask(linked.servers.lab_a, f"GRANT ALL ON {linked.names('outbound2')}.* TO '{linked.names('link')}'@'%'")
    assert linked.apply(other)[1].succeeded
    assert not linked.plan(other).has_changes
    assert not linked.plan(everything(linked)).has_changes


@pytest.mark.parametrize("moved", [False, True])
def test_a_first_apply_that_lost_its_local_table_to_another_manifest_may_go_elsewhere(
    lab: Rig, moved: bool
) -> None:
    ask(lab.servers.lab_a, f"CREATE DATABASE {lab.names('outbound2')}")
    ask(lab.servers.lab_a, f"GRANT ALL ON {lab.names('outbound2')}.* TO '{lab.names('link')}'@'%'")
    other = {**everything(lab), "name": "other"}
    other["sources"] = {"lab_a": {**other["sources"]["lab_a"], "outbound": lab.names("outbound2")}}
    with lab.job(other) as job:
        plan = job.plan()
        assert lab.apply(everything(lab))[1].succeeded
        report = job.apply(plan, quiet, threading.Event())
    failed = [o for o in report.outcomes if o.status == "failed"]
    assert all("has just been linked by somebody else" in str(o.problem) for o in failed), failed
    assert {o.hint for o in failed} == {
        "run `djlink plan`, which says whose it is; then choose another `schema_name`"
    }
    _, hint = refused(of(lab, "Subject", other))
    assert "choose another local schema with `schema_name`" in hint
    other["defaults"] = {"schema_name": lab.names("theirs_") + "{schema}"}
    here = lab.local_schema("lab_a", "lab")
    if moved:  # for other links of that schema, say
        other["moved"] = [{"local_schema": here, "to": lab.names(f"theirs_{lab.names('lab')}")}]
    before = [each for each in checksums(lab) if here in each[0]]
    _, report = lab.apply(other)
    assert report.succeeded, report.outcomes
    assert [each for each in checksums(lab) if here in each[0]] == before != []
    assert not lab.plan(other).has_changes
    assert not lab.plan(everything(lab)).has_changes
    # from here on it is that local table's, as ever
    other["defaults"] = {"schema_name": lab.names("again_") + "{schema}"}
    other.pop("moved", None)
    reason, _ = refused(of(lab, "Subject", other))
    assert "its local table is" in reason


def test_a_local_schema_that_changes_in_the_manifest_is_refused(linked: Rig) -> None:
    document = everything(linked)
    document["defaults"] = {"schema_name": linked.names("moved_") + "{schema}"}
    reason, hint = refused(of(linked, "Subject", document))
    assert "its local table is" in reason
    assert "restore the former `schema_name`" in hint


def test_a_source_that_knows_nothing_of_a_finished_link_is_refused(linked: Rig) -> None:
    """Another server behind the name, as a staging copy: its rows would be mixed with those of the first."""
    run_all(linked, "DROP DATABASE {outbound}", "CREATE DATABASE {outbound}")
    before = checksums(linked)
    plan, report = linked.apply(everything(linked))
    reason, hint = refused(link_of(plan, linked.address("lab_a", "lab", "Subject")))
    assert "lab_a has no record of it" in reason
    assert "check `host`, `port` and `outbound` of lab_a" in hint
    assert report.outcomes == ()
    assert checksums(linked) == before
    schema = f"`{linked.local_schema('lab_a', 'lab')}`"
    tables = (
        "session__deletion_requested",
        "session__trial",
        "session",
        "subject__deletion_requested",
        "subject",
    )
    locally(linked, *(f"DROP TABLE {schema}.{name}" for name in tables), f"DELETE FROM {schema}.`~djlink`")
    assert linked.apply(everything(linked))[1].succeeded
    assert held(linked, "subject") == [(1,), (2,), (3,)]


def test_local_tables_whose_marks_are_gone_are_nobodys_and_refused(linked: Rig) -> None:
    locally(linked, "DROP TABLE {here}.`~djlink`")
    reason, hint = refused(of(linked, "Subject"))
    assert "was not created by djlink" in reason
    assert "schema_name" in hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE {here}.session DROP note", "column `note` is missing"),
        ("ALTER TABLE {here}.session MODIFY note varchar(8)", r"column `note` has the type varchar\(8\)"),
        (
            "ALTER TABLE {here}.session MODIFY note varchar(9) COLLATE utf8mb4_bin",
            "the collation utf8mb4_bin",
        ),
        ("ALTER TABLE {here}.session MODIFY note varchar(9) NOT NULL", "column `note` may not be NULL"),
        (
            "ALTER TABLE {here}.session__trial ADD mood int NOT NULL",
            "the source's table has no column `mood`",
        ),
        (
            "ALTER TABLE {here}.session__trial DROP PRIMARY KEY, ADD PRIMARY KEY (id, n, k, tag)",
            "the primary key is",
        ),
    ],
)
def test_a_local_table_that_no_longer_fits_is_refused(linked: Rig, change: str, words: str) -> None:
    locally(linked, change)
    before = checksums(linked)
    plan, report = linked.apply(everything(linked))
    reason, hint = refused(link_of(plan, linked.address("lab_a", "lab", "Session")))
    assert re.search(words, reason), reason
    assert hint
    assert link_of(plan, linked.address("lab_a", "lab", "Subject")).is_unchanged
    assert report.outcomes == ()
    assert checksums(linked) == before


def test_a_source_table_that_changed_after_linking_is_refused(linked: Rig) -> None:
    run_all(linked, "ALTER TABLE {lab}.session ADD mood int NOT NULL")
    reason, hint = refused(of(linked, "Session"))
    assert "the source added column `mood`, which is NOT NULL without a default" in reason
    assert "undo the change, or exclude the link" in hint


def test_what_the_lab_adds_harmlessly_is_drift_and_holds_nothing_up(linked: Rig) -> None:
    locally(linked, "ALTER TABLE {here}.session ADD mine int, ADD UNIQUE KEY mine (mine)")
    run_all(linked, "INSERT INTO {lab}.session VALUES (1, 9, 'new')")
    plan, report = linked.apply(everything(linked))
    words = " ".join(d.reason for d in link_of(plan, linked.address("lab_a", "lab", "Session")).drift)
    assert "the source's table has no column `mine`" in words
    assert "no unique index `mine`" in words
    assert [(o.status, o.counts.pulled) for o in report.outcomes] == [("done", 1)]


def test_a_local_row_of_the_labs_own_is_told_and_never_touched(linked: Rig) -> None:
    locally(
        linked,
        "INSERT INTO {here}.subject VALUES (90, 'own')",
        "INSERT INTO {here}.session VALUES (90, 1, 'own')",
        "INSERT INTO {here}.session__trial VALUES (90, 1, 1, 'own')",
    )
    run_all(linked, "INSERT INTO {lab}.subject VALUES (4, 'd')")
    plan, report = linked.apply(everything(linked))
    for table in ("Subject", "Session"):
        link = link_of(plan, linked.address("lab_a", "lab", table))
        assert [(d.count, "inserted locally" in d.reason) for d in link.drift] == [(1, True)]
        assert link.blocked == ()
    assert report.succeeded
    assert locally(linked, "SELECT COUNT(*) FROM {here}.subject") == [(5,)]
    assert locally(linked, "SELECT tag FROM {here}.session__trial WHERE id = 90") == [("own",)]
    assert held(linked, "subject") == [(1,), (2,), (3,), (4,)]


def test_entities_that_collide_with_rows_of_later_than_the_plan_are_refused_alone_and_let_go(
    linked: Rig,
) -> None:
    run_all(
        linked,
        "INSERT INTO {lab}.subject VALUES (4, 'new4'), (5, 'new5'), (6, 'new6'), (7, 'new7'), (8, 'new8')",
        "INSERT INTO {lab}.session VALUES (4, 1, ''), (5, 1, ''), (6, 1, ''), (7, 1, ''), (8, 1, '')",
        "INSERT INTO {lab}.session__trial VALUES (7, 1, 1, 'fine'), (7, 1, 2, 'part7'), (8, 1, 1, 'part8')",
    )
    with linked.job(everything(linked)) as job:
        plan = job.plan()
        locally(
            linked,
            "INSERT INTO {here}.subject VALUES (90, 'new5'), (91, 'own')",
            "INSERT INTO {here}.session VALUES (91, 1, 'own')",
            "INSERT INTO {here}.session__trial VALUES (91, 1, 1, 'part7')",
        )
        report = job.apply(plan, quiet, threading.Event())
    assert [type(a) for link in plan.links for a in link.actions] == [Pull, Pull]
    subject, session = report.outcomes
    assert (subject.status, subject.counts.pulled, subject.counts.refused) == ("failed", 4, 1)
    assert "Duplicate entry '…' for key 'subject.name'" in (subject.problem or "")
    assert "same unique value" in (subject.hint or "")
    assert (session.status, session.counts.pulled, session.counts.refused) == ("failed", 3, 1)
    assert "Duplicate entry '…' for key 'session__trial.tag'" in (session.problem or "")
    assert held(linked, "subject") == [(1,), (2,), (3,), (4,), (6,), (7,), (8,)]
    assert locally(linked, "SELECT id FROM {here}.subject WHERE name = 'new5'") == [(90,)]
    locally(linked, "DELETE FROM {here}.subject WHERE id = 90")
    plan, report = linked.apply(everything(linked))
    subject, session = report.outcomes
    assert (subject.status, subject.counts.pulled) == ("done", 1)
    assert (session.status, session.counts.pulled, session.counts.refused) == ("done", 1, 0)
    [blocked] = link_of(plan, session.address).blocked
    assert (blocked.kind, blocked.count) == ("error", 1)
    assert "`tag`" in blocked.reason
    assert (7, 1) not in held(linked, "session")
    assert (8, 1) in held(linked, "session")
    assert locally(linked, "SELECT COUNT(*) FROM {here}.session WHERE id = 7") == [(0,)]
    assert locally(linked, "SELECT tag FROM {here}.session__trial WHERE id IN (7, 8)") == [("part8",)]


def test_a_row_over_the_local_packet_limit_is_refused_alone_with_the_setting_that_mends_it(
    lab: Rig, small: Servers
) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.wide (id int PRIMARY KEY, data longblob)",
        "INSERT INTO {lab}.wide VALUES (1, 'a'), (2, REPEAT(X'00', 900000)), (3, REPEAT('x', 1200000)),"
        " (4, 'b')",
        "INSERT INTO {lab}.wide VALUES (5, REPEAT('y', 700000)), (6, REPEAT('z', 700000))",
    )
    rig = Rig(small, lab.names, lab.folder)
    rig.environ.update(lab.environ)
    ask(small.local, f"CREATE USER '{lab.names('lab')}' IDENTIFIED BY '{lab.environ['DJ_PASS']}'")
    ask(small.local, f"GRANT ALL ON *.* TO '{lab.names('lab')}'")
    document = rig.document({"lab_a": {"lab": {"tables": ["Wide"]}}})
    _, report = rig.apply(document)
    [outcome] = report.outcomes
    assert (outcome.status, outcome.counts.pulled, outcome.counts.refused) == ("failed", 5, 1)
    assert "exceeds max_allowed_packet, 1,048,576" in (outcome.problem or "")
    assert "SET GLOBAL max_allowed_packet = 2097152" in (outcome.problem or "")
    assert held(lab, "wide") == [(1,), (2,), (4,), (5,), (6,)]
    ask(small.local, "SET GLOBAL max_allowed_packet = 4194304")
    assert rig.apply(document)[1].succeeded
    sums = "SELECT id, SHA2(data, 256) FROM {}.wide ORDER BY id"
    source_rows = ask(lab.servers.lab_a, sums.format(lab.names("lab")))
    assert ask(small.local, sums.format(rig.local_schema("lab_a", "lab"))) == source_rows


@pytest.fixture
def small(servers: Servers) -> Iterator[Servers]:
    """The sources, and a local server of this test's own that takes statements of a mebibyte at most."""
    with start_server("small", ServerOptions(extra=("--max-allowed-packet=1M",))) as server:
        yield Servers(servers.lab_a, servers.lab_b, server)
