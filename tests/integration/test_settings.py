"""Servers that are set otherwise than djlink likes: small packets, no LOAD DATA, hostile SQL modes."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from djlink_manifest.manifest.load import load
from djlink_manifest.reconcile.apply import pull
from djlink_manifest.reconcile.doctor.examination import examine
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.sandbox import SandboxServer, ServerOptions, running_servers
from djlink_manifest.sandbox.servers.binaries import Vendor
from tests.support.definitions import every_value
from tests.support.pipelines.trials import COUNT, held, is_the_source, loads, local_count, made_large
from tests.support.rig import PASSWORD, Rig, everything, quiet
from tests.support.servers import EXTRA, Servers, drop_everything, new_names
from tests.support.sql import numbers, run_all
from tests.support.statements import Statement, once, watched

both_vendors = pytest.mark.parametrize("own", ["mysql", "mariadb"], indirect=True)


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, dict[str, SandboxServer]]]:
    """Servers of each vendor that this module's tests may set: `lab_a` and `local`."""
    vendors: tuple[Vendor, ...] = ("mysql", "mariadb")
    with ExitStack() as running:
        yield {
            vendor: running.enter_context(
                running_servers(dict.fromkeys(("lab_a", "local"), ServerOptions(vendor, extra=EXTRA[vendor])))
            )
            for vendor in vendors
        }


@pytest.fixture
def own(
    request: pytest.FixtureRequest, started: dict[str, dict[str, SandboxServer]], tmp_path: Path
) -> Iterator[Rig]:
    """A rig on servers whose settings the test may change."""
    own = started[request.param]
    rig = Rig(Servers(own["lab_a"], own["lab_a"], own["local"]), new_names(), tmp_path)
    try:
        yield rig
    finally:
        for server in own.values():
            drop_everything(server, rig.names)


@contextmanager
def setting(rig: Rig, server: str, name: str, value: int | str) -> Iterator[None]:
    """A server with another global setting, for sessions that begin within the block."""
    [(before,)] = rig.run(server, f"SELECT @@global.{name}")
    rig.run(server, f"SET GLOBAL {name} = {value!r}")
    try:
        yield
    finally:
        rig.run(server, f"SET GLOBAL {name} = {'DEFAULT' if before is None else repr(before)}")


def same(rig: Rig, table: str) -> bool:
    local_schema, source_schema = rig.local_schema("lab_a", "lab"), rig.names("lab")
    return every_value(rig.servers.local, local_schema, table) == every_value(
        rig.servers.lab_a, source_schema, table
    )


def inserts(rig: Rig, sent: list[Statement], table: str) -> int:
    """How many INSERT statements wrote rows into a local table."""
    begin = f"INSERT INTO `{rig.local_schema('lab_a', 'lab')}`.`{table}`"
    return sum(s.begins(begin) for s in sent)


@both_vendors
@pytest.mark.parametrize("beside", ["", ", t text"], ids=["short alone", "beside a long value"])
def test_a_row_that_its_server_cannot_write_as_a_line_is_inserted(own: Rig, beside: str) -> None:
    """A value of which each character is escaped is over the source's packet limit, and the line is NULL."""
    run_all(
        own,
        "CREATE DATABASE {lab}",
        f"CREATE TABLE {{lab}}.note (k int PRIMARY KEY, v varchar(15000) CHARACTER SET latin1{beside})",
        "INSERT INTO {lab}.note (k, v) VALUES (1, 'a'), (2, REPEAT('\\\\', 12000)), (3, NULL)",
    )
    own.accounts({"lab_a": ["lab"]})
    with setting(own, "lab_a", "max_allowed_packet", 16384), watched(prefix=own.names("")) as sent:
        _, report = own.apply(everything(own))
    assert report.succeeded, report
    assert report.outcomes[0].counts.pulled == 3
    assert (len([s for s in sent if loads(s)]), inserts(own, sent, "note")) == (1, 1)
    assert same(own, "note")


