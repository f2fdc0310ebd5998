"""Names, comments and values that would act upon SQL, a format, a terminal or its markup."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import DjlinkError, ManifestError
from djlink_manifest.manifest.load import load
from djlink_manifest.reconcile.pipeline import open_job
from djlink_manifest.sandbox.servers.accounts import quoted_name
from tests.support.command import run
from tests.support.mutants import INJECTION, mutants, whole, written
from tests.support.rig import Rig
from tests.support.servers import ALIKE, Servers, drop_everything, new_names
from tests.support.sql import ask
from tests.support.statements import Statement, watched

BAD = (
    "x'; DROP TABLE victim; -- ",
    'y"`%s%d{}$',
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "[bold red]markup[/] :boom:",
    "line\nbreak\r\ttab",
    "‮right to left‬​",
    "`back``tick`",
    "%(name)s %% \\' \\",
    "ünïcödé ☃",
)
alike = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
# what is shown has line ends and no other character that a terminal acts upon
# a condition is prepared, which reads no row
CHECKED = ("PREPARE djlink_check", "DEALLOCATE PREPARE djlink_check")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
CANARY = "CREATE TABLE {lab}.victim (id int PRIMARY KEY, v int)"


def hostile_names() -> list[str]:
    """As tables can be named: without a space at the end."""
    return [each.strip()[:40] for each in BAD]


@pytest.fixture
def lab(rig: Rig) -> Rig:
    rig.run("lab_a", "CREATE DATABASE {lab}")
    rig.run("lab_a", CANARY)
    rig.run("lab_a", "INSERT INTO {lab}.victim VALUES (1, 1), (2, 2)")
    rig.accounts({"lab_a": ["lab"]})
    return rig


def check_shown(out: str, err: str) -> None:
    for text in (out, err):
        assert not CONTROL.search(text), repr(CONTROL.search(text))
        assert "Traceback" not in text
        assert "unexpected" not in text
        assert "unexpected error in djlink" not in text


@alike
def test_hostile_names_comments_and_values_are_copied_and_never_act(lab: Rig) -> None:
    """Each is the name of a table's key and of an index, a comment, a default and a value.

    As the name of a table it is refused: no manifest could name it. That table alone does not come.
    """
    schema, source = quoted_name(lab.names("lab")), lab.servers.lab_a
    plain = {f"plain{number}": name for number, name in enumerate(hostile_names())}
    for number, (table, name, text) in enumerate(
        [*zip(plain, hostile_names(), BAD, strict=True), *zip(*2 * (hostile_names(),), BAD, strict=True)]
    ):
        with source.connect() as connection, connection.cursor() as cursor:
            literal = connection.escape(text)
            cursor.execute(
                f"CREATE TABLE {schema}.{quoted_name(table)} ({quoted_name(name)} int COMMENT {literal}, "
                f"v varchar(60) NOT NULL DEFAULT {literal}, PRIMARY KEY ({quoted_name(name)}), "
                f"KEY {quoted_name('k ' + name)} (v)) COMMENT {literal} DEFAULT CHARSET utf8mb4"
            )
            cursor.execute(f"INSERT INTO {schema}.{quoted_name(table)} VALUES ({number}, DEFAULT), (99, '')")
    path = lab.write(lab.document({"lab_a": {"lab": {"tables": "*"}}}))
    for arguments in (("plan",), ("apply", "--auto-approve"), ("plan",), ("status",), ("plan", "--json")):
        code, out, err = run(lab, path, *arguments)
        assert code in (0, 1), out + err
        check_shown(out, err)
    document = lab.document({"lab_a": {"lab": {"tables": "*"}}})
    plan = lab.plan(document)
    assert not plan.has_changes
    assert [link.address for link in plan.links if link.is_stopped] == []
    place = f"lab_a.{lab.names('lab')}."
    assert {r.address for r in plan.refusals} == {place + name for name in hostile_names()}
    assert all("its name contains" in r.reason and "exclude: [" in str(r.hint) for r in plan.refusals)
    local_schema = quoted_name(lab.local_schema("lab_a", "lab"))
    for name in (*plain, "victim"):
        source_rows = ask(source, f"SELECT * FROM {schema}.{quoted_name(name)} ORDER BY 1")
        assert len(source_rows) == 2
        assert (
            ask(lab.servers.local, f"SELECT * FROM {local_schema}.{quoted_name(name)} ORDER BY 1")
            == source_rows
        )
    # the next step of each works as it is told
    document["sources"]["lab_a"]["schemas"][lab.names("lab")]["exclude"] = [
        re.sub(r"([*?\[])", r"[\1]", name) for name in hostile_names()
    ]
    assert lab.plan(document).refusals == ()


PIECES = st.sampled_from(
    [
        *(
            "id",
            "v",
            "`id`",
            "1",
            "2",
            "'x'",
            '"y"',
            "NULL",
            "=",
            "<",
            ">=",
            "<>",
            "<=>",
            "IN",
            "(1, 2)",
            "(",
            ")",
        ),
        *(
            "AND",
            "OR",
            "NOT",
            "XOR",
            "IS",
            "LIKE",
            "BETWEEN",
            "+",
            "-",
            "*",
            "/",
            "%",
            "DIV",
            "||",
            "&&",
            "!",
            ",",
        ),
        *(
            "--",
            "-- ",
            "#",
            "/*",
            "*/",
            "/*!50000",
            ";",
            "; DROP TABLE victim",
            "'",
            '"',
            "`",
            "\\",
            "\\'",
            "\n",
        ),
        *(
            "(SELECT 1)",
            "UNION SELECT 1, 2",
            "SLEEP(9)",
            "BENCHMARK(1e9, 1)",
            "GET_LOCK('x', 9)",
            "@@version",
        ),
        *("ABS(", "LENGTH(v)", "IF(", "CASE WHEN", "END", "INTO OUTFILE '/tmp/x'", "FOR UPDATE", "LIMIT 1"),
        *(
            "DELETE FROM victim",
            "EXISTS",
            "%s",
            "{}",
            "\x00",
            "\x1b[31m",
            "é",
            "0x41",
            "1e5",
            ":=",
            "?",
            "COLLATE",
        ),
        *(
            "utf8mb4_bin",
            "DATE '2026-01-01'",
            "CAST(",
            "AS SIGNED)",
            "REGEXP",
            "TRUE",
            "ROW(1,1)",
            "ALL",
            "ANY",
        ),
    ]
)
CONDITIONS = st.lists(PIECES, min_size=1, max_size=7).map(" ".join)


@pytest.fixture(scope="module")
def fuzzed(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Tables of two rows that many conditions are tried on at once."""
    rig = Rig(servers, new_names(), tmp_path_factory.mktemp("fuzzed"))
    try:
        rig.run("lab_a", "CREATE DATABASE {lab}")
        rig.run("lab_a", CANARY)
        rig.run("lab_a", "INSERT INTO {lab}.victim VALUES (1, 1), (2, 2)")
        for number in range(6):
            rig.run("lab_a", f"CREATE TABLE {{lab}}.t{number} LIKE {{lab}}.victim")
            rig.run("lab_a", f"INSERT INTO {{lab}}.t{number} VALUES (1, 1), (2, NULL)")
        rig.accounts({"lab_a": ["lab"]})
        yield rig
    finally:
        for server in servers:
            drop_everything(server, rig.names)


