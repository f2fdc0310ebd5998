"""Rights: what accounts need and no more, and the GRANT that mends what they lack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pymysql
import pytest

from djlink_manifest.model.server.rights import LOCAL_RIGHTS, OUTBOUND_RIGHTS
from djlink_manifest.reconcile.plan.actions import AddForeignKey, PullAgain, Register, Release
from djlink_manifest.sandbox.servers.accounts import create_link_user, grant_pattern, quoted_name
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(9))",
    "CREATE TABLE {lab}.session (n int PRIMARY KEY, id int, FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (n int, k int, PRIMARY KEY (n, k),"
    " FOREIGN KEY (n) REFERENCES {lab}.session (n))",
    "INSERT INTO {lab}.subject VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "INSERT INTO {lab}.session VALUES (10, 1), (20, 2), (30, NULL)",
    "INSERT INTO {lab}.session__trial VALUES (10, 1), (20, 1)",
)
ALL = {"tables": "*"}


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    return rig


def revoke(rig: Rig, rights: str, schema: str, server: str = "lab_a", user: str = "link") -> None:
    ask(rig.server(server), f"REVOKE {rights} ON {schema}.* FROM '{rig.names(user)}'@'%'")


def grant(rig: Rig, rights: Sequence[str], schema: str, server: str = "lab_a", user: str = "link") -> None:
    ask(rig.server(server), f"GRANT {', '.join(rights)} ON {schema}.* TO '{rig.names(user)}'@'%'")


def mend(rig: Rig, hint: str | None, server: str = "lab_a") -> None:
    """Run, as root, the statements that a hint names."""
    assert hint is not None
    _, found, statements = hint.partition("administrator to run: ")
    assert found, hint
    for statement in statements.split(";"):
        if statement.strip():
            ask(rig.server(server), statement)


def hints(rig: Rig, document: dict[str, Any]) -> set[tuple[str, str | None]]:
    """The reasons and hints of all that is refused."""
    plan = rig.plan(document)
    assert plan.has_errors
    return {
        *((r.reason, r.hint) for r in plan.refusals),
        *((b.reason, b.hint) for link in plan.links for b in link.blocked if b.kind == "error"),
    }


@pytest.mark.parametrize(
    ("rights", "words"),
    [
        ("SELECT", "lacks SELECT on"),
        ("REFERENCES", "lacks REFERENCES on"),
        ("SELECT, REFERENCES", "does not exist, or the link user has no privilege on it"),
    ],
)
def test_a_missing_right_on_the_source_is_mended_by_the_grant_of_the_message(
    lab: Rig, rights: str, words: str
) -> None:
    document = lab.document({"lab_a": {"lab": ALL}})
    revoke(lab, rights, grant_pattern(lab.names("lab")))
    told = hints(lab, document)
    assert all(words in reason for reason, _ in told)
    mend(lab, told.pop()[1])
    plan, report = lab.apply(document)
    assert not plan.has_errors
    assert report.succeeded


@pytest.mark.parametrize("right", OUTBOUND_RIGHTS)
def test_a_missing_right_on_the_outbound_schema_is_mended_by_the_grant_of_the_message(
    lab: Rig, right: str
) -> None:
    document = lab.document({"lab_a": {"lab": ALL}})
    revoke(lab, right, grant_pattern(lab.outbound))
    told = hints(lab, document)
    assert {reason for reason, _ in told} == {
        f"the link user lacks {right} on the outbound schema `{lab.outbound}`"
    }
    mend(lab, told.pop()[1])
    assert not lab.plan(document).has_errors


def test_a_missing_outbound_schema_is_mended_by_the_statements_of_the_message(lab: Rig) -> None:
    document = lab.document({"lab_a": {"lab": ALL}})
    run_all(lab, "DROP DATABASE {outbound}")
    revoke(lab, "ALL", grant_pattern(lab.outbound))
    told = hints(lab, document)
    assert all("outbound schema" in reason and "does not exist" in reason for reason, _ in told)
    mend(lab, told.pop()[1])
    plan, report = lab.apply(document)
    assert not plan.has_errors
    assert report.succeeded


@pytest.mark.parametrize("right", LOCAL_RIGHTS)
def test_a_missing_local_right_is_mended_by_the_grant_of_the_message(lab: Rig, right: str) -> None:
    document = lab.document({"lab_a": {"lab": ALL}})
    revoke(lab, right, quoted_name(lab.names.pattern), "local", "lab")
    told = hints(lab, document)
    assert all(f"the local user lacks {right} on the local schema" in reason for reason, _ in told)
    mend(lab, told.pop()[1], "local")
    assert not lab.plan(document).has_errors


def everything_that_djlink_does(rig: Rig) -> None:
    """Create, pull, pull again, release, register, add a foreign key to a parent linked later, and refill."""
    early = rig.document({"lab_a": {"lab": {"tables": {"Session": {}}}}})
    late = rig.document({"lab_a": {"lab": {"tables": {"Session": {"where": "n < 30"}, "Subject": {}}}}})
    assert rig.apply(early)[1].succeeded
    local_name = rig.local_schema("lab_a", "lab")
    ask(rig.servers.local, f"DELETE FROM {local_name}.session__trial WHERE n = 20")
    ask(rig.servers.local, f"DELETE FROM {local_name}.session WHERE n >= 20")
    run_all(
        rig,
        f"DELETE FROM {{outbound}}.{rig.names('lab_session')} WHERE n = 10",
        f"INSERT INTO {{outbound}}.{rig.names('lab_session_deletion_requested')} (n) VALUES (10)",
        f"DELETE FROM {{outbound}}.{rig.names('lab_session_deletion_requested')}",
    )
    plan, report = rig.apply(late)
    assert report.succeeded, [(o.address, o.problem) for o in report.outcomes]
    done = {type(a) for a in link_of(plan, rig.address("lab_a", "lab", "Session")).actions}
    assert done == {PullAgain, Release, Register, AddForeignKey}
    run_all(
        rig,
        "ALTER TABLE {lab}.session ADD mood int, ADD KEY by_mood (mood)",
        "UPDATE {lab}.session SET mood = 1",
        "DELETE FROM {lab}.session__trial WHERE n = 10",
    )
    _, report = rig.apply(late)
    assert [(o.status, o.counts.refilled) for o in report.outcomes] == [("done", 2)], report.outcomes
    again = rig.plan(late)
    assert not again.has_changes
    assert not again.has_errors


def test_the_listed_rights_suffice_one_by_one(lab: Rig) -> None:
    revoke(lab, "ALL", grant_pattern(lab.outbound))
    revoke(lab, "ALL", quoted_name(lab.names.pattern), "local", "lab")
    grant(lab, OUTBOUND_RIGHTS, grant_pattern(lab.outbound))
    grant(lab, LOCAL_RIGHTS, quoted_name(lab.names.pattern), "local", "lab")
    everything_that_djlink_does(lab)


@pytest.mark.parametrize(
    ("listed", "right"),
    [
        *(("OUTBOUND_RIGHTS", right) for right in OUTBOUND_RIGHTS),
        *(("LOCAL_RIGHTS", right) for right in LOCAL_RIGHTS),
    ],
)
def test_each_listed_right_is_necessary(
    lab: Rig, monkeypatch: pytest.MonkeyPatch, listed: str, right: str
) -> None:
    """Without the right, and without the look at rights that would say so, the work fails."""
    place = (
        (grant_pattern(lab.outbound), "lab_a", "link")
        if listed == "OUTBOUND_RIGHTS"
        else (quoted_name(lab.names.pattern), "local", "lab")
    )
    monkeypatch.setattr(f"djlink_manifest.reconcile.diff.link_tables.{listed}", ())
    revoke(lab, right, *place)
    with pytest.raises((AssertionError, pymysql.MySQLError)):
        everything_that_djlink_does(lab)


def test_the_link_user_cannot_write_to_the_source(lab: Rig) -> None:
    lab.apply(lab.document({"lab_a": {"lab": ALL}}))
    schema = lab.names("lab")
    with lab.servers.lab_a.connect(lab.names("link"), PASSWORD) as connection, connection.cursor() as cursor:
        for statement in (
            f"INSERT INTO {schema}.subject VALUES (9, 'x')",
            f"UPDATE {schema}.subject SET name = 'x'",
            f"DELETE FROM {schema}.session__trial",
            f"ALTER TABLE {schema}.subject ADD x int",
            f"CREATE TABLE {schema}.x (id int)",
            f"DROP TABLE {schema}.session__trial",
            f"TRUNCATE {schema}.session__trial",
            f"CREATE INDEX x ON {schema}.subject (name)",
        ):
            with pytest.raises(pymysql.OperationalError, match="denied"):
                cursor.execute(statement)
        cursor.execute("SHOW GRANTS")
        lines = [line for (line,) in cursor.fetchall() if grant_pattern(schema) in line]
    assert [line.split(" ON ")[0] for line in lines] == ["GRANT SELECT, REFERENCES"]


def test_a_right_that_a_role_does_not_give_blocks_its_own_links_and_is_mended_by_the_grant(lab: Rig) -> None:
    run_all(lab, *TABLES, server="lab_b")
    create_link_user(lab.servers.lab_b, lab.names("link"), PASSWORD, [lab.names("lab")], lab.outbound)
    user, role = f"'{lab.names('link')}'@'%'", f"'{lab.names('role')}'"
    revoke(lab, "REFERENCES", grant_pattern(lab.names("lab")))
    for statement in (f"CREATE ROLE {role}", f"GRANT {role} TO {user}", f"SET DEFAULT ROLE {role} TO {user}"):
        ask(lab.servers.lab_a, statement)
    document = lab.document({"lab_a": {"lab": {"tables": ["Subject"]}}, "lab_b": {"lab": ALL}})
    plan, report = lab.apply(document)
    [blocked] = link_of(plan, lab.address("lab_a", "lab", "Subject")).blocked
    assert "lacks REFERENCES on" in blocked.reason
    assert {o.address.partition(".")[0]: o.status for o in report.outcomes} == {"lab_b": "done"}
    mend(lab, blocked.hint)
    assert lab.apply(document)[1].succeeded
    assert not lab.plan(document).has_changes


def test_outbound_tables_that_cannot_be_read_block_the_links_of_their_source_only(lab: Rig) -> None:
    run_all(lab, *TABLES, server="lab_b")
    create_link_user(lab.servers.lab_b, lab.names("link"), PASSWORD, [lab.names("lab")], lab.outbound)
    document = lab.document({"lab_a": {"lab": ALL}, "lab_b": {"lab": ALL}})
    assert lab.apply(document)[1].succeeded
    run_all(lab, "INSERT INTO {lab}.subject VALUES (4, 'd')", server="lab_b")
    requests = f"{lab.outbound}.{lab.names('lab_subject_deletion_requested')}"
    ask(lab.servers.lab_a, f"DROP TABLE {requests}")
    view = f"CREATE DEFINER = 'no'@'one' VIEW {requests} AS SELECT id FROM {lab.names('lab')}.subject"
    ask(lab.servers.lab_a, view)
    plan, report = lab.apply(document)
    assert plan.has_errors
    assert [(o.address, o.status, o.counts.pulled) for o in report.outcomes] == [
        (lab.address("lab_b", "lab", "Subject"), "done", 1)
    ]


def warnings(rig: Rig, document: dict[str, Any], table: str) -> list[str]:
    """The warnings of a link of the schema `lab`."""
    return list(link_of(rig.plan(document), rig.address("lab_a", "lab", table)).warnings)


def test_a_parent_in_a_schema_that_the_link_user_cannot_see_is_told_with_the_grant_that_lets_it_be_linked(
    lab: Rig,
) -> None:
    run_all(
        lab,
        "CREATE DATABASE {other}",
        "CREATE TABLE {other}.rig_1 (rig int PRIMARY KEY)",
        "CREATE TABLE {lab}.run (run int PRIMARY KEY, rig int, id int,"
        " FOREIGN KEY (rig) REFERENCES {other}.rig_1 (rig), FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
        "CREATE TABLE {lab}.run__step (run int, n int, rig int, PRIMARY KEY (run, n),"
        " FOREIGN KEY (run) REFERENCES {lab}.run (run), FOREIGN KEY (rig) REFERENCES {other}.rig_1 (rig))",
    )
    document = lab.document({"lab_a": {"lab": ALL}})
    [told] = warnings(lab, document, "Run")
    assert f"its parent {lab.names('other')}.rig_1 is not linked and not visible to the link user" in told
    assert f"ON `{lab.names('other')}`.`rig_1` TO" in told
    assert warnings(lab, document, "Session") == []
    _, report = lab.apply(document)
    assert report.succeeded
    mend(lab, told)
    wider = lab.document({"lab_a": {"lab": ALL, "other": {"tables": ["Rig1"]}}})
    assert warnings(lab, wider, "Run") == []
    [told] = warnings(lab, document, "Run")
    assert told.endswith("is not linked: the foreign key becomes plain columns")
    plan, report = lab.apply(wider)
    assert report.succeeded
    run = link_of(plan, lab.address("lab_a", "lab", "Run"))
    assert len([a for a in run.actions if isinstance(a, AddForeignKey)]) == 2
    assert not lab.plan(wider).has_changes


def test_a_parent_that_a_right_on_single_tables_leaves_out_blocks_its_children_where_it_is_declared(
    lab: Rig,
) -> None:
    revoke(lab, "SELECT, REFERENCES", grant_pattern(lab.names("lab")))
    for table in ("session", "session__trial"):
        ask(
            lab.server("lab_a"),
            f"GRANT SELECT, REFERENCES ON `{lab.names('lab')}`.{table} TO '{lab.names('link')}'@'%'",
        )
    document = lab.document({"lab_a": {"lab": ALL}})
    plan = lab.plan(document)
    [refusal] = plan.refusals
    assert refusal.address == lab.address("lab_a", "lab", "Subject")
    assert f"{lab.names('lab')}.subject no longer exists, or the link user has no privilege" in refusal.reason
    session = link_of(plan, lab.address("lab_a", "lab", "Session"))
    [blocked] = session.blocked
    assert refusal.reason in blocked.reason
    assert (blocked.hint, session.warnings) == (refusal.hint, ())
    out = lab.document({"lab_a": {"lab": {"tables": "*", "exclude": ["Subject"]}}})
    [told] = warnings(lab, out, "Session")
    assert f"its parent {lab.names('lab')}.subject is not linked and not visible to the link user" in told
    mend(lab, blocked.hint)
    assert warnings(lab, document, "Session") == []
    assert link_of(lab.plan(document), lab.address("lab_a", "lab", "Subject")).wave == 1


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_what_a_role_gives_counts_while_the_role_is_active(lab: Rig) -> None:
    role, user = f"'{lab.names('role')}'", f"'{lab.names('link')}'@'%'"
    to = "FOR" if lab.server("lab_a").vendor == "mariadb" else "TO"
    revoke(lab, "SELECT, REFERENCES", grant_pattern(lab.names("lab")))
    for statement in (
        f"CREATE ROLE {role}",
        f"GRANT SELECT, REFERENCES ON {grant_pattern(lab.names('lab'))}.* TO {role}",
        f"GRANT SELECT, REFERENCES ON {lab.names('lab')}.subject TO {user}",
        f"GRANT {role} TO {user}",
    ):
        ask(lab.server("lab_a"), statement)
    document = lab.document({"lab_a": {"lab": {"tables": ["Subject"]}}})
    [told] = lab.plan(document).warnings
    assert "privileges on single tables" in told
    ask(lab.server("lab_a"), f"SET DEFAULT ROLE {role} {to} {user}")
    plan = lab.plan(document)
    assert not plan.has_errors
    assert plan.warnings == ()


def test_a_role_that_is_not_active_shows_nothing(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE DATABASE {other}",
        "CREATE TABLE {other}.rig_1 (rig int PRIMARY KEY)",
        "CREATE TABLE {lab}.run (run int PRIMARY KEY, rig int,"
        " FOREIGN KEY (rig) REFERENCES {other}.rig_1 (rig))",
    )
    role, user, server = lab.names("role"), lab.names("link"), lab.server("lab_a")
    ask(server, f"CREATE ROLE '{role}'")
    ask(server, f"GRANT '{role}' TO '{user}'@'%'")
    [told] = warnings(lab, lab.document({"lab_a": {"lab": ALL}}), "Run")
    assert "is not linked and not visible to the link user" in told
