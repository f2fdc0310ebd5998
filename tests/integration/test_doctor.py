"""The doctor on servers that are set wrong on purpose, and on accounts and marks that are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from djlink_manifest.manifest.load import load
from djlink_manifest.model.server.health import Diagnosis, Finding
from djlink_manifest.reconcile.doctor.examination import examine
from djlink_manifest.sandbox import SandboxServer, ServerOptions, running_servers
from djlink_manifest.sandbox.servers.accounts import create_local_user, grant_pattern
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE, CROSSED, PAIRS, Names, Servers, drop_everything
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(9))",
    "CREATE TABLE {lab}.session (n int PRIMARY KEY, id int, FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "INSERT INTO {lab}.subject VALUES (1, 'a')",
)
WRONG = (
    *(
        "--max-allowed-packet=2M",
        "--sql-mode=NO_ENGINE_SUBSTITUTION",
        "--explicit-defaults-for-timestamp=OFF",
    ),
    *("--default-time-zone=+03:00", "--log-bin", "--binlog-format=STATEMENT", "--local-infile=ON"),
    "--init-connect=SET timestamp = 1000000000",
)
BOTH = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    return rig


def everything(rig: Rig) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": "*"}}})


def examined(rig: Rig, document: dict[str, Any] | None = None) -> Diagnosis:
    manifest = load([rig.write(document or everything(rig))])
    return examine(manifest, {**os.environ, **rig.environ})


def found(diagnosis: Diagnosis, server: str, subject: str) -> list[Finding]:
    return [f for f in diagnosis.findings if (f.server, f.subject) == (server, subject)]


def one(diagnosis: Diagnosis, server: str, subject: str, *, but: str = "ok") -> Finding:
    [finding] = [f for f in found(diagnosis, server, subject) if f.level != but]
    return finding


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_servers_that_are_well_have_no_error_and_every_trouble_has_its_why_and_fix(lab: Rig) -> None:
    assert lab.apply(everything(lab))[1].succeeded
    diagnosis = examined(lab)
    assert not diagnosis.has_errors, [f for f in diagnosis.findings if f.level == "error"]
    assert [(p.name, p.reached, p.vendor) for p in diagnosis.servers] == [
        ("local", True, lab.servers.pair.local),
        ("lab_a", True, lab.servers.pair.source),
    ]
    assert all(f.why and f.fix for f in diagnosis.findings if f.level != "ok")
    [marks] = found(diagnosis, "lab_a", "marks")
    assert marks.words == "2 links with the same marks on both sides"
    assert [f.level for f in found(diagnosis, "local", "privileges")] == ["ok"]
    assert [f.level for f in found(diagnosis, "lab_a", "privileges")] == ["ok"]
    assert [f.level for f in found(diagnosis, "lab_a", "clock")] == ["ok"]


@BOTH
def test_a_server_that_is_down_and_a_secret_that_is_missing_stop_no_other(lab: Rig) -> None:
    document = everything(lab)
    sources = document["sources"]
    sources["gone"] = {**sources["lab_a"], "port": 1}
    sources["unsaid"] = {**sources["lab_a"], "password": "${env:DJLINK_TEST_UNSET}"}
    for name in ("gone", "unsaid"):
        sources[name] = {**sources[name], "schema_name": lab.names(f"{name}_") + "{schema}"}
    diagnosis = examined(lab, document)
    assert {p.name: p.reached for p in diagnosis.servers} == {
        "local": True,
        "lab_a": True,
        "gone": False,
        "unsaid": False,
    }
    assert "cannot be reached" in one(diagnosis, "gone", "reachable").words
    assert "DJLINK_TEST_UNSET is not set" in one(diagnosis, "unsaid", "reachable").words
    assert [f.level for f in found(diagnosis, "lab_a", "privileges")] == ["ok"]
    document["local"]["port"] = 1
    diagnosis = examined(lab, document)
    assert "nothing can be planned" in one(diagnosis, "local", "reachable").why
    assert [f.level for f in found(diagnosis, "lab_a", "privileges")] == ["ok"]


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def wrong(request: pytest.FixtureRequest) -> Iterator[SandboxServer]:
    """A server whose settings hurt, with TLS."""
    extra = (*WRONG, "--lower-case-table-names=1") if request.param == "mariadb" else WRONG
    with running_servers({"wrong": ServerOptions(request.param, tls=True, extra=extra)}) as started:
        yield started["wrong"]


@pytest.fixture
def ill(wrong: SandboxServer, names: Names, tmp_path: Any) -> Iterator[Rig]:
    """A rig that has the wrong server as its source and as its local one."""
    rig = Rig(Servers(wrong, wrong, wrong), names, tmp_path)
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    yield rig
    drop_everything(wrong, names)


def test_settings_that_hurt_are_found_and_their_fixes_mend_them(ill: Rig, wrong: SandboxServer) -> None:
    diagnosis = examined(ill)
    for server in ("local", "lab_a"):
        assert one(diagnosis, server, "binlog_format").level == "error"
        assert one(diagnosis, server, "explicit_defaults_for_timestamp").level == "warning"
        assert one(diagnosis, server, "sql_mode").words == "not strict"
        # off is better for a source, on for the local server, which this one is too
        assert found(diagnosis, server, "local_infile") == []
        assert one(diagnosis, server, "init_connect").level == "note"
        clock = one(diagnosis, server, "clock")
        assert clock.level == "warning"
        assert "behind this machine" in clock.words
    assert "2,097,152 bytes" in one(diagnosis, "local", "max_allowed_packet").words
    assert [p.ahead is not None and p.ahead < -1e8 for p in diagnosis.servers] == [True, True]
    for finding in diagnosis.findings:
        if finding.fix.startswith("SET GLOBAL"):
            ask(wrong, finding.fix.partition(";")[0])
    ask(wrong, "SET GLOBAL init_connect = ''")
    assert [f for f in examined(ill).findings if f.level == "error"] == []
    mended = {f.subject for f in examined(ill).findings if f.level in ("warning", "note")}
    # the rig's account may drop outbound tables
    noted = {"owner schema", "lower_case_table_names", "same server", "invisible tables"}
    assert mended <= {*noted, "needless privileges"}


def test_a_server_that_takes_no_writes_is_an_error(ill: Rig, wrong: SandboxServer) -> None:
    ask(wrong, "SET GLOBAL binlog_format = ROW")
    for variable in ("read_only", "super_read_only") if wrong.vendor == "mysql" else ("read_only",):
        ask(wrong, f"SET GLOBAL {variable} = ON")
        try:
            finding = one(examined(ill), "local", variable)
        finally:
            ask(wrong, "SET GLOBAL read_only = OFF")
        assert finding.level == "error"
        assert f"SET GLOBAL {variable} = OFF" in finding.fix


def test_a_server_whose_sessions_check_no_foreign_keys_is_an_error(ill: Rig, wrong: SandboxServer) -> None:
    ask(wrong, "SET GLOBAL foreign_key_checks = OFF")
    try:
        finding = one(examined(ill), "lab_a", "foreign_key_checks")
    finally:
        ask(wrong, "SET GLOBAL foreign_key_checks = ON")
    assert finding.level == "error"
    assert "a row that is held can be deleted" in finding.why


def test_names_with_capitals_on_a_server_that_folds_them_are_an_error(ill: Rig, wrong: SandboxServer) -> None:
    if wrong.vendor == "mysql":  # its setting is fixed when the data directory is made
        ask(wrong, f"CREATE DATABASE `{ill.names('Cased')}`")
    document = everything(ill)
    document["defaults"] = {"schema_name": ill.names("Ours_") + "{schema}"}
    findings = found(examined(ill, document), "local", "uppercase names")
    assert [f.level for f in findings] == (["error"] if wrong.vendor == "mariadb" else [])


def test_tls_is_told_as_the_session_has_it(ill: Rig, wrong: SandboxServer) -> None:
    document = everything(ill)
    document["sources"]["lab_a"]["tls"] = {"ca": str(wrong.ca_path)}
    diagnosis = examined(ill, document)
    [tls] = found(diagnosis, "lab_a", "TLS")
    assert (tls.level, tls.words.startswith("TLSv1.")) == ("ok", True)
    assert "not encrypted" in found(diagnosis, "local", "TLS")[0].words
    assert [bool(p.cipher) for p in diagnosis.servers] == [False, True]


def test_limits_of_the_server_on_rows_and_time_do_not_reach_our_sessions(
    ill: Rig, wrong: SandboxServer, servers: Servers
) -> None:
    ill.servers = Servers(wrong, wrong, servers.local)
    create_local_user(servers.local, ill.names("lab"), PASSWORD, [ill.names.pattern])
    run_all(ill, "INSERT INTO {lab}.subject VALUES (2, 'b'), (3, 'c')")
    time_limit = "max_execution_time = 1" if wrong.vendor == "mysql" else "max_statement_time = 0.001"
    limits = ("sql_select_limit = 1", "sql_safe_updates = 1", "sql_big_selects = 0", "max_join_size = 2")
    ask(wrong, "SET GLOBAL binlog_format = ROW")
    try:
        for each in (*limits, time_limit):
            ask(wrong, f"SET GLOBAL {each}")
        assert found(examined(ill), "lab_a", time_limit.partition(" ")[0]) == []
        assert ill.apply(everything(ill))[1].succeeded
        assert ill.run("local", f"SELECT COUNT(*) FROM `{ill.local_schema('lab_a', 'lab')}`.subject") == [
            (3,)
        ]
    finally:
        ask(wrong, f"SET GLOBAL {time_limit.partition(' ')[0]} = 0")
        for each in ("sql_select_limit", "sql_safe_updates", "sql_big_selects", "max_join_size"):
            ask(wrong, f"SET GLOBAL {each} = DEFAULT")


def test_an_account_with_few_sessions_is_warned_of(ill: Rig, wrong: SandboxServer) -> None:
    ask(wrong, f"ALTER USER '{ill.names('link')}'@'%' WITH MAX_USER_CONNECTIONS 3")
    diagnosis = examined(ill)
    assert "3 for this account" in one(diagnosis, "lab_a", "max_user_connections").words
    assert found(diagnosis, "local", "max_user_connections") == []


@BOTH
def test_a_missing_right_is_named_with_the_grant_that_mends_it(lab: Rig) -> None:
    user = f"'{lab.names('link')}'@'%'"
    ask(lab.servers.lab_a, f"REVOKE REFERENCES ON {grant_pattern(lab.names('lab'))}.* FROM {user}")
    ask(lab.servers.lab_a, f"REVOKE DELETE ON {grant_pattern(lab.outbound)}.* FROM {user}")
    diagnosis = examined(lab)
    missing = [f for f in found(diagnosis, "lab_a", "privileges") if f.level == "error"]
    assert [("REFERENCES" in f.words, "DELETE" in f.words) for f in missing] == [(True, False), (False, True)]
    for finding in missing:
        ask(lab.servers.lab_a, finding.fix.partition("administrator to run: ")[2].rstrip(";"))
    assert [f.level for f in found(examined(lab), "lab_a", "privileges")] == ["ok"]


@BOTH
def test_the_right_to_drop_is_asked_for_where_a_link_is_to_be_taken_out_and_no_longer(lab: Rig) -> None:
    assert lab.apply(everything(lab))[1].succeeded
    document = lab.document({"lab_a": {"lab": {"tables": ["Subject"]}}})
    document["removed"] = {lab.address("lab_a", "lab", "session"): {"table": "drop"}}
    whom = ((lab.servers.lab_a, "link", lab.outbound), (lab.servers.local, "lab", None))
    for server, user, schema in whom:
        pattern = grant_pattern(schema) if schema else f"`{lab.names.pattern}`"
        ask(server, f"REVOKE DROP ON {pattern}.* FROM '{lab.names(user)}'@'%'")
    diagnosis = examined(lab, document)
    missing = [one(diagnosis, name, "privileges") for name in ("lab_a", "local")]
    assert [(f.level, "lacks DROP on" in f.words) for f in missing] == [("error", True)] * 2
    assert not examined(lab).has_errors  # of a manifest that takes nothing out
    for (server, _, _), finding in zip(whom, missing, strict=True):
        ask(server, finding.fix.partition("administrator to run: ")[2].rstrip(";"))
    assert not examined(lab, document).has_errors
    assert lab.apply(document)[1].succeeded
    ask(lab.servers.lab_a, f"REVOKE DROP ON {grant_pattern(lab.outbound)}.* FROM '{lab.names('link')}'@'%'")
    assert not examined(lab, document).has_errors  # it is done


@BOTH
def test_a_role_that_is_not_active_is_noticed_and_its_fix_makes_it_count(lab: Rig) -> None:
    server, role = lab.servers.lab_a, lab.names("reader")
    user, schema = f"'{lab.names('link')}'@'%'", grant_pattern(lab.names("lab"))
    ask(server, f"CREATE ROLE `{role}`")
    try:
        ask(server, f"GRANT SELECT, REFERENCES ON {schema}.* TO `{role}`")
        ask(server, f"GRANT `{role}` TO {user}")
        idle = one(examined(lab), "lab_a", "roles")
        assert (idle.level, f"`{role}`" in idle.words) == ("note", True)
        # a right by which the account still sees the schema
        ask(server, f"REVOKE SELECT, REFERENCES ON {schema}.* FROM {user}")
        ask(server, f"GRANT SHOW VIEW ON {schema}.* TO {user}")
        missing = one(examined(lab), "lab_a", "privileges")
        assert missing.level == "error"
        assert f"the role `{role}` grants this" in missing.why
        ask(server, missing.fix.partition("administrator to run: ")[2].rstrip(";"))
        mended = examined(lab)
        assert [f.level for f in found(mended, "lab_a", "privileges")] == ["ok"]
        assert [f.level for f in found(mended, "lab_a", "roles")] == ["ok"]
        assert lab.apply(everything(lab))[1].succeeded
    finally:
        ask(server, f"DROP ROLE `{role}`")


@BOTH
def test_an_underscore_that_is_a_wildcard_and_rights_that_are_too_many_are_noted(lab: Rig) -> None:
    server, user = lab.servers.lab_a, f"'{lab.names('link')}'@'%'"
    ask(server, f"GRANT INSERT ON `{lab.names('lab')}`.* TO {user}")
    diagnosis = examined(lab)
    [note] = found(diagnosis, "lab_a", "GRANT wildcards")
    assert (note.level, f"the GRANT on `{lab.names('lab')}` matches every schema" in note.words) == (
        "note",
        True,
    )
    extra = one(diagnosis, "lab_a", "needless privileges")
    assert (extra.level, "INSERT on" in extra.words) == ("note", True)


@BOTH
def test_rights_of_two_grants_do_not_add_up_and_the_doctor_knows_which_one_counts(lab: Rig) -> None:
    server, user = lab.servers.lab_a, f"'{lab.names('link')}'@'%'"
    ask(server, f"REVOKE INSERT ON {grant_pattern(lab.outbound)}.* FROM {user}")
    ask(server, f"GRANT INSERT ON `{lab.names.pattern}`.* TO {user}")
    plan, report = lab.apply(everything(lab))  # a plan adds the rights up, and it is the server that refuses
    assert not plan.has_errors
    assert "INSERT command denied" in str(report.outcomes[0].problem)
    wrong = one(examined(lab), "lab_a", "GRANT wildcards")
    assert (wrong.level, "lacks INSERT" in wrong.words) == ("error", True)
    ask(server, wrong.fix.partition("administrator to run: ")[2].rstrip(";"))
    assert found(examined(lab), "lab_a", "GRANT wildcards") == []
    assert lab.apply(everything(lab))[1].succeeded


@pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[0]], indirect=True, ids=str)
def test_marks_of_others_and_marks_on_one_side_are_told(lab: Rig) -> None:
    assert lab.apply(everything(lab))[1].succeeded
    run_all(
        lab,
        "UPDATE {outbound}.`~djlink` SET manifest = 'theirs', contact = 'o@x.example', local_server = 'db.x'"
        " WHERE source_table = 'subject'",
    )
    stranger = one(examined(lab), "lab_a", "marks")
    assert stranger.level == "warning"
    assert "of the manifest `theirs` (o@x.example), local server `db.x`" in stranger.words
    run_all(
        lab,
        "UPDATE {outbound}.`~djlink` SET manifest = 'x', contact = '', local_server = 'db.x',"
        " fingerprint = ''",
    )
    local_store = {**everything(lab), "name": "x"}
    copy = one(examined(lab, local_store), "lab_a", "marks")
    assert (copy.level, "this server was moved, or it is a copy" in copy.words) == ("warning", True)
    run_all(lab, "UPDATE {outbound}.`~djlink` SET epoch = '99.other'")
    copy = one(examined(lab, local_store), "lab_a", "marks")
    assert (copy.level, "applied by another local server" in copy.words) == ("error", True)
    run_all(lab, "DELETE FROM {outbound}.`~djlink`")
    lost = one(examined(lab), "lab_a", "marks")
    assert lost.level == "error"
    assert "2 links linked locally" in lost.words


@BOTH
def test_a_missing_owner_schema_is_a_warning_whose_fix_ends_it(lab: Rig) -> None:
    finding = one(examined(lab), "lab_a", "owner schema")
    assert finding.level == "warning"
    for statement in finding.fix.partition("administrator to run: ")[2].split(";"):
        if statement.strip():
            ask(lab.servers.lab_a, statement)
    assert [f.level for f in found(examined(lab), "lab_a", "owner schema")] == ["ok"]
    owners = grant_pattern(f"{lab.outbound}_owner")
    ask(lab.servers.lab_a, f"REVOKE DROP ON {owners}.* FROM '{lab.names('link')}'@'%'")
    missing = one(examined(lab), "lab_a", "owner schema")
    assert (missing.level, "lacks DROP" in missing.words) == ("warning", True)
    ask(lab.servers.lab_a, missing.fix.partition("administrator to run: ")[2].rstrip(";"))
    assert [f.level for f in found(examined(lab), "lab_a", "owner schema")] == ["ok"]


def test_a_clock_is_read_to_parts_of_a_second(ill: Rig, wrong: SandboxServer) -> None:
    ask(wrong, "SET GLOBAL init_connect = ''")
    before = time.time()
    diagnosis = examined(ill)
    assert all(abs(p.ahead or 0.0) < 2.0 + time.time() - before for p in diagnosis.servers)