@alike
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(conditions=st.lists(CONDITIONS, min_size=6, max_size=6))
def test_any_where_is_a_condition_or_a_clear_error_and_nothing_else(
    fuzzed: Rig, conditions: list[str]
) -> None:
    rules, refused = dict[str, Any](), list[ManifestError]()
    for number, where in enumerate(conditions):
        one = {f"T{number}": {"where": where}}
        try:
            load([fuzzed.write(fuzzed.document({"lab_a": {"lab": {"tables": one}}}), "one.yaml")])
        except ManifestError as error:
            refused.append(error)
        else:
            rules |= one
    assert all(d.summary and d.location.line for error in refused for d in error.diagnostics)
    started = time.monotonic()
    with watched(prefix=fuzzed.names("")) as sent:
        plan = fuzzed.plan(fuzzed.document({"lab_a": {"lab": {"tables": {**rules, "Victim": {}}}}}))
    assert time.monotonic() - started < 8  # nothing slept
    for link in plan.links:
        for blocked in link.blocked:
            assert blocked.reason
            assert "unexpected" not in blocked.reason
        if not link.blocked:
            assert link.source_rows == 2
    for statement in sent:
        scratch = "`~djlink_" in statement.text
        assert scratch or statement.begins("SELECT", "WITH", "SHOW", "SET", "START TRANSACTION", *CHECKED), (
            statement
        )
    assert fuzzed.run("lab_a", "SELECT * FROM {lab}.victim ORDER BY id") == [(1, 1), (2, 2)]


