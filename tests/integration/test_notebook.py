# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""Linked classes in a notebook: DataJoint tables on the lab's own connection, and what a link adds."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from djlink_manifest import LazySchema, Link
from djlink_manifest.api import runs
from djlink_manifest.errors import (
    LinkLocked,
    LinkRefused,
    SecretError,
    SourceNotConfirmed,
    Unreachable,
    UsageError,
)
from djlink_manifest.reconcile.pipeline import open_job
from djlink_manifest.reconcile.runtime.events import Advanced
from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.notebooks import Notebook, notebook
from tests.support.servers import PAIRS
from tests.support.sql import ask, run_all

__all__ = ["notebook"]


def pulled(table: Any, *restrictions: Any) -> int:
    """How many entities a pull without progress brings."""
    count: int = table().pull(*restrictions, display_progress=False).entities
    return count


def linked_and_pulled(notebook: Notebook) -> tuple[Any, Any]:
    subject, session = notebook.link("Subject"), notebook.link("Session")
    assert (pulled(subject), pulled(session)) == (3, 4)
    return subject, session


def test_a_lazy_schema_asks_nothing_of_a_server_when_it_is_made() -> None:
    schema = LazySchema("anything", host="no.such.host.invalid", user="nobody", password="none")
    assert not schema.is_activated()
    assert repr(schema) == "LazySchema('anything' at no.such.host.invalid:3306)"


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_a_linked_class_is_a_table_of_the_labs_own_on_every_pair_of_vendors(notebook: Notebook) -> None:
    import datajoint as dj

    subject, session = linked_and_pulled(notebook)
    assert isinstance(session(), dj.Manual)
    assert session().connection is dj.conn()
    assert issubclass(session.Trial, dj.Part)
    assert session.heading.primary_key == ["subject", "day"]
    assert len(session() & "day = 1") == len(session & {"day": 1}) == 3
    assert (session() & {"subject": "A1", "day": 2}).fetch1("note") == "A1, day 2, 100 %"
    assert subject().to_dicts() == notebook.source.Subject().to_dicts()
    assert session.Trial().to_dicts() == notebook.source.Session.Trial().to_dicts()
    assert len(subject * session * session.Trial) == 9
    # in the same schema: another may have another collation, and a foreign key wants the parent's
    own = dj.Schema(notebook.local, {"Session": session})

    @own
    class Trials(dj.Computed):
        definition = """
        -> Session
        ---
        trials : int32
        """

        def make(self, key: dict[str, Any]) -> None:
            self.insert1({**key, "trials": len(session.Trial & key)})

    assert Trials.populate()["error_list"] == []
    assert sorted((Trials * subject & "species = 'mouse'").to_arrays("trials")) == [2, 2, 3]


def test_a_class_keeps_its_docstring_module_and_members(notebook: Notebook) -> None:
    @Link(notebook.local_schema, notebook.source_schema)
    class Subject:
        """Animals of the other lab."""

        def kinds(self: Any) -> set[str]:
            return set(self.to_arrays("species"))

    subject: Any = Subject
    subject().pull(display_progress=False)
    assert subject.__name__ == "Subject"
    assert subject.__doc__.startswith("Animals of the other lab.")
    assert subject.__module__ == __name__
    assert subject().kinds() == {"mouse", "rat"}
    assert (subject & "species = 'rat'").kinds() == {"rat"}


def test_source_shows_the_other_labs_rows_and_parts_and_changes_none(notebook: Notebook) -> None:
    session = notebook.link("Session")
    source: Any = session().source
    assert source.to_dicts() == notebook.source.Session().to_dicts()
    assert len(source & "day = 2") == 1
    assert len(source.Trial & {"subject": "A1"}) == 5
    assert "A1, day 1" in repr(source)
    assert "<table" in source._repr_html_()
    assert source.heading.names == session.heading.names
    changes: list[Callable[[], Any]] = [
        lambda: source.insert1({"subject": "A1", "day": 9, "note": ""}),
        lambda: (source & "day = 1").delete(prompt=False),
        lambda: source.Trial().delete_quick(),
        lambda: source.drop(),
    ]
    for change in changes:
        with pytest.raises(UsageError, match="cannot write to the source"):
            change()
    assert len(notebook.source.Session()) == 4


