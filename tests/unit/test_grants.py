"""What `djlink grants` prints: exactly what each account needs, offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from djlink_manifest.cli import run
from djlink_manifest.model.server.rights import parse_grants
from djlink_manifest.model.tables.owner_views import OWNER, owner_schema

MANIFEST = """\
manifest: 1
name: atlas
contact: data@ourlab.example
local: {host: db.ourlab.example, user: "${env:DJ_USER}", password: "${env:NOT_SET_ANYWHERE}"}
defaults: {schema_name: "ours_{source}_{schema}"}
sources:
  princeton:
    host: db.princeton.example
    user: it's
    password: ${env:NOT_SET_ANYWHERE}
    outbound: ourlab_outbound
    schemas:
      lab_1: {tables: "*"}
      "50%": {tables: [Session]}
  janelia:
    host: 127.0.0.1
    user: link@10.0.0.%
    password: ${env:NOT_SET_ANYWHERE}
    outbound: ourlab_outbound
    schemas:
      imaging: {tables: [Scan], schema_name: mine}
"""
QUERY = (
    "SELECT CONCAT('GRANT SELECT, REFERENCES ON `50%`.`', REPLACE(TABLE_NAME, '`', '``'), "
    "'` TO ''it''''s''@''%'';') AS `-- GRANT` FROM information_schema.TABLES "
    "WHERE TABLE_SCHEMA = '50%' AND TABLE_TYPE = 'BASE TABLE' AND (TABLE_NAME = '~lineage' OR "
    "LOWER(REPLACE(SUBSTRING_INDEX(TRIM(LEADING '_' FROM TRIM(LEADING '#' FROM TABLE_NAME)), '__', 1), "
    "'_', '')) "
    "IN ('session')) ORDER BY TABLE_NAME;"
)
PRINTED = r"""-- princeton (db.princeton.example): the link user it's@%
-- if it does not exist yet: CREATE USER 'it''s'@'%' IDENTIFIED BY '…' REQUIRE SSL;
CREATE SCHEMA IF NOT EXISTS `ourlab_outbound`;
CREATE SCHEMA IF NOT EXISTS `ourlab_outbound_owner`;
-- where SELECT @@partial_revokes says 1 (MySQL), write schema names without backslashes
GRANT SELECT, REFERENCES ON `lab\_1`.* TO 'it''s'@'%';
GRANT CREATE, SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON `ourlab\_outbound`.* TO 'it''s'@'%';
GRANT SELECT, CREATE VIEW, DROP ON `ourlab\_outbound\_owner`.* TO 'it''s'@'%';
-- 50%: Session, and their parts; run this, and then what it prints
QUERY
-- or, with all other tables that are there and will be:
-- GRANT SELECT, REFERENCES ON `50\%`.* TO 'it''s'@'%';

-- princeton (db.princeton.example): the owner rig@%
-- in addition to the rights on their own schemas; grant no rights on the outbound schema
-- if it does not exist yet: CREATE USER 'rig'@'%' IDENTIFIED BY '…' REQUIRE SSL;
CREATE SCHEMA IF NOT EXISTS `ourlab_outbound_owner`;
-- where SELECT @@partial_revokes says 1 (MySQL), write schema names without backslashes
GRANT SELECT, INSERT, DELETE ON `ourlab\_outbound\_owner`.* TO 'rig'@'%';
"""


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DJ_USER", "ourlab")
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    path = tmp_path / "atlas.yaml"
    path.write_text(MANIFEST)
    return str(path)


def test_the_statements_are_exact_and_no_server_or_password_is_asked_for(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["grants", "-f", manifest, "--owner", "rig", "--server", "princeton"]) == 0
    assert capsys.readouterr().out == PRINTED.replace("QUERY", QUERY)


def test_a_user_may_name_its_host_and_tls_is_asked_for_but_on_this_machine(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["grants", "-f", manifest, "--json"]) == 0
    accounts = json.loads(capsys.readouterr().out)["accounts"]
    assert [(a["server"], a["role"], a["account"]) for a in accounts] == [
        ("janelia", "link user", "link@10.0.0.%"),
        ("princeton", "link user", "it's@%"),
        ("local", "local user", "ourlab@%"),
    ]
    assert accounts[0]["create_user"] == "CREATE USER 'link'@'10.0.0.%' IDENTIFIED BY '…';"
    schemas = [grant.split(" ON ")[1].split(" TO ")[0] for grant in accounts[2]["grants"]]
    assert schemas == [r"`mine`.*", r"`ours\_princeton\_50\%`.*", r"`ours\_princeton\_lab\_1`.*"]


def test_what_is_printed_reaches_the_schemas_meant_and_no_others(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["grants", "-f", manifest, "--json"]) == 0
    accounts = json.loads(capsys.readouterr().out)["accounts"]
    lines = [g for a in accounts for g in (*a["grants"], *(t["whole"] for t in a["by_table"]))]
    grants = parse_grants(lines)
    reached = [
        name for name in ("lab_1", "50%", "ourlab_outbound") if any(g.covers(name, "t") for g in grants)
    ]
    assert reached == ["lab_1", "50%", "ourlab_outbound"]
    assert not any(g.covers(name, "t") for g in grants for name in ("labx1", "50x", "ourlabxoutbound"))


def test_a_manifest_that_takes_links_out_needs_to_drop_tables(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(manifest).write_text(MANIFEST + "removed: {princeton.gone.Old: {table: drop}}\n")
    assert run(["grants", "-f", manifest, "--json"]) == 0
    lines = [g for a in json.loads(capsys.readouterr().out)["accounts"] for g in a["grants"]]
    dropping = [g.split(" ON ")[1].split(" TO ")[0] for g in lines if ", DROP ON" in g and "_owner" not in g]
    outbound = [r"`ourlab\_outbound`.*"] * 2
    local = [rf"`ours\_princeton\_{schema}`.*" for schema in (r"50\%", "gone", r"lab\_1")]
    assert dropping == [*outbound, r"`mine`.*", *local]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server", "princetn"], "did you mean `princeton`?"),
        (["--server", "x"], "the servers are janelia, princeton, local"),
    ],
)
def test_an_unknown_server_is_named_with_the_nearest(
    manifest: str, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run(["grants", "-f", manifest, *arguments]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("length", [1, 57, 58, 59, 64])
def test_the_owners_schema_has_a_name_that_servers_take_and_that_tells_what_it_is(length: int) -> None:
    names = {owner_schema("o" * (length - 1) + last) for last in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 64 and name.endswith(OWNER) for name in names)


def test_a_link_taken_out_of_a_schema_that_is_declared_no_longer_needs_its_schemas_on_both_servers(
    manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(manifest).open("a") as file:
        file.write("removed: {princeton.gone.Old: {table: drop}, princeton.gone.Older: {table: keep}}\n")
    assert run(["grants", "-f", manifest]) == 0
    out = capsys.readouterr().out
    assert "-- gone: Old, Older, and their parts; run this, and then what it prints" in out
    assert "-- GRANT SELECT, REFERENCES ON `gone`.* TO 'it''s'@'%';" in out
    [line] = [line for line in out.splitlines() if r"`ours\_princeton\_gone`" in line]
    assert " DROP ON " in line
    assert out.count(r"`ours\_princeton\_lab\_1`") == 1