@both_vendors
def test_long_values_that_hold_the_mark_of_a_field_or_of_a_line_are_inserted_exactly(
    own: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their 64 bits of chance are known here. Loaded, they would be a field or a row more, or another row."""
    token = "0123456789abcdef"
    run_all(
        own,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.fields (k int PRIMARY KEY, t longtext, u longtext)",
        "CREATE TABLE {lab}.lines LIKE {lab}.fields",
        "CREATE TABLE {lab}.moved LIKE {lab}.fields",
        f"INSERT INTO {{lab}}.fields VALUES (1, 'a\\t{token}b', 'c'), (2, 'd', 'e')",
        f"INSERT INTO {{lab}}.lines VALUES (1, 'a\\n{token}2\\t{token}x\\t{token}y', 'c')",
        # its rest is taken for the row of key 2, and that row for its duplicate: as many as were sent
        f"INSERT INTO {{lab}}.moved VALUES (1, 'a', 'b\\n{token}2\\t{token}x\\t{token}y'), (2, 'd', 'e')",
    )
    own.accounts({"lab_a": ["lab"]})
    with own.job(everything(own), parallelism=1) as job:
        plan = job.plan()
        with monkeypatch.context() as patch, watched(prefix=own.names("")) as sent:
            patch.setattr(secrets, "token_hex", lambda size: token)
            report = job.apply(plan, quiet, threading.Event())
    assert report.succeeded, report
    for table in ("fields", "lines", "moved"):
        written = [s for s in sent if loads(s) and f"`{table}`" in s.text]
        assert (len(written), inserts(own, sent, table)) == (1, 1), table
        place = sent.index(written[0])
        after = [s.text for s in sent[place + 1 :] if s.session == written[0].session]
        first = next(n for n, text in enumerate(after) if text.startswith("INSERT INTO"))
        assert not any(text.startswith("COMMIT") for text in after[:first]), "what was loaded was rolled back"
        assert same(own, table)


@both_vendors
def test_where_local_infile_is_off_and_packets_are_small_rows_are_inserted_within_them(
    own: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_large(own, monkeypatch)
    run_all(
        own,
        "CREATE TABLE {lab}.image (id int PRIMARY KEY, data longblob)",
        f"INSERT INTO {{lab}}.image {numbers(12)} SELECT i, REPEAT(UNHEX('005C2700'), 90000) FROM n",
    )
    with (
        setting(own, "local", "local_infile", 0),
        setting(own, "local", "max_allowed_packet", 1 << 20),
        watched(prefix=own.names("")) as sent,
    ):
        _, report = own.apply(everything(own), parallelism=2)
    assert report.succeeded, report
    assert is_the_source(own)
    assert same(own, "image")
    sessions = {s.session for s in sent if s.port == own.servers.local.port}
    tried = [s.session for s in sent if loads(s)]
    assert len(tried) == len(set(tried)) <= len(sessions), "each session tries once at most"
    read = [s for s in sent if s.begins("SELECT STRAIGHT_JOIN") and "`.`image` t" in s.text]
    assert len(read) <= 2, "for LOAD DATA and for INSERT, and not again for statements that were too long"
    assert inserts(own, sent, "image") == 12, "two rows are more than a packet may hold"


@both_vendors
def test_a_right_taken_away_after_the_plan_fails_the_link_and_says_what_is_missing(
    own: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_large(own, monkeypatch)
    on = f"INSERT ON `{own.names.pattern}`.*"
    lab = f"'{own.names('lab')}'@'%'"

    def take(statement: Statement) -> None:
        own.run("local", f"REVOKE {on} FROM {lab}")

    with watched(once(loads, take), prefix=own.names("")) as sent:
        _, report = own.apply(everything(own), parallelism=1)
    own.run("local", f"GRANT {on} TO {lab}")
    [outcome] = report.outcomes
    assert outcome.status == "failed"
    assert "INSERT command denied" in (outcome.problem or "")
    # MySQL's error does not name the schema
    next_step = {"mysql": "run `djlink doctor`, which prints the GRANT", "mariadb": "GRANT INSERT ON `"}
    assert next_step[own.servers.local.vendor] in (outcome.hint or "")
    assert len([s for s in sent if loads(s)]) == 1, "what no further try helps is not tried again"
    assert local_count(own) <= held(own)
    assert own.apply(everything(own))[1].succeeded
    assert is_the_source(own)
    assert held(own) == COUNT


@both_vendors
def test_a_source_with_small_packets_gives_what_is_larger_and_what_differs_is_found(own: Rig) -> None:
    run_all(
        own,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.image (id int PRIMARY KEY, data longblob, t longtext, j json)",
        "INSERT INTO {lab}.image VALUES (1, REPEAT('x', 3000000), REPEAT('t', 1500000), '[1]'),"
        " (2, REPEAT('y', 3000000), '', '[2]'), (3, NULL, NULL, NULL)",
    )
    own.accounts({"lab_a": ["lab"]})
    document = own.document({"lab_a": {"lab": {"tables": "*", "changed": "mend"}}})
    with setting(own, "lab_a", "max_allowed_packet", 1 << 20):
        assert own.apply(document)[1].succeeded
        assert same(own, "image")
        run_all(own, "UPDATE {lab}.image SET data = CONCAT(data, 'z') WHERE id = 2")
        with own.job(document) as job:
            plan = job.plan(verify=True)
            report = job.apply(plan, quiet, threading.Event())
    assert report.succeeded, report
    assert report.outcomes[0].counts.refilled == 1
    assert same(own, "image")


HOSTILE = (
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,HIGH_NOT_PRECEDENCE,IGNORE_SPACE,REAL_AS_FLOAT,"
    "ONLY_FULL_GROUP_BY,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION,NO_ZERO_DATE,NO_ZERO_IN_DATE,TRADITIONAL"
)
MODES = {"mysql": HOSTILE, "mariadb": HOSTILE + ",ORACLE,EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT"}


@both_vendors
def test_sql_modes_of_the_servers_change_no_value_and_no_statement(
    own: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "SPREAD_ENTITIES", 1)
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 3)
    run_all(
        own,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.odd (k char(9), at datetime(3), n int unsigned, t text,"
        " `a\"b\\` varchar(30) NOT NULL DEFAULT 'it''s \\\\ \"', z varbinary(9), PRIMARY KEY (k, at, n))"
        " COMMENT 'it''s \\\\ \"'",
        "INSERT INTO {lab}.odd VALUES ('', '0000-00-00', 0, '', '', ''),"
        " ('a', '2026-02-31', 0, NULL, '', NULL),"
        " ('\\\\', '2026-00-01', 1, 'it''s \\\\', '\"\\\\', '\\0\\\\'),"
        " ('''', '2026-01-01', 2, '\\t\\\\N', 'a || b', '\\n'), ('\"', '2026-01-02', 3, '\\\\N', '''', 'x ')",
    )
    own.accounts({"lab_a": ["lab"]})
    vendor = own.servers.local.vendor
    rules = {"tables": "*", "changed": "mend", "unwanted": "release"}
    with setting(own, "lab_a", "sql_mode", MODES[vendor]), setting(own, "local", "sql_mode", MODES[vendor]):
        document = own.document({"lab_a": {"lab": rules}})
        assert own.apply(document, parallelism=2)[1].succeeded
        assert same(own, "odd")
        assert not own.plan(document).has_changes
        run_all(own, "UPDATE {lab}.odd SET t = 'new \\\\ '' \"' WHERE n = 0 AND k = 'a'")
        with own.job(document) as job:
            report = job.apply(job.plan(verify=True), quiet, threading.Event())
        assert (report.succeeded, report.outcomes[0].counts.refilled) == (True, 1)
        assert same(own, "odd")
        where = {"where": {"k": ["\\", "'"]}}
        fewer = own.document({"lab_a": {"lab": {**rules, "tables": {"*": where}, "max_deletions": 9}}})
        with own.job(fewer) as job:
            plan, _ = job.approved(job.plan(), "a.lee", "2026-11-24")
            report = job.apply(plan, quiet, threading.Event())
        assert (report.succeeded, report.outcomes[0].counts.deleted) == (True, 3)
        assert not own.plan(fewer).has_changes


ODD: dict[str, int | str] = {
    "completion_type": "CHAIN",
    "sql_quote_show_create": 0,
    "tmp_table_size": 1024,
    "max_heap_table_size": 16384,
    "lc_messages": "de_DE",
    "lc_time_names": "de_DE",
    "default_week_format": 3,
    "div_precision_increment": 0,
    "group_concat_max_len": 4,
    "autocommit": 0,
    "sql_safe_updates": 1,
    "sql_select_limit": 1,
    "max_join_size": 1,
    "unique_checks": 0,
    "default_storage_engine": "MyISAM",
    "default_tmp_storage_engine": "MyISAM",
    "collation_server": "latin1_general_cs",
    "time_zone": "+05:30",
}
ODD_OF: dict[str, dict[str, int | str]] = {
    "mysql": {
        "transaction_read_only": 1,
        "default_collation_for_utf8mb4": "utf8mb4_general_ci",
        "sql_require_primary_key": 1,
        "sql_generate_invisible_primary_key": 1,
        "internal_tmp_mem_storage_engine": "MEMORY",
        "max_execution_time": 1000,
        "transaction_isolation": "SERIALIZABLE",
    },
    "mariadb": {
        "tx_read_only": 1,
        "sql_if_exists": 1,
        "alter_algorithm": "INSTANT",
        "check_constraint_checks": 0,
        "old_mode": "NO_DUP_KEY_WARNINGS_WITH_IGNORE,ZERO_DATE_TIME_CAST",
        "idle_transaction_timeout": 1,
        "max_statement_time": 10,
        "tx_isolation": "SERIALIZABLE",
    },
}


@contextmanager
def odd(rig: Rig) -> Iterator[None]:
    """Both servers with every odd setting, for sessions that begin within the block."""
    with ExitStack() as stack:
        for name, value in {**ODD, **ODD_OF[rig.servers.local.vendor]}.items():
            for server in ("lab_a", "local"):
                stack.enter_context(setting(rig, server, name, value))
        yield


@both_vendors
def test_the_defaults_of_the_servers_change_nothing_of_what_djlink_does(own: Rig) -> None:
    run_all(
        own,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(9) NOT NULL, `or` enum('a','b''c'),"
        " at timestamp NULL, d decimal(6,2) DEFAULT 1.5, CHECK (d > 0))",
        "CREATE TABLE {lab}.session (id int, day date, PRIMARY KEY (id, day),"
        " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
        "INSERT INTO {lab}.subject VALUES (1, 'a', 'a', '2026-01-01', 1), (2, 'ä', 'b''c', NULL, 2)",
        "INSERT INTO {lab}.session VALUES (1, '2026-01-01'), (2, '2026-01-02')",
    )
    own.accounts({"lab_a": ["lab"]})
    document = own.document({"lab_a": {"lab": {"tables": "*", "deletions": "auto", "changed": "mend"}}})
    with odd(own):
        diagnosis = examine(load([own.write(document)]), {**os.environ, **own.environ})
        assert [f.server for f in diagnosis.findings if f.subject == "reachable"] == ["local", "lab_a"]
        assert not diagnosis.has_errors
        plan, report = own.apply(document, parallelism=2)
        assert (plan.has_errors, report.succeeded) == (False, True)
        assert not own.plan(document).has_changes
    for statement in (
        "UPDATE {lab}.subject SET name = 'b' WHERE id = 2",
        "ALTER TABLE {lab}.subject ADD COLUMN more varchar(9) DEFAULT 'm' AFTER name",
        f"INSERT INTO {own.outbound_table('lab', 'session_deletion_requested')} (id, day)"
        " VALUES (1, '2026-01-01')",
    ):
        own.run("lab_a", statement)
    with odd(own), own.job(document) as job:
        report = job.apply(job.plan(verify=True), quiet, threading.Event())
        assert report.succeeded, report
        assert {o.address.rpartition(".")[2]: o.counts.deleted for o in report.outcomes} == {
            "Session": 1,
            "Subject": 0,
        }
        assert not job.plan(verify=True).has_errors
    assert same(own, "subject")
    # nobody was cut off, and nothing was given other defaults
    schemas = (own.outbound, own.local_schema("lab_a", "lab"))
    for server in ("lab_a", "local"):
        engines = f"SELECT DISTINCT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA IN {schemas}"
        assert own.run(server, f"{engines} AND TABLE_TYPE = 'BASE TABLE'") == [("InnoDB",)]
    invisible = f"SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN {schemas}"
    assert not own.run("local", f"{invisible} AND COLUMN_NAME = 'my_row_id'")


@pytest.mark.parametrize("own", ["mysql"], indirect=True)
@pytest.mark.parametrize("literal", [0, 1], ids=["patterns", "partial_revokes"])
def test_the_grants_that_are_printed_work_however_the_server_reads_names(own: Rig, literal: int) -> None:
    """With partial_revokes `_` is no wildcard, and a backslash before it is part of the name."""
    run_all(
        own, "CREATE DATABASE {lab}", "CREATE TABLE {lab}.t (k int PRIMARY KEY)", "CREATE DATABASE {outbound}"
    )
    own.environ.update(LINK_PASS=PASSWORD, DJ_PASS=PASSWORD)
    for server, user in (("lab_a", "link"), ("local", "lab")):
        own.run(server, f"CREATE USER '{own.names(user)}'@'%' IDENTIFIED BY '{PASSWORD}'")
    manifest, environ = load([own.write(everything(own))]), {**os.environ, **own.environ}
    with setting(own, "lab_a", "partial_revokes", literal), setting(own, "local", "partial_revokes", literal):
        printed = 0
        for _ in range(3):
            findings = [f for f in examine(manifest, environ).findings if f.level == "error"]
            for finding in findings:
                for statement in finding.fix.partition("run: ")[2].split(";")[:-1]:
                    own.server(finding.server).execute(statement.replace("%", "%%"), ())
                    printed += 1
        assert (findings, printed >= 3) == ([], True)
        wildcards = [f for f in examine(manifest, environ).findings if f.subject == "GRANT wildcards"]
        assert wildcards == []
        plan, report = own.apply(everything(own))
        assert (plan.has_errors, report.succeeded) == (False, True)
