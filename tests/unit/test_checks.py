"""What the doctor makes of what servers say: each finding from facts alone, no server."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from djlink_manifest.model.server.catalog import Catalog, Mark, ServerIdentity, Version, fingerprint
from djlink_manifest.model.server.health import Diagnosis, ExaminedServer, Finding, Health, Role
from djlink_manifest.model.server.rights import Grant, missing, parse_grants, shows_all
from djlink_manifest.reconcile.doctor.marks import mark_findings
from djlink_manifest.reconcile.doctor.rights import Need, rights_findings
from djlink_manifest.reconcile.doctor.server_pairs import between_findings
from djlink_manifest.reconcile.doctor.settings import server_findings
from djlink_manifest.report.commands.doctor import diagnosis_json, diagnosis_lines
from djlink_manifest.report.screen.layout import laid_out

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
WELL = Health(
    cipher="TLS_AES_256_GCM_SHA384",
    tls_version="TLSv1.3",
    certificate_ends=NOW + timedelta(days=300),
    globals={
        "max_allowed_packet": str(64 << 20),
        "sql_mode": "STRICT_TRANS_TABLES",
        "foreign_key_checks": "ON",
        "explicit_defaults_for_timestamp": "ON",
        "read_only": "OFF",
        "log_bin": "ON",
        "binlog_format": "ROW",
        "max_connections": "151",
        "lower_case_table_names": "0",
        "innodb_page_size": "16384",
    },
    session={"character_set_client": "utf8mb4", "max_user_connections": "0"},
    zone="SYSTEM, which is UTC",
    zone_minutes=0,
    named_zones=True,
    connected=3,
    ahead=0.01,
    give_or_take=0.02,
    grants=(),
    roles=(),
)
IDENTITY = ServerIdentity(Version("mysql", "8.4.0", (8, 4, 0)), "link@%", "db", 3306, "/var", 64 << 20)
CATALOG = Catalog("lab_a", IDENTITY, frozenset({"lab", "our_out"}), {}, {}, {}, (), {})


def troubles(health: Health, name: str = "lab_a", *, loopback: bool = False) -> dict[str, Finding]:
    return {f.subject: f for f in server_findings(name, loopback, health, NOW) if f.level != "ok"}


def with_global(name: str, value: str) -> Health:
    return replace(WELL, globals={**WELL.globals, name: value})


def test_a_server_that_is_well_has_nothing_against_it() -> None:
    assert troubles(WELL) == {}
    assert troubles(WELL, "local") == {}


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("read_only", "ON", "error"),
        ("read_only", "NO_LOCK_NO_ADMIN", "error"),
        ("super_read_only", "ON", "error"),
        ("innodb_read_only", "ON", "error"),
        ("foreign_key_checks", "OFF", "error"),
        ("explicit_defaults_for_timestamp", "OFF", "warning"),
        ("max_allowed_packet", "1048576", "warning"),
        ("lower_case_table_names", "2", "note"),
        ("sql_mode", "", "note"),
        ("local_infile", "OFF", "note"),
        ("init_connect", "SET NAMES latin1", "note"),
    ],
)
def test_each_setting_that_hurts_has_its_level_why_and_fix(name: str, value: str, level: str) -> None:
    [finding] = troubles(with_global(name, value), "local").values()
    assert (finding.subject, finding.level) == (name, level)
    assert finding.why
    assert finding.fix


def test_a_source_needs_no_local_infile_and_the_local_server_is_faster_with_it() -> None:
    assert "OFF" in troubles(with_global("local_infile", "ON"), "lab_a")["local_infile"].fix
    assert troubles(with_global("local_infile", "OFF"), "lab_a") == {}
    assert "ON" in troubles(with_global("local_infile", "OFF"), "local")["local_infile"].fix
    assert troubles(with_global("local_infile", "ON"), "local") == {}


def test_statement_logging_hurts_only_where_there_is_a_log() -> None:
    statement = with_global("binlog_format", "STATEMENT")
    assert troubles(statement)["binlog_format"].level == "error"
    assert troubles(replace(statement, globals={**statement.globals, "log_bin": "OFF"})) == {}


def test_a_plain_session_is_a_warning_but_on_this_machine() -> None:
    plain = replace(WELL, cipher="", tls_version="")
    assert troubles(plain)["TLS"].level == "warning"
    assert "the server offers TLS" in troubles(plain)["TLS"].words
    assert troubles(plain, loopback=True) == {}


@pytest.mark.parametrize(("days", "words"), [(5, "expires on 2026-11-29"), (-1, "expired on 2026-11-23")])
def test_a_certificate_near_its_end_is_told(days: int, words: str) -> None:
    assert (
        words in troubles(replace(WELL, certificate_ends=NOW + timedelta(days=days)))["TLS certificate"].words
    )


@pytest.mark.parametrize(
    ("ahead", "give_or_take", "level"),
    [(1.5, 0.1, None), (5.0, 4.0, None), (-5.0, 0.1, "note"), (3600.0, 0.1, "warning")],
)
def test_a_clock_is_judged_beyond_what_asking_took(
    ahead: float, give_or_take: float, level: str | None
) -> None:
    found = troubles(replace(WELL, ahead=ahead, give_or_take=give_or_take)).get("clock")
    assert (found.level if found else None) == level


def test_few_sessions_and_a_limit_on_statements_are_told() -> None:
    tight = replace(
        WELL,
        session={**WELL.session, "max_user_connections": "4", "max_statement_time": "30.0"},
        connected=149,
    )
    assert set(troubles(tight)) == {"max_user_connections", "max_connections", "max_statement_time"}


def test_a_session_that_does_not_speak_utf8mb4_is_an_error() -> None:
    latin = replace(WELL, session={**WELL.session, "character_set_client": "latin1"})
    assert troubles(latin)["character set"].level == "error"


def test_two_servers_are_compared_and_alike_ones_have_nothing_between_them() -> None:
    assert list(between_findings("lab_a", WELL, WELL)) == []
    other = replace(
        WELL,
        globals={
            **WELL.globals,
            "max_allowed_packet": str(1 << 30),
            "innodb_page_size": "65536",
            "lower_case_table_names": "1",
        },
        zone="+02:00",
        zone_minutes=120,
        ahead=-300.0,
    )
    found = {f.subject: f for f in between_findings("lab_a", other, WELL)}
    assert set(found) == {
        "max_allowed_packet",
        "time_zone",
        "clock",
        "innodb_page_size",
        "lower_case_table_names",
    }
    assert "300.0 s behind" in found["clock"].words


NEED = Need("our_out", ("SELECT", "INSERT"), "the outbound schema")


def rights(*grants: Grant, roles: tuple[Role, ...] = (), **variables: str) -> list[Finding]:
    health = replace(WELL, grants=grants, roles=roles, globals={**WELL.globals, **variables})
    return [f for f in rights_findings("lab_a", [NEED], health, CATALOG) if f.level != "ok"]


def given(schema: str, *names: str) -> Grant:
    return Grant(frozenset(names), schema, "*")


def test_a_missing_right_is_an_error_with_its_grant() -> None:
    [finding] = rights(given(r"our\_out", "SELECT"))
    assert finding.level == "error"
    assert "lacks INSERT" in finding.words
    assert r"GRANT SELECT, INSERT ON `our\_out`.* TO 'link'@'%';" in finding.fix
    assert rights(given(r"our\_out", "SELECT", "INSERT")) == []


@pytest.mark.parametrize(("vendor", "word"), [("mysql", "TO"), ("mariadb", "FOR")])
def test_an_idle_role_that_would_do_is_the_fix(vendor: str, word: str) -> None:
    role = Role("writer", False, (given(r"our\_out", "ALL PRIVILEGES"),))
    version = Version(vendor, "1", (1,))
    catalog = replace(CATALOG, identity=replace(IDENTITY, version=version))
    health = replace(WELL, roles=(role,))
    [finding] = [f for f in rights_findings("lab_a", [NEED], health, catalog) if f.level == "error"]
    assert "`writer` grants this but is not active" in finding.why
    assert f"SET DEFAULT ROLE `writer` {word} 'link'@'%';" in finding.fix


def test_where_names_are_literal_a_pattern_gives_nothing_and_the_grant_is_written_so() -> None:
    literal = replace(CATALOG, identity=replace(IDENTITY, literal_names=True))
    lines = [
        "GRANT ALL PRIVILEGES ON `our\\_out`.* TO `l`@`%`",
        "GRANT ALL PRIVILEGES ON `our%`.* TO `l`@`%`",
    ]
    health = replace(WELL, grants=parse_grants(lines, literal=True))
    [finding] = rights_findings("lab_a", [NEED], health, literal)
    assert (finding.level, finding.subject) == ("error", "privileges")
    assert " ON `our_out`.* TO " in finding.fix
    health = replace(WELL, grants=parse_grants([finding.fix.partition("run: ")[2]], literal=True))
    assert [f.level for f in rights_findings("lab_a", [NEED], health, literal)] == ["ok"]


def test_wildcards_are_told_as_the_server_takes_them() -> None:
    [loose] = rights(given("our_out", "ALL"))
    assert (loose.level, r"use `our\_out`" in loose.fix) == ("note", True)
    [two] = rights(given(r"our\_out", "SELECT"), given("our%", "SELECT", "INSERT"))
    assert (two.level, r"the one on `our\_out` lacks INSERT" in two.words) == ("error", True)
    [active] = [
        f
        for f in rights(given(r"our\_o%", "SELECT"), given("o%", "INSERT"), roles=(Role("r", True, ()),))
        if f.level != "ok"
    ]
    assert (active.level, r"`our\_o%` lacks INSERT" in active.words) == ("warning", True)
    assert rights(given(r"our\_out", "SELECT", "INSERT"), given("our%", "SELECT")) == []
    everywhere = Grant(frozenset({"ALL PRIVILEGES"}), "*", "*")
    assert rights(everywhere, given(r"our\_out", "SELECT")) == []


def test_a_role_that_is_not_active_gives_nothing() -> None:
    lines = ["GRANT USAGE ON *.* TO `u`@`%`", "GRANT `r`@`%` TO `u`@`%`"]
    assert [g.rights for g in parse_grants(lines)] == [frozenset({"USAGE"})]


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        (["GRANT SELECT, REFERENCES ON `lab`.* TO `u`@`%`"], True),
        ([r"GRANT SHOW VIEW ON `la_`.* TO `u`@`%`"], True),
        (["GRANT SELECT ON *.* TO `u`@`%`"], True),
        (["GRANT SELECT, REFERENCES ON `lab`.* TO `r`", "GRANT SELECT ON `lab`.`t` TO `u`@`%`"], True),
        (["GRANT SELECT, REFERENCES ON `lab`.* TO PUBLIC"], True),
        (["GRANT SELECT, REFERENCES ON `lab`.`t` TO `u`@`%`"], False),
        (["GRANT CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE ON `lab`.* TO `u`@`%`"], False),
        (["GRANT PROCESS, RELOAD, SHOW DATABASES ON *.* TO `u`@`%`"], False),
        (["GRANT EXECUTE ON `lab`.* TO `u`@`%`", "GRANT SELECT ON `la%`.* TO `u`@`%`"], False),
        (["GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `lab`.* FROM `u`@`%`"], False),
        (["GRANT SELECT, INSERT ON *.* TO `u`@`%`", "REVOKE SELECT ON `lab`.* FROM `u`@`%`"], True),
        (["GRANT ALL PRIVILEGES ON *.* TO `u`@`%`", "REVOKE SELECT ON `lab`.* FROM `u`@`%`"], True),
        (["GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `other`.* FROM `u`@`%`"], True),
    ],
)
def test_a_schema_is_seen_whole_where_a_right_on_its_tables_is_on_the_schema(
    lines: list[str], seen: bool
) -> None:
    assert shows_all(parse_grants(lines), "lab") is seen


def test_a_partial_revoke_takes_what_was_granted_on_all_schemas_and_no_more() -> None:
    revoked = "REVOKE SELECT, REFERENCES ON `lab`.* FROM `u`@`%`"
    needed = ("SELECT", "REFERENCES")
    for given in ("SELECT, REFERENCES, INSERT", "ALL PRIVILEGES"):
        found = parse_grants([f"GRANT {given} ON *.* TO `u`@`%`", revoked])
        assert missing(found, needed, "lab") == missing(found, needed, "lab", "t") == needed
        assert missing(found, (*needed, "INSERT"), "other") == ()
        again = parse_grants(["GRANT SELECT ON `lab`.`t` TO `u`@`%`"])
        assert missing((*found, *again), needed, "lab", "t") == ("REFERENCES",)


def mark(**changes: str | None) -> Mark:
    base = Mark("id", "lab_t", "ours", "", "lab", "t", "our_out", "lab_t", "db", "loc", "t", "", "d")
    return replace(base, **{"fingerprint": fingerprint(IDENTITY), **changes})  # type: ignore[arg-type] # all text


def test_marks_of_both_sides_are_weighed() -> None:
    def told(*marks: Mark) -> list[tuple[str, str]]:
        source = replace(CATALOG, identity=replace(IDENTITY, port=3307), marks={"our_out": marks})
        found = mark_findings("lab_a", "ours", "our_out", (), source, CATALOG)
        return [(f.level, f.words) for f in found]

    assert told() == []
    [(level, words)] = told(mark(manifest="theirs", contact="o@x", local_server="db.x"))
    assert level == "warning"
    assert words == "1 link in `our_out` of the manifest `theirs` (o@x), local server `db.x`"
    [(level, words)] = told(mark(fingerprint="0"), mark(link_id="2", fingerprint="0"))
    assert level == "warning"
    assert words.startswith(
        "2 links in `our_out`: the source knows the local server as `db`, with another host"
    )
    [same] = mark_findings("lab_a", "ours", "our_out", (), CATALOG, CATALOG)
    assert (same.subject, same.level) == ("same server", "note")


def test_a_diagnosis_is_shown_with_why_and_fix_and_no_control_character() -> None:
    diagnosis = Diagnosis(
        "ours",
        (ExaminedServer("local", "db", 3306, True, "mysql", "8.4.0"), ExaminedServer("lab_a", "x", 0)),
        (
            Finding("local", "TLS", "ok", "TLSv1.3"),
            Finding("lab_a", "reachable", "error", "gone \x1b[31m", "its links wait", "start it"),
        ),
    )
    text = "\n".join(each.plain for each in laid_out(diagnosis_lines(diagnosis)))
    assert "  ✗ reachable  gone \\x1b[31m\n               why: its links wait\n" in text
    assert "fix: start it" in text
    assert text.endswith("Doctor: 1 error.")
    assert "TLSv1.3" not in "\n".join(each.plain for each in laid_out(diagnosis_lines(diagnosis, quiet=True)))
    value = diagnosis_json(diagnosis)
    assert (value["has_errors"], value["counts"]["error"], len(value["findings"])) == (True, 1, 2)


def test_everything_that_the_doctor_looks_at_stands_in_the_documentation() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## Looking the servers over")[2].partition("\n## ")[0]
    subjects = set()
    for path in (root / "djlink_manifest" / "reconcile").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                subjects |= {str(n.value) for n in node.args[1:2] if isinstance(n, ast.Constant)}
    assert len(subjects) > 20
    assert {s for s in subjects if f"`{s}`" not in section} == set()