def restrictions(notebook: Notebook, subject: Any, session: Any) -> dict[str, Any]:
    """Restrictions of every kind that DataJoint has."""
    dj, source = notebook.dj, subject().source
    frames: Any = import_module("pandas")
    return {
        "text": "note LIKE '%1, 100 %' AND subject <> 'B1'",
        "a mapping": {"subject": "A1", "other": 3},
        "a mapping with percent and quotes": {"note": "it's \\ 100 %"},
        "nothing": {},
        "false": False,
        "keys": [{"subject": "A1", "day": 1}, {"subject": "B1", "day": 1}],
        "several kinds": ["day = 2", {"subject": "B1"}],
        "and-list": dj.AndList(["day = 1", {"subject": "A2"}]),
        "not": dj.Not("day = 1"),
        "the first": dj.Top(2, order_by="day DESC, subject"),
        "a record array": np.array([("A1", 2)], dtype=[("subject", "U12"), ("day", int)]),
        "a frame": frames.DataFrame({"subject": ["A2", "B1"]}),
        "a table of the source": source & "species = 'mouse'",
        "not a table of the source": dj.Not(source & {"born": date(2025, 1, 1)}),
        "a projection": (source & "species = 'rat'").proj(),
        "a part of the source": session().source.Trial & "trial = 2",
    }


def test_what_a_restriction_shows_at_the_source_is_what_it_pulls(notebook: Notebook) -> None:
    subject, session = notebook.link("Subject"), notebook.link("Session")
    pulled(subject)
    for kind, restriction in restrictions(notebook, subject, session).items():
        shown = session().source & restriction
        wanted = sorted((k["subject"], k["day"]) for k in shown.keys())  # noqa: SIM118 - DataJoint's
        session().pull(restriction, display_progress=False)
        local_rows = sorted((k["subject"], k["day"]) for k in session.keys())  # noqa: SIM118 - DataJoint's
        assert local_rows == wanted, kind
        notebook.rig.run("local", f"DELETE FROM `{notebook.local}`.session__trial")
        notebook.rig.run("local", f"DELETE FROM `{notebook.local}`.session")
        notebook.rig.run("lab_a", f"DELETE FROM {notebook.rig.outbound_table('lab', 'session')}")


def test_several_restrictions_all_hold(notebook: Notebook) -> None:
    subject, session = notebook.link("Subject"), notebook.link("Session")
    pulled(subject)
    assert pulled(session, "day = 1", {"subject": "A1"}) == 1


def test_tables_of_the_lab_restrict_by_their_keys(notebook: Notebook) -> None:
    subject, session = notebook.link("Subject"), notebook.link("Session")
    pulled(subject)
    assert pulled(session, subject & "species = 'rat'") == 1
    assert pulled(session, [subject & "subject = 'A1'", notebook.dj.Not(subject)]) == 2
    assert pulled(session, subject) == 1


def test_a_restriction_that_the_source_does_not_have_pulls_nothing(notebook: Notebook) -> None:
    subject = notebook.link("Subject")
    wrong: list[tuple[Any, str]] = [
        ("specie = 'mouse'", "specie"),
        ({"specie": "mouse"}, "no such attribute"),
        ([{"subject": "A1"}, {"specie": "mouse"}], "no such attribute"),
        (np.array([("A1",)], dtype=[("specie", "U5")]), "no such attribute"),
        ("subject = 'A1' -- all", "a comment"),
        ("subject IN (SELECT subject FROM other)", "a subquery"),
        ("subject = 'A1'; DROP TABLE subject", "a `;`"),
        ("subject = 'A1') OR (TRUE", "parenthesis"),
        ("SLEEP(10) = 0", "SLEEP"),
        ("subject + = 'A1'", "rejects the restriction"),
        ("", "empty"),
        (7, "invalid restriction of Subject"),
        (None, "invalid restriction of Subject"),
    ]
    for restriction, words in wrong:
        with pytest.raises(UsageError, match=words):
            subject().pull(restriction, display_progress=False)
    assert len(subject()) == 0


def test_a_restricted_table_does_not_pull(notebook: Notebook) -> None:
    subject = notebook.link("Subject")
    with pytest.raises(UsageError, match="as arguments"):
        (subject() & "species = 'rat'").pull()
    assert len(subject()) == 0


