"""What an owner tries through the views, in any SQL mode, frees no row and forges no entry."""

from __future__ import annotations

from contextlib import suppress

import pymysql
import pytest

from tests.support.pipelines.owners import SESSIONS_AND_SCANS, Source, new_source
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE
from tests.support.sql import ask

alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
MODES = ("", "ANSI", "NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH", "ALLOW_INVALID_DATES", "TRADITIONAL")
VALUES = ("1", "NULL", "''", "'1'", "'1x'", "1e30", "-99999999999", "0x31", "USER()", "LAST_INSERT_ID(5)")

# each with the names of the views, of the lab's tables and of the owner's schema
ATTACKS = (
    *(f"INSERT INTO {{requests}} (id, day) VALUES ({value}, '2026-01-01')" for value in VALUES),
    *(f"INSERT IGNORE INTO {{requests}} (id, day) VALUES ({value}, '0000-00-00')" for value in VALUES),
    "INSERT INTO {requests} (id, day, requested_by) VALUES (2, '2026-01-01', 'the-lab@%')",
    "INSERT INTO {requests} (id, day, requested_at) VALUES (2, '2026-01-01', '1999-01-01')",
    "INSERT INTO {requests} (id, day, requested_at) VALUES (1, '2026-01-01', '0000-00-00')",
    "INSERT INTO {requests} (id, day, granted_at, granted_by) VALUES (1, '2026-01-01', NOW(), 'x')",
    "INSERT INTO {requests} SELECT id, day, 'x', NOW(), '' FROM {lab}.session",
    "INSERT INTO {requests} (id, day) SELECT id, day FROM {lab}.session"
    " ON DUPLICATE KEY UPDATE reason = 'x', requested_at = NOW()",
    "INSERT INTO {requests} (id, day) VALUES (1, '2026-01-01') ON DUPLICATE KEY UPDATE id = 3",
    "REPLACE INTO {requests} (id, day) VALUES (1, '2026-01-01')",
    "REPLACE INTO {held} (id, day) VALUES (1, '2026-01-01')",
    "REPLACE INTO {approved} (id, day) VALUES (1, '2026-01-01')",
    "INSERT IGNORE INTO {approved} (id, day) VALUES (1, '2026-01-01')",
    "INSERT IGNORE INTO {approved} (id, day, approved_by) VALUES (1, '2026-01-01', 'the-lab@%')",
    "INSERT INTO {approved} SELECT id, day, NOW(), 'the-lab@%' FROM {lab}.session",
    "INSERT IGNORE INTO {held} (id, day) VALUES (4, '2026-01-01')",
    "INSERT IGNORE INTO {history} (id, day, event) VALUES (1, '2026-01-01', 'approved')",
    "INSERT IGNORE INTO {withdrawn} (id, day, event) VALUES (1, '2026-01-01', 'approved')",
    "INSERT IGNORE INTO {withdrawn} (id, day, event) VALUES (1, '2026-01-01', 'WITHDRAWN ')",
    "INSERT IGNORE INTO {withdrawn} (id, day, event) VALUES (1, '2026-01-01', '')",
    "INSERT IGNORE INTO {withdrawn} (id, day, event) VALUES (NULL, '2026-01-01', 'requested')",
    "INSERT INTO {withdrawn} (id, day, event, who) VALUES (1, '2026-01-01', 'withdrawn', 'the-lab@%')",
    "INSERT INTO {withdrawn} (id, day, event) VALUES (4, '2026-01-01', 'withdrawn')",
    "INSERT INTO {withdrawn} (id, day, event) VALUES (1, '2026-01-01', 'withdrawn')"
    " ON DUPLICATE KEY UPDATE event = 'approved'",
    "REPLACE INTO {withdrawn} (id, day, event) VALUES (1, '2026-01-01', 'approved')",
    "INSERT INTO {links} (outbound_table, manifest) VALUES ('x', 'y')",
    "UPDATE {requests} SET id = 3",
    "UPDATE IGNORE {requests} r JOIN {held} h USING (id, day) SET h.pulled_at = NULL",
    "UPDATE {approved} SET id = 2",
    "UPDATE {withdrawn} SET event = 'approved'",
    "UPDATE {links} SET manifest = 'x'",
    "UPDATE {held} SET id = 9",
    "DELETE FROM {held}",
    "DELETE h FROM {held} h JOIN {requests} r USING (id, day)",
    "DELETE r, h FROM {requests} r JOIN {held} h USING (id, day)",
    "DELETE FROM h, m USING {held} h JOIN {links} m",
    "DELETE FROM {history}",
    "DELETE FROM {withdrawn} WHERE 1",
    "DELETE FROM {links}",
    "TRUNCATE {held}",
    "TRUNCATE {history}",
    "HANDLER {held} OPEN",
    "LOCK TABLES {held} WRITE",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE {approved} (id, day)",
    "LOAD DATA LOCAL INFILE '/etc/passwd' IGNORE INTO TABLE {approved} (id, day)",
    "CREATE OR REPLACE VIEW {held} AS SELECT 1",
    "ALTER VIEW {requests} AS SELECT 1 AS id",
    "DROP VIEW {held}",
    "CREATE TRIGGER {owners}.t BEFORE INSERT ON {requests} FOR EACH ROW SET @x = 1",
    "RENAME TABLE {held} TO {owners}.x",
    "SELECT * FROM {outbound}",
    "DELETE FROM {outbound}",
    "INSERT INTO {outbound_approved} (id, day) VALUES (1, '2026-01-01')",
    "DELETE FROM {marks}",
    "UPDATE {outbound_requested} SET granted_at = NOW()",
    "CREATE TABLE {lab}.x (id int, day date, FOREIGN KEY (id, day) REFERENCES {outbound} (id, day))",
)


