"""A manifest written from what a server has: it validates, plans, applies, and says what it leaves out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from djlink_manifest.cli import run
from djlink_manifest.manifest.load import load, read
from djlink_manifest.reconcile.pipeline import open_job
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE, CROSSED
from tests.support.sql import ask, run_all

BOTH = pytest.mark.parametrize("servers", [*ALIKE, CROSSED[0]], indirect=True, ids=str)
TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE DATABASE {other}",
    "CREATE TABLE {other}.`#species` (species varchar(9) PRIMARY KEY)",
    "CREATE TABLE {other}.subject (id int PRIMARY KEY, species varchar(9),"
    " FOREIGN KEY (species) REFERENCES {other}.`#species` (species))",
    "CREATE TABLE {other}.unused (id int PRIMARY KEY)",
    "CREATE TABLE {lab}._session (id int PRIMARY KEY, subject int,"
    " FOREIGN KEY (subject) REFERENCES {other}.subject (id))",
    "CREATE TABLE {lab}._session__trial (id int, k int, PRIMARY KEY (id, k),"
    " FOREIGN KEY (id) REFERENCES {lab}._session (id))",
    "CREATE TABLE {lab}.`on` (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.keyless (id int)",
    "CREATE TABLE {lab}.old (id int PRIMARY KEY) ENGINE=MyISAM",
    "CREATE TABLE {lab}.cut (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2",
    "CREATE VIEW {lab}.seen AS SELECT * FROM {lab}._session",
    "CREATE TABLE {lab}.`a b` (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.`~log` (id int PRIMARY KEY)",
    "INSERT INTO {other}.`#species` VALUES ('mouse'), ('rat')",
    "INSERT INTO {other}.subject VALUES (1, 'mouse'), (2, 'rat')",
    "INSERT INTO {lab}._session VALUES (1, 1)",
    "INSERT INTO {lab}._session__trial VALUES (1, 1)",
)


@pytest.fixture
def lab(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab", "other"]})
    schemas = [f"lab\\_a\\_{rig.names.pattern}"]
    for pattern in schemas:
        ask(
            rig.servers.local,
            f"GRANT ALL ON `{pattern.replace('%', '%%')}`.* TO %s@'%%'",
            (rig.names("lab"),),
        )
    monkeypatch.chdir(rig.folder)
    for name, value in {
        "LINK_USER": rig.names("link"),
        "LINK_PASS": PASSWORD,
        "DJ_USER": rig.names("lab"),
        "DJ_PASS": PASSWORD,
    }.items():
        monkeypatch.setenv(name, value)
    return rig


def fresh(rig: Rig, *more: str, code: int = 0) -> None:
    """`init --from` of a source that no manifest has."""
    server = rig.servers.lab_a
    given = ("init", "--from", f"lab_a.{rig.names('lab')}", "--host", server.host, "--port", str(server.port))
    local = rig.servers.local
    assert run([*given, "--local-host", local.host, "--local-port", str(local.port), *more]) == code


def planned(*paths: str) -> Plan:
    with open_job(load(list(paths)), os.environ) as job:
        return job.plan()


@BOTH
def test_what_is_written_validates_and_plans_all_that_can_be_linked(lab: Rig) -> None:
    fresh(lab)
    text = Path("djlink.yaml").read_text()
    assert Path("manifest.schema.json").exists()
    assert PASSWORD not in text
    assert f"outbound: {lab.outbound}" in text
    manifest, problems = read(["djlink.yaml"])
    assert manifest is not None
    assert [p for p in problems if p.severity == "error"] == []
    plan = planned("djlink.yaml")
    assert not plan.has_errors, [b.reason for link in plan.links for b in link.blocked]
    assert plan.refusals == ()
    place = f"lab_a.{lab.names('lab')}"
    other = f"lab_a.{lab.names('other')}"
    assert [link.address for link in plan.links if link.wave == 1] == [f"{place}.On", f"{other}.Species"]
    assert {link.address for link in plan.links if link.wave > 1} == {f"{other}.Subject", f"{place}.Session"}
    assert not any(w for link in plan.links for w in link.warnings if "plain columns" in w)
    needed = [line for line in text.splitlines() if "{pull: needed}" in line]
    assert [line.split(":")[0].strip() for line in needed] == ["Species", "Subject"]
    for name, reason in (
        ("Keyless", "it has no primary key"),
        ("Old", "the MyISAM engine"),
        ("Cut", "it is partitioned"),
        ("Seen", "it is a view"),
        ("a b", "its name contains a space"),
    ):
        assert any(f"# {name} cannot be linked: " in each and reason in each for each in text.splitlines()), (
            name
        )
    assert "~log" not in text
    assert run(["validate"]) == 0
    assert run(["fmt", "--check"]) == 0
    assert run(["apply", "--auto-approve"]) == 0


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_table_with_external_values_is_written_with_stores_to_fill_in(lab: Rig) -> None:
    columns = "id int PRIMARY KEY, pixels json COMMENT ':<blob@raw>:'"
    lab.run("lab_a", f"CREATE TABLE {{lab}}.image ({columns})")
    fresh(lab)
    path = Path("djlink.yaml")
    text = path.read_text()
    assert "stores: {raw: YOUR_STORE}" in text
    assert run(["validate"]) == 0
    plan = planned("djlink.yaml")
    [image] = [link for link in plan.links if link.blocked]
    assert "maps `raw` to `YOUR_STORE`: DataJoint's configuration has no store" in image.blocked[0].reason
    # filled in as the comments say, it is whole
    lab.folder.joinpath("theirs").mkdir()
    text = text.replace("YOUR_STORE", "inline").replace("    # store_settings", "    store_settings")
    text = text.replace("    #   raw", "      raw").replace("/mnt/theirs", "theirs")
    path.write_text(text)
    assert run(["fmt", "--check"]) == 0
    plan = planned("djlink.yaml")
    assert not plan.has_errors, plan.refusals
    assert any(link.address.endswith(".Image") for link in plan.links)


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_manifest_that_is_there_gives_the_server_and_what_is_written_is_laid_over_it(lab: Rig) -> None:
    ask(lab.servers.lab_a, f"CREATE TABLE `{lab.names('other')}`.more (id int PRIMARY KEY)")
    document = lab.document({"lab_a": {"other": {"tables": ["Unused"]}}})
    document["defaults"] = {"schema_name": lab.names("our_") + "{schema}"}
    lab.write(document, "atlas.yaml")
    assert run(["init", "--from", f"lab_a.{lab.names('lab')}", "-f", "atlas.yaml"]) == 0
    written = f"{lab.names('lab')}.yaml"
    text = Path(written).read_text()
    assert "host:" not in text
    assert "password:" not in text
    plan = planned("atlas.yaml", written)
    assert not plan.has_errors
    assert {link.address.rpartition(".")[2] for link in plan.links} == {
        *("Unused", "Species", "Subject", "Session", "On")
    }
    assert run(["init", "--from", f"lab_a.{lab.names('lab')}", "-f", "atlas.yaml", "-f", written, "-"]) == 1
    assert run(["init", "--from", f"lab_a.{lab.names('lab')}", "-f", "atlas.yaml", "--host", "x"]) == 1


@pytest.mark.parametrize("form", [{"Session": {}}, ["Session"]], ids=["mapping", "list"])
@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_schema_that_the_manifest_has_in_part_gets_the_rest_and_odd_names_alone_are_left_out(
    lab: Rig, form: object, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a*", "x/../..", "session", "#session", "lone__part", "a,b"):
        ask(lab.servers.lab_a, f"CREATE TABLE `{lab.names('lab')}`.`{name}` (id int PRIMARY KEY)")
    document = lab.document({"lab_a": {"lab": {"tables": form}, "other": {"tables": ["Subject", "Species"]}}})
    document["defaults"] = {"schema_name": "lab_a_{schema}"}
    lab.write(document, "atlas.yaml")
    place = lab.names("lab")
    if form == ["Session"]:
        # three tables are called so, and only one can be meant
        ask(lab.servers.lab_a, f"DROP TABLE `{place}`.session")
        ask(lab.servers.lab_a, f"DROP TABLE `{place}`.`#session`")
    else:
        document["sources"]["lab_a"]["schemas"][place]["tables"] = {"_session": {}}
        lab.write(document, "atlas.yaml")
    assert run(["init", "--from", f"lab_a.{place}", "-f", "atlas.yaml"]) == 0
    said = capsys.readouterr().err
    for name in ("a*", "x/../..", "lone__part"):
        assert f"warning: skipped: {place}.{name}: its name" in said.replace("Lone.Part", "lone__part"), said
    text = Path(f"{place}.yaml").read_text()
    assert "On: {}" in text.replace('"', "")
    assert '"a,b": {}' in text
    assert run(["validate", "-f", "atlas.yaml", "-f", f"{place}.yaml"]) == 0
    plan = planned("atlas.yaml", f"{place}.yaml")
    assert plan.refusals == ()
    assert {f"lab_a.{place}.{name}" for name in ("On", "a,b")} <= {link.address for link in plan.links}


@pytest.mark.parametrize("name", ["Session", "_session"])
def test_what_the_manifest_takes_out_alone_is_left_out(
    lab: Rig, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"lab_a.{lab.names('lab')}"
    document = lab.document({"lab_a": {"other": {"tables": ["Subject", "Species"]}}})
    document["removed"] = {f"{place}.{name}": {"table": "keep"}}
    lab.write(document, "atlas.yaml")
    assert run(["init", "--from", place, "-f", "atlas.yaml"]) == 0
    assert "Session: it is listed in `removed`" in capsys.readouterr().err
    written = f"{lab.names('lab')}.yaml"
    assert "On: {}" in Path(written).read_text().replace('"', "")
    assert run(["validate", "-f", "atlas.yaml", "-f", written]) == 0


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_tables_without_rights_and_parents_that_are_not_seen_are_told_with_their_grant(
    lab: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    user = f"'{lab.names('link')}'@'%'"
    ask(lab.servers.lab_a, f"REVOKE SELECT, REFERENCES ON {grant_pattern(lab.names('other'))}.* FROM {user}")
    fresh(lab, "-")
    text = capsys.readouterr().out
    assert (
        f"its parent {lab.names('other')}.subject is not linked (it is not visible to the link user)" in text
    )
    ask(lab.servers.lab_a, f"REVOKE REFERENCES ON {grant_pattern(lab.names('lab'))}.* FROM {user}")
    fresh(lab, "-", code=1)
    said = capsys.readouterr().err
    assert "lacks REFERENCES" in said
    assert "GRANT SELECT, REFERENCES" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "lab_a"], "is not SOURCE.schema"),
        (["--from", "lab_a.lab"], "--host db.lab_a.example"),
        (["--from", "lab_a.lab", "--host", "x", "--password", "hunter2"], "takes a reference"),
        (["-f", "x"], "`-f` exists only with --from"),
    ],
)
def test_what_is_asked_wrongly_is_told_and_no_secret_is(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", *arguments]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "hunter2" not in said
    assert list(tmp_path.iterdir()) == []