# what a manifest of the fuzzed rig's servers has in the place of the usual names
def filled(rig: Rig) -> dict[str, str]:
    return {
        "host": "127.0.0.1",
        "port_a.example": str(rig.servers.lab_a.port),
        "port_l.example": str(rig.servers.local.port),
        "link": rig.names("link"),
        "user": rig.names("lab"),
        "lab": rig.names("lab"),
        "outbound": rig.outbound,
        "name": rig.names("atlas"),
        "schema_name": f"'{rig.names('our_')}{{source}}_{{schema}}'",
    }


QUOTED = re.compile(r"'(?:[^'\\]|''|\\.)*'|`(?:[^`]|``)*`", re.DOTALL)


def planned(rig: Rig, text: str) -> str:
    """Plan a manifest, whatever it is: what came of it. Nothing but reading is sent, and no name acts."""
    path, acted = rig.folder / "mutant.yaml", list[str]()
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    def look(statement: Statement) -> None:
        reads = statement.begins("SELECT", "WITH", "SHOW", "SET", "START TRANSACTION", *CHECKED)
        whole = statement.whole if isinstance(statement.whole, str) else statement.whole.decode()
        if not (reads or "`~djlink_" in statement.text) or "DROP TABLE victim" in QUOTED.sub("", whole):
            acted.append(whole)

    with watched(look, prefix=rig.names("")):
        came = _planned(path, {**os.environ, **rig.environ, "LINK_OUTBOUND": rig.outbound})
    assert acted == []
    return came


def _planned(path: Path, environ: dict[str, str]) -> str:
    try:
        manifest = load([path])
    except ManifestError as refused:
        return "refused" if all(d.summary and d.location.line for d in refused.diagnostics) else "untold"
    try:
        with open_job(manifest, environ) as job:
            plan = job.plan()
    except DjlinkError as error:  # a server that is none, a reference that is not set
        return f"defect: {error.message}" if "unexpected" in error.message else "stopped"
    reasons = [b.reason for p in plan.links for b in p.blocked] + [r.reason for r in plan.refusals]
    return next((f"defect: {r}" for r in reasons if "unexpected" in r or not r), "planned")


@alike
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_any_mutant_of_a_manifest_is_planned_or_refused_and_acts_on_nothing(
    fuzzed: Rig, data: st.DataObject
) -> None:
    assert planned(fuzzed, data.draw(mutants(filled(fuzzed)))) in {"planned", "refused", "stopped"}
    assert fuzzed.run("lab_a", "SELECT * FROM {lab}.victim ORDER BY id") == [(1, 1), (2, 2)]


@alike
def test_hostile_names_in_every_place_of_a_manifest_are_names(fuzzed: Rig) -> None:
    usual = filled(fuzzed)
    assert planned(fuzzed, written(whole(usual)) + "\n") == "planned"
    came = {
        name: planned(fuzzed, written(whole({**usual, name: json.dumps(INJECTION[:60])})) + "\n")
        for name in usual
        if not name.startswith("port")
    }
    # an account may be called so, and is not there; all else is refused offline
    assert (came.pop("link"), came.pop("user")) == ("planned", "stopped")
    assert set(came.values()) == {"refused"}, came
    assert fuzzed.run("lab_a", "SELECT * FROM {lab}.victim ORDER BY id") == [(1, 1), (2, 2)]
