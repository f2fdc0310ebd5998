"""Text of every character set arrives byte for byte, whether UTF-8 has its characters or not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.binaries import Vendor
from djlink_manifest.servers.transfer import batch
from tests.support.pipelines.cells import mended, verified
from tests.support.rig import Rig
from tests.support.servers import PAIRS, Pair, drop_everything, new_names
from tests.support.sql import ask, run_all

# what the servers hold of each character set is asked once
pytestmark = pytest.mark.xdist_group("character sets")

Units = Mapping[str, frozenset[bytes]]
MANY = "SELECT a.d * 4096 + b.d * 256 + c.d * 16 + d.d AS n FROM {0} a, {0} b, {0} c, {0} d"
WIDTHS = {"utf32": (4,)}


UNITS = dict[Vendor, Units]()  # all servers of a vendor are of one version


def units_of(server: SandboxServer) -> Units:
    """Of each character set the codes of one and two bytes, of UTF-32 those of four, that a column takes."""
    if server.vendor not in UNITS:
        UNITS[server.vendor] = _units_of(server)
    return UNITS[server.vendor]


def _units_of(server: SandboxServer) -> Units:
    digits = "(" + " UNION ALL ".join(f"SELECT {n} AS d" for n in range(16)) + ")"
    names = new_names()
    schema = names("units")
    ask(server, f"CREATE DATABASE `{schema}`")
    found = {}
    for name, most in ask(server, "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS"):
        ask(server, f"CREATE TABLE `{schema}`.{name} (b varbinary(4), t varchar(4) CHARACTER SET {name})")
        for width in WIDTHS.get(name, (1,) if most == 1 or name.startswith("utf8") else (1, 2)):
            codes = f"SELECT UNHEX(LPAD(HEX(n), {2 * width}, '0')) AS b FROM ({MANY.format(digits)}) x"
            ask(
                server,
                f"INSERT IGNORE INTO `{schema}`.{name} SELECT b, CONVERT(b USING {name})"
                f" FROM ({codes} WHERE n < 256 OR {width} > 1) y",
            )
        rows = ask(server, f"SELECT b FROM `{schema}`.{name} WHERE CAST(t AS BINARY) = b")
        found[name] = frozenset(row[0] for row in rows)
    drop_everything(server, names)
    del found["binary"]
    return found


def units(rig: Rig) -> dict[str, list[bytes]]:
    """What both servers of a pair have."""
    source, local = (units_of(s) for s in (rig.servers.lab_a, rig.servers.local))
    return {name: sorted(source[name] & local[name]) for name in sorted(source.keys() & local.keys())}


def made(rig: Rig, kind: str) -> list[str]:
    """A table with a column for each character set, and a row for each first byte; the columns."""
    texts = dict[int, dict[str, bytes]]()
    found = units(rig)
    for name, codes in found.items():
        for code in codes:
            row = texts.setdefault(code[-2] if len(code) > 1 else 256, {})
            row[name] = row.get(name, b"") + code
    columns = ", ".join(f"`{name}` {kind} CHARACTER SET {name}" for name in found)
    run_all(rig, f"CREATE TABLE {{lab}}.word (id int PRIMARY KEY, {columns})")
    for number, row in texts.items():
        values = ", ".join(f"_{name} X'{value.hex()}'" for name, value in row.items())
        names = ", ".join(f"`{name}`" for name in row)
        run_all(rig, f"INSERT INTO {{lab}}.word (id, {names}) VALUES ({number}, {values})")
    return list(found)


def kept(server: SandboxServer, schema: str, names: list[str]) -> list[tuple[object, ...]]:
    columns = ", ".join(f"CAST(`{name}` AS BINARY)" for name in names)
    return ask(server, f"SELECT id, {columns} FROM `{schema}`.word ORDER BY id")


def arrived(rig: Rig, names: list[str]) -> bool:
    local_rows = kept(rig.servers.local, rig.local_schema("lab_a", "lab"), names)
    return local_rows == kept(rig.servers.lab_a, rig.names("lab"), names) and len(local_rows) > 200


def applied(rig: Rig) -> None:
    [outcome] = rig.apply(rig.document({"lab_a": {"lab": {"tables": {"*": {"changed": "mend"}}}}}))[
        1
    ].outcomes
    assert outcome.status == "done", outcome.problem


@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
@pytest.mark.parametrize("kind", ["text", "varchar(256)"])
def test_every_character_of_every_character_set_arrives_as_the_same_bytes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    run_all(rig, "CREATE DATABASE {lab}")
    rig.accounts({"lab_a": ["lab"]})
    names = made(rig, kind)
    assert len(names) > 35
    applied(rig)
    assert arrived(rig, names), "loaded"
    assert not verified(rig).has_changes
    local = f"`{rig.local_schema('lab_a', 'lab')}`.word"
    ask(rig.servers.local, f"DELETE FROM {local}")
    with monkeypatch.context() as patched:
        patched.setattr(batch, "load_plan", lambda *_: None)
        applied(rig)
    assert arrived(rig, names), "inserted"
    ask(rig.servers.local, f"UPDATE {local} SET cp932 = REPLACE(cp932, _cp932 X'8790', _cp932 X'81E0')")
    assert verified(rig).has_changes, "one character of two codes"
    ask(rig.servers.local, f"UPDATE {local} SET ascii = 'x'")
    assert mended(rig).counts.refilled > 200
    assert arrived(rig, names), "refilled"


@pytest.mark.parametrize("servers", [Pair("mariadb", "mysql")], indirect=True, ids=str)
@pytest.mark.parametrize("kind", ["text", "varchar(9)"])
def test_what_a_mapped_character_set_has_no_character_for_is_refused_and_never_altered(
    rig: Rig, kind: str
) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.word (id int PRIMARY KEY,"
        f" t {kind} CHARACTER SET cp1251 COLLATE cp1251_general_nopad_ci)",
        "INSERT INTO {lab}.word VALUES (1, _cp1251 X'CAEEF8EAE0'), (2, _cp1251 X'98'), (3, NULL)",
    )
    rig.accounts({"lab_a": ["lab"]})
    [outcome] = rig.apply(rig.document({"lab_a": {"lab": {"tables": {"*": {}}}}}))[1].outcomes
    assert (outcome.counts.pulled, outcome.counts.refused) == (2, 1)
    assert "Incorrect string value" in (outcome.problem or "")
    local_rows = ask(
        rig.servers.local, f"SELECT * FROM `{rig.local_schema('lab_a', 'lab')}`.word ORDER BY id"
    )
    assert local_rows == [(1, "Кошка"), (3, None)]


@pytest.mark.parametrize("servers", [Pair("mysql", "mariadb")], indirect=True, ids=str)
def test_a_character_set_that_the_local_server_does_not_know_arrives_in_utf8(rig: Rig) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.word (id int PRIMARY KEY, t text CHARACTER SET gb18030,"
        " s varchar(9) CHARACTER SET gb18030)",
        "INSERT INTO {lab}.word VALUES (1, '龙ü😀', '猫'), (2, NULL, '')",
    )
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(rig.document({"lab_a": {"lab": {"tables": {"*": {}}}}}))[1].succeeded
    local_rows = ask(
        rig.servers.local, f"SELECT * FROM `{rig.local_schema('lab_a', 'lab')}`.word ORDER BY id"
    )
    assert local_rows == [(1, "龙ü😀", "猫"), (2, None, "")]