def test_a_pull_tells_what_it_did(notebook: Notebook, capfd: pytest.CaptureFixture[str]) -> None:
    subject, session = notebook.link("Subject"), notebook.link("Session")
    done = subject().pull("species = 'mouse'", display_progress=False)
    assert (done.entities, done.rows, done.left_out) == (2, 2, (("outside the restriction", 1),))
    assert capfd.readouterr() == ("", "")
    done = session().pull()
    assert (done.entities, done.rows) == (3, 10)
    assert done.left_out == (("their Subject is not pulled", 1),)
    told = capfd.readouterr()
    assert told.out == ""
    assert "3 rows pulled" in told.err
    assert session().pull(display_progress=False).entities == 0
    assert "skipped" in done._repr_html_()


def test_children_keep_their_foreign_key_and_come_after_their_parents(notebook: Notebook) -> None:
    subject, session = notebook.link("Subject"), notebook.link("Session")
    assert session.parents() == [subject.full_table_name]
    with pytest.raises(LinkRefused, match=r"4 entities refer to entities of .*Subject") as caught:
        session().pull(display_progress=False)
    assert caught.value.hint == "pull the parent first: Subject().pull()"
    assert len(session.outbound) == len(session()) == 0
    pulled(subject, "subject = 'A1'")
    assert pulled(session) == 2
    with pytest.raises(LinkRefused, match="1 entity refers to"):
        session().pull("subject = 'B1'", display_progress=False)


def test_a_parent_linked_after_its_child_is_refused_and_the_right_order_mends_it(notebook: Notebook) -> None:
    session = notebook.link("Session")
    assert session.parents() == []
    with pytest.raises(LinkRefused, match="was linked before it") as caught:
        notebook.link("Subject")
    assert caught.value.hint == "link the parent first: decorate Subject, then Session again"
    subject, session = notebook.link("Subject"), notebook.link("Session")
    pulled(subject)
    assert pulled(session) == 4
    assert session.parents() == [subject.full_table_name]