@pytest.fixture
def source(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Source:
    found = new_source(rig, capsys)
    found.link("atlas", SESSIONS_AND_SCANS)
    with rig.servers.lab_a.connect(rig.names("owner"), PASSWORD) as connection, connection.cursor() as cursor:
        view = found.view("atlas", "lab_session", "requests")
        cursor.execute(f"INSERT INTO {view} (id, day) VALUES (3, '2026-01-01')")
    found.approve("atlas", "lab_session", "id, day", "id = 3")
    return found


def names(source: Source) -> dict[str, str]:
    """The views and tables, as the attacks name them."""
    owners = source.view("atlas", "x", "y").partition(".")[0]
    base = ("atlas", "lab_session")
    return {
        **{k: source.view(*base, k) for k in ("held", "requests", "approved", "withdrawn", "history")},
        "links": f"{owners}.links",
        "owners": owners,
        "lab": f"`{source.rig.names('lab')}`",
        "outbound": source.table(*base),
        "outbound_approved": source.table(*base, "_deletion_approved"),
        "outbound_requested": source.table(*base, "_deletion_requested"),
        "marks": f"`{source.outbound('atlas')}`.`~djlink`",
    }


def kept(source: Source) -> dict[str, list[tuple[object, ...]]]:
    """What no owner may change: what is held, approvals, grants, marks and the ledger but withdrawals."""
    server = source.rig.servers.lab_a
    n = names(source)
    return {
        "held": ask(server, f"SELECT * FROM {n['outbound']} ORDER BY id"),
        "approved": ask(server, f"SELECT * FROM {n['outbound_approved']} ORDER BY id"),
        "granted": ask(server, f"SELECT id FROM {n['outbound_requested']} WHERE granted_at IS NOT NULL"),
        "marks": ask(server, f"SELECT * FROM {n['marks']} ORDER BY link_id"),
        "ledger": ask(
            server,
            f"SELECT * FROM {source.table('atlas', 'lab_session', '_history')} WHERE event <> 'withdrawn'",
        ),
        "forged": ask(
            server,
            f"SELECT * FROM {source.table('atlas', 'lab_session', '_history')}"
            f" WHERE event = 'withdrawn' AND who NOT LIKE '{source.rig.names('owner')}@%'",
        ),
    }


@alike
@pytest.mark.parametrize("modes", MODES)
def test_no_statement_of_an_owner_frees_approves_or_forges(source: Source, modes: str) -> None:
    before, made, words = kept(source), 0, names(source)
    assert len(before["held"]) == 2
    assert len(before["approved"]) == 1
    for checks in (1, 0):
        for attack in ATTACKS:
            with source.owner() as cursor, suppress(pymysql.MySQLError, TypeError):
                cursor.execute(f"SET SESSION sql_mode = '{modes}', foreign_key_checks = {checks}")
                cursor.execute(f"USE {words['lab']}")
                cursor.execute(attack.format(**words))
                made += 1
            assert kept(source) == before, (checks, attack)
    assert made > 5, "an owner may ask, in whatever mode"
    # whatever the owner asked for in these ways, the lab's next plan reads it, and the row is still held
    plan = source.rig.plan(source.documents["atlas"])
    assert not any("Traceback" in r.reason for r in plan.refusals)
    with source.owner() as cursor, pytest.raises(pymysql.MySQLError):
        cursor.execute(f"DELETE FROM {words['lab']}.session WHERE id = 1")


@alike
def test_what_does_not_protect_is_an_owner_who_sets_foreign_key_checks_off(source: Source) -> None:
    """The documentation says so: the server lets them, and the next plan reports it as an error."""
    words = names(source)
    with source.owner() as cursor:
        cursor.execute("SET SESSION foreign_key_checks = 0")
        assert cursor.execute(f"DELETE FROM {words['lab']}.session WHERE id = 2") == 1
    plan = source.rig.plan(source.documents["atlas"])
    assert plan.has_errors