def test_another_process_uses_what_stands_and_needs_no_source_for_it(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked_and_pulled(notebook)
    for name in ("LINK_USER", "LINK_PASS", "LINK_OUTBOUND"):
        monkeypatch.delenv(name)
    gone = LazySchema(notebook.source_schema.database, host="127.0.0.1", port=1)
    session = Link(notebook.local_schema, gone)(type("Session", (), {}))
    assert len(session()) == 4
    with pytest.raises(SecretError, match="LINK_USER is not set"):
        session().pull()


def test_deleting_releases_what_was_not_asked_for_and_approves_what_was(notebook: Notebook) -> None:
    _, session = linked_and_pulled(notebook)
    assert len(session().source.flagged) == 0
    session().outbound.DeletionRequested.insert([{"subject": "A1", "day": 1}, {"subject": "A1", "day": 2}])
    assert sorted(session().source.flagged.to_arrays("day")) == [1, 2]
    assert len(session.DeletionRequested()) == 0
    assert session().refresh() == 2
    assert sorted(session.DeletionRequested.to_arrays("day")) == [1, 2]
    assert session().status().awaiting == 2
    assert (session() & "day = 1").delete() == 3
    assert sorted(session.to_arrays("day")) == [2]
    assert session.outbound.to_dicts()[0]["day"] == 2
    assert [r["subject"] for r in session().outbound.DeletionApproved.to_dicts()] == ["A1"]
    (notebook.source.Session & {"subject": "A1", "day": 1}).delete(prompt=False)
    with pytest.raises(notebook.dj.DataJointError):
        (notebook.source.Session & {"subject": "A1", "day": 2}).delete(prompt=False)
    assert pulled(session) == 2


def test_a_quick_deletion_is_told_and_one_by_other_ways_is_approved_or_comes_back(notebook: Notebook) -> None:
    linked_and_pulled(notebook)
    count = notebook.link("Count")
    assert pulled(count) == 4
    count().outbound.DeletionRequested.insert([{"subject": s, "day": 1} for s in ("A1", "A2")])
    assert count().refresh() == 2
    assert (count() & "subject = 'A1'").delete_quick(get_count=True) == 2
    assert [len(count()), len(count.outbound), len(count.outbound.DeletionApproved())] == [2, 2, 1]
    assert (count() & notebook.dj.Top(1, order_by="subject DESC")).delete_quick() is None
    assert count.to_arrays("subject").tolist() == ["A2"]
    assert len(count.outbound) == 1
    assert pulled(count) == 2
    notebook.rig.run("local", f"DELETE FROM `{notebook.local}`.count WHERE subject IN ('A2', 'B1')")
    assert (len(count()), len(count.outbound)) == (1, 3)
    # what was asked for is approved, the other is wanted still
    assert count().refresh() == 0
    assert (len(count.outbound), len(count.outbound.DeletionApproved())) == (2, 2)
    assert pulled(count) == 1
    assert sorted(count.to_arrays("subject")) == ["A1", "B1"]


def test_what_a_dropped_table_lost_is_neither_approved_by_refresh_nor_released_by_delete(
    notebook: Notebook,
) -> None:
    linked_and_pulled(notebook)
    count = notebook.link("Count")
    assert pulled(count) == 4
    count().outbound.DeletionRequested.insert([{"subject": s, "day": 1} for s in ("A1", "A2")])
    notebook.rig.run("local", f"DROP TABLE `{notebook.local}`.count__deletion_requested")
    assert count().refresh() == 2
    notebook.rig.run("local", f"DROP TABLE `{notebook.local}`.count__deletion_requested")
    notebook.rig.run("local", f"DROP TABLE `{notebook.local}`.count")
    assert count().refresh() == 0
    assert (len(count()), len(count.outbound), len(count.outbound.DeletionApproved())) == (0, 4, 0)
    assert pulled(count, "subject = 'A1'") == 1
    with pytest.raises(LinkRefused, match="was dropped, and not all of its rows") as caught:
        (count() & "subject = 'A1'").delete()
    assert "Count().pull()" in str(caught.value.hint)
    assert (len(count()), len(count.outbound)) == (1, 4)
    assert pulled(count) == 3
    assert (len(count()), len(count.outbound), len(count.outbound.DeletionApproved())) == (4, 4, 0)
    assert count().refresh() == 2
    assert (count() & "subject = 'A1'").delete() == 2
    assert (len(count.outbound), len(count.outbound.DeletionApproved())) == (2, 1)


def test_the_cascade_reaches_linked_children_and_their_outbound_rows_follow(notebook: Notebook) -> None:
    subject, session = linked_and_pulled(notebook)
    count = notebook.link("Count")
    assert pulled(count) == 4
    session().outbound.DeletionRequested.insert1({"subject": "A1", "day": 1})
    (subject & {"subject": "A1"}).delete()
    assert [len(t()) for t in (subject, session, count)] == [2, 2, 2]
    assert [len(t().outbound) for t in (subject, session, count)] == [2, 2, 2]
    assert [len(t().outbound.DeletionApproved()) for t in (subject, session, count)] == [0, 1, 0]


def test_a_deletion_that_is_not_agreed_to_changes_nothing(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = notebook.link("Subject")
    pulled(subject)
    monkeypatch.setattr(builtins, "input", lambda prompt: "no")
    assert subject.delete(prompt=True) == 0
    for failure in (EOFError, KeyboardInterrupt):

        def fail(prompt: str, failure: type[BaseException] = failure) -> str:
            raise failure

        monkeypatch.setattr(builtins, "input", fail)
        with pytest.raises(failure):
            subject.delete(prompt=True)
        assert not subject().connection.in_transaction
    assert len(subject()) == len(subject.outbound) == 3


def test_deleting_a_part_with_its_master_tells_the_source_too(notebook: Notebook) -> None:
    _, session = linked_and_pulled(notebook)
    with pytest.raises(notebook.dj.DataJointError):
        (session.Trial & "trial = 2").delete()
    (session.Trial & "trial = 2").delete(part_integrity="cascade")
    assert len(session()) == len(session.outbound) == 3


def test_rows_of_the_lab_go_with_the_cascade_as_in_datajoint(notebook: Notebook) -> None:
    import datajoint as dj

    _, session = linked_and_pulled(notebook)
    own = dj.Schema(notebook.rig.names("own"), {"Session": session})

    @own
    class Rating(dj.Manual):
        definition = """
        -> Session
        ---
        stars : int32
        """

    Rating.insert1({"subject": "A1", "day": 1, "stars": 5})
    (session & {"subject": "A1"}).delete()
    assert len(Rating()) == 0
    assert len(session.outbound) == 2


def test_without_the_source_nothing_is_deleted_here(notebook: Notebook) -> None:
    subject, _ = linked_and_pulled(notebook)
    subject._home.source = LazySchema(
        notebook.source_schema.database, host="127.0.0.1", port=1, user="x", password="y"
    )
    with pytest.raises(Unreachable):
        subject.delete()
    assert len(subject()) == 3


def test_a_source_lost_after_the_deletion_is_told_of_it_later(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = linked_and_pulled(notebook)
    session().outbound.DeletionRequested.insert1({"subject": "A1", "day": 1})
    rights = f"ALL ON {grant_pattern(notebook.rig.outbound)}.* {{}} '{notebook.rig.names('link')}'@'%'"
    server = notebook.rig.server("lab_a")

    def take_rights_and_agree(prompt: str) -> str:
        ask(server, "REVOKE " + rights.format("FROM"))
        return "yes"

    monkeypatch.setattr(builtins, "input", take_rights_and_agree)
    with pytest.raises(SourceNotConfirmed, match="the rows are deleted locally") as caught:
        (session & "day = 1").delete(prompt=True)
    assert "`refresh()` approves" in str(caught.value.hint)
    ask(server, "GRANT " + rights.format("TO"))
    assert (len(session()), len(session.outbound)) == (1, 4)
    assert session().refresh() == 0
    assert (len(session.outbound), len(session.outbound.DeletionApproved())) == (3, 1)
    assert pulled(session) == 2
    assert sorted(session.outbound.to_arrays("day")) == [1, 1, 2]


def test_what_the_source_adds_later_is_on_the_class_after_the_next_pull(notebook: Notebook) -> None:
    subject, session = linked_and_pulled(notebook)
    run = notebook.rig.run
    run("lab_a", "ALTER TABLE {lab}.session ADD COLUMN weight float DEFAULT 2.5")
    run(
        "lab_a",
        "CREATE TABLE {lab}.session__probe (subject varchar(12) NOT NULL, day int NOT NULL,"
        " probe int NOT NULL, PRIMARY KEY (subject, day, probe),"
        " FOREIGN KEY (subject, day) REFERENCES {lab}.session (subject, day))",
    )
    run("lab_a", "INSERT INTO {lab}.session__probe VALUES ('A1', 1, 7)")
    assert not hasattr(session, "Probe")
    pulled(session)
    assert session.heading.names == ["subject", "day", "note", "weight"]
    assert session.to_arrays("weight").tolist() == [2.5] * 4
    assert session.Probe().to_dicts() == [{"subject": "A1", "day": 1, "probe": 7}]
    assert len(subject * session * session.Probe) == 1


def test_what_the_source_alters_with_datajoint_is_altered_here_by_the_next_pull(notebook: Notebook) -> None:
    _, session = linked_and_pulled(notebook)
    source = notebook.source.Session
    source.definition = source.definition.replace("note : varchar(40)", "note = null : varchar(90)  # longer")
    source.definition = source.definition.replace("# sessions of", "# all sessions of")
    source().alter(prompt=False)
    source.insert1({"subject": "B1", "day": 7, "note": "n" * 90})
    assert pulled(session) == 1
    assert (session() & "day = 7").fetch1("note") == "n" * 90
    heading, altered = session().heading, source().heading
    facts = [
        (h["note"].type, h["note"].nullable, h["note"].comment, h.table_status["comment"])
        for h in (heading, altered)
    ]
    assert facts[0] == facts[1]
    assert pulled(session) == 0


def test_a_status_that_verifies_finds_rows_that_changed_at_the_source(notebook: Notebook) -> None:
    subject, _ = linked_and_pulled(notebook)
    notebook.source.Subject.update1({"subject": "A1", "species": "vole"})
    assert subject().status().drift == ()
    [drift] = subject().status(verify=True).drift
    assert drift.count == 1


def test_parents_in_another_schema_of_the_source_are_found(notebook: Notebook) -> None:
    rig = notebook.rig
    run_all(
        rig,
        "CREATE DATABASE {other}",
        "CREATE TABLE {other}.scan (subject varchar(12) NOT NULL, scan int NOT NULL,"
        " PRIMARY KEY (subject, scan), FOREIGN KEY (subject) REFERENCES {lab}.`#subject` (subject))",
        "INSERT INTO {other}.scan VALUES ('A1', 1), ('B1', 1)",
    )
    rig.run("lab_a", f"GRANT SELECT, REFERENCES ON {{other}}.* TO '{rig.names('link')}'@'%'")
    subject = notebook.link("Subject")
    server = rig.server("lab_a")
    source = LazySchema(rig.names("other"), host=server.host, port=server.port, tls=False)
    scan = Link(LazySchema(rig.names("our_scans")), source)(type("Scan", (), {}))
    assert scan.parents() == [subject.full_table_name]
    pulled(subject)
    assert pulled(scan, {"subject": "B1"}) == 1
    (subject & "species = 'rat'").delete()
    assert len(scan()) == len(scan.outbound) == 0


def test_a_link_is_taken_out_and_the_table_kept_or_dropped(notebook: Notebook) -> None:
    subject, session = linked_and_pulled(notebook)
    count = notebook.link("Count")
    pulled(count)
    run, local = notebook.rig.run, notebook.local
    # below it another link stays, with what it holds and without its foreign key
    assert session.unlink(prompt=False)
    assert count.parents() == []
    assert len(count()) == len(count.outbound) == 4
    outbound = {row[0] for row in run("lab_a", "SHOW TABLES FROM {outbound}")}
    assert not any(name.endswith(("_session", "session_requested", "session_approved")) for name in outbound)
    assert len(run("local", f"SELECT * FROM `{local}`.session")) == 4
    assert run("local", f"SHOW TABLES FROM `{local}` LIKE '%deletion%session%'") == []
    for work in (session().pull, session().refresh, session().status, session().delete, session.unlink):
        with pytest.raises(UsageError, match="was removed"):
            work()
    with pytest.raises(LinkRefused, match="was not created by djlink"):
        notebook.link("Session")
    # a table of the lab's own keeps the one that it refers to from being dropped
    rating = notebook.dj.Schema(local, {"Subject": subject})(
        type("Rating", (notebook.dj.Manual,), {"definition": "-> Subject"})
    )
    with pytest.raises(LinkRefused, match=r"depend on .*rating") as caught:
        subject.unlink("drop", prompt=False)
    assert 'unlink(table="keep")' in str(caught.value.hint)
    assert len(subject()) == len(subject.outbound) == 3
    rating.drop_quick()
    run("local", f"DROP TABLE `{local}`.session__trial, `{local}`.session")
    assert subject.unlink("drop", prompt=False)
    assert run("local", f"SHOW TABLES FROM `{local}` LIKE '%subject%'") == []
    subject = notebook.link("Subject")
    assert pulled(subject) == 3
    # one that was killed after the local tables were dropped is gone on with, in another process too
    run("local", f"DROP TABLE `{local}`.subject__deletion_requested, `{local}`.subject")
    assert notebook.link("Subject").unlink("drop", prompt=False)
    left = {row[0] for row in run("lab_a", "SHOW TABLES FROM {outbound} LIKE '%subject%'")}
    assert {name.rsplit("_", 1)[1] for name in left} == {"history"}


def test_a_link_is_taken_out_only_where_that_is_agreed_to(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = notebook.link("Subject")
    pulled(subject)
    asked = list[str]()

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "no"

    monkeypatch.setattr(builtins, "input", answer)
    assert subject.unlink("drop", prompt=True) is False
    assert "3 entities" in asked[0]
    assert "drop" in asked[0]
    with pytest.raises(UsageError, match="'keep' or 'drop'"):
        subject.unlink("dorp")
    with pytest.raises(UsageError, match="as a whole"):
        (subject() & "species = 'rat'").unlink()
    with subject().connection.transaction, pytest.raises(UsageError, match="inside a transaction"):
        subject.unlink()
    asked_for = subject._home.letting_go()
    with open_job(asked_for.manifest, asked_for.environ) as job:
        job.plan()
        with (
            job.holding({subject._home.address}),
            pytest.raises(LinkLocked, match="another djlink works on this link"),
        ):
            subject.unlink("drop")
    source = subject._home.source
    subject._home.source = LazySchema(source.database, host="127.0.0.1", port=1, user="x", password="y")
    with pytest.raises(Unreachable):
        subject.unlink("drop")
    subject._home.source = source
    assert len(subject()) == len(subject.outbound) == 3


def test_local_tables_are_not_dropped_and_outbound_rows_not_deleted_by_hand(notebook: Notebook) -> None:
    subject, session = linked_and_pulled(notebook)
    for refused in (subject.drop, session().drop_quick, session().alter, session.outbound.delete):
        with pytest.raises(UsageError):
            refused()
    assert len(session.outbound) == len(session()) == 4


def test_pulling_deleting_and_refreshing_are_refused_in_a_transaction(notebook: Notebook) -> None:
    subject, _ = linked_and_pulled(notebook)
    with subject().connection.transaction:
        for work in (subject().pull, subject().refresh, subject.delete, subject.delete_quick):
            with pytest.raises(UsageError, match="inside a transaction"):
                work()
    assert len(subject()) == 3


def test_while_another_works_on_the_link_pull_and_delete_say_who(notebook: Notebook) -> None:
    subject, session = notebook.link("Subject"), notebook.link("Session")
    pulled(subject, "subject = 'A1'")
    asked = subject._home.letting_go()
    with open_job(asked.manifest, asked.environ) as job:
        job.plan()
        with job.holding({subject._home.address}):
            for work in (lambda: subject().pull(display_progress=False), subject.delete):
                with pytest.raises(LinkLocked, match="another djlink works on this link") as caught:
                    work()
                assert "try again" in str(caught.value.hint) or "pull() again" in str(caught.value.hint)
    assert len(subject()) == 1
    assert len(session()) == 0
    assert pulled(subject) == 2


def test_a_class_that_the_source_does_not_have_is_named_with_the_nearest(notebook: Notebook) -> None:
    with pytest.raises(LinkRefused, match="no such table") as caught:
        notebook.link("Sesion")
    assert caught.value.hint == "did you mean `Session`?"
    with pytest.raises(LinkRefused, match="part of Session"):
        notebook.link("session__trial")
    notebook.source_schema.database += "x"
    with pytest.raises(LinkRefused, match="schema does not exist"):
        notebook.link("Session")
    assert notebook.rig.run("local", f"SHOW DATABASES LIKE '{notebook.local}'") == []


def test_a_source_with_a_part_called_deletion_requested_is_refused(notebook: Notebook) -> None:
    notebook.rig.run(
        "lab_a",
        "CREATE TABLE {lab}.session__deletion_requested (subject varchar(12), day int, n int,"
        " PRIMARY KEY (subject, day, n),"
        " FOREIGN KEY (subject, day) REFERENCES {lab}.session (subject, day))",
    )
    with pytest.raises(LinkRefused, match="has a name that djlink reserves") as caught:
        notebook.link("Session")
    assert caught.value.hint == "it cannot be linked in its present form"
    assert notebook.rig.run("local", f"SHOW DATABASES LIKE '{notebook.local}'") == []


def test_a_table_of_the_labs_own_with_the_name_is_left_alone(notebook: Notebook) -> None:
    import datajoint as dj

    @notebook.local_schema
    class Subject(dj.Manual):
        definition = "subject : varchar(12)"

    Subject.insert1({"subject": "ours"})
    with pytest.raises(LinkRefused, match="was not created by djlink") as caught:
        notebook.link("Subject")
    assert "another local schema" in str(caught.value.hint)
    assert Subject.to_dicts() == [{"subject": "ours"}]
    assert notebook.rig.run("lab_a", "SHOW TABLES FROM {outbound}") == []


def test_what_is_missing_in_the_environment_is_named(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINK_USER", "LINK_PASS", "LINK_OUTBOUND"):
        with monkeypatch.context() as without:
            without.delenv(name)
            with pytest.raises(SecretError, match=f"{name} is not set") as caught:
                notebook.link("Subject")
        assert caught.value.hint == f"export {name}=..."
        assert caught.value.location is not None
        assert caught.value.location.file.endswith("notebooks.py")
    assert notebook.rig.run("local", f"SHOW DATABASES LIKE '{notebook.local}'") == []


def test_accounts_and_outbound_can_be_given_instead(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: os.environ[f"LINK_{name}"] for name in ("USER", "PASS", "OUTBOUND")}
    for name in given:
        monkeypatch.delenv(f"LINK_{name}")
    server = notebook.rig.server("lab_a")
    source = LazySchema(
        notebook.source_schema.database,
        host=f"{server.host}:{server.port}",
        user=given["USER"],
        password=given["PASS"],
        tls={"ca": str(server.ca_path)} if server.ca_path else False,
    )
    link = Link(notebook.local_schema, source, outbound=given["OUTBOUND"], contact="us@lab.example")
    subject = link(type("Subject", (), {}))
    assert pulled(subject) == 3
    assert len(subject().source) == 3
    [mark] = notebook.rig.run("lab_a", "SELECT manifest, contact FROM {outbound}.`~djlink`")
    assert mark == ("python", "us@lab.example")
    assert given["PASS"] not in repr((source, subject._home, subject._home.pulling(None)))


def test_wrong_accounts_and_unreachable_sources_are_told(notebook: Notebook) -> None:
    server = notebook.rig.server("lab_a")
    name = notebook.source_schema.database
    wrong = LazySchema(name, host=server.host, port=server.port, user="x", password="y", tls=False)
    nowhere = LazySchema(name, host="127.0.0.1", port=1)
    for source in (wrong, nowhere):
        with pytest.raises(Unreachable) as caught:
            Link(notebook.local_schema, source)(type("Subject", (), {}))
        assert caught.value.hint
    assert notebook.rig.run("local", f"SHOW DATABASES LIKE '{notebook.local}'") == []


def test_wrong_arguments_say_what_is_right() -> None:
    local, remote = LazySchema("a"), LazySchema("b", host="db.example")
    for make, words in (
        (lambda: Link(local, local), "names no host"),
        (lambda: Link(remote, remote), "no account"),
        (lambda: Link("a", remote), "LazySchema"),  # type: ignore[arg-type]
        (lambda: Link(local, remote, {"a": "s", "b": "s"}), "two local stores"),
        (lambda: Link(local, remote, {"a": ["s", "t"], "b": "t"}), "`t` is mapped to two"),
        (lambda: Link(local, remote, {"a": 1}), "names to names"),  # type: ignore[dict-item]
        (lambda: Link(local, remote, outbound="a b"), "a space"),
        (lambda: LazySchema(""), "is empty"),
        (lambda: LazySchema("a", user="x"), "require `host`"),
        (lambda: LazySchema("a", host="h", tls={"cert_file": "x"}), "`cert_file`"),
        (lambda: Link(local, remote)(type("Based", (dict,), {})), "without bases"),
    ):
        with pytest.raises(UsageError, match=words):
            make()


def test_ctrl_c_ends_a_pull_after_the_batch_in_hand(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = notebook.link("Subject")
    monkeypatch.setattr("djlink_manifest.reconcile.runtime.batches.BATCH_ENTITIES", 1)
    plain = runs.applied

    def applied(job: Any, plan: Any, listener: Any) -> Any:
        def listen(event: Any) -> None:
            if isinstance(event, Advanced):  # told by a thread that works, while the main one waits
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)

        return plain(job, plan, listen)

    monkeypatch.setattr(runs, "applied", applied)
    with pytest.raises(KeyboardInterrupt):
        subject().pull(display_progress=False)
    monkeypatch.setattr(runs, "applied", plain)
    local = len(subject())
    assert 0 < local < 3
    assert len(subject.outbound) == len(subject())
    assert pulled(subject) == 3 - local
    assert len(subject()) == 3


def test_importing_the_package_loads_neither_datajoint_nor_a_driver() -> None:
    code = (
        "import sys, djlink_manifest as d; assert 'Link' in dir(d)\n"
        "assert not {'datajoint', 'pymysql', 'rich'} & set(sys.modules)\n"
        "from djlink_manifest import LazySchema, Link, load, plan, apply\n"
        "assert 'datajoint' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_table_that_is_seen_no_longer_is_told_so_to_its_class_and_to_those_below_it(
    notebook: Notebook,
) -> None:
    subject, session = linked_and_pulled(notebook)
    lab, user = notebook.rig.names("lab"), notebook.rig.names("link")
    ask(notebook.rig.servers.lab_a, f"REVOKE SELECT, REFERENCES ON {grant_pattern(lab)}.* FROM '{user}'@'%'")
    for table in ("session", "session__trial"):
        ask(notebook.rig.servers.lab_a, f"GRANT SELECT, REFERENCES ON `{lab}`.{table} TO '{user}'@'%'")
    for table in (subject, session):
        with pytest.raises(
            LinkRefused, match=r"#subject no longer exists, or the link user has no privilege"
        ):
            table().pull(display_progress=False)
