"""Keys of two servers compared: at a glance, by digests, by hash buckets, and one by one at worst."""

from __future__ import annotations

from typing import Any

import pytest
from pymysql.connections import Connection

from djlink_manifest.model.links.entity import Presence
from djlink_manifest.reconcile.job import Job
from djlink_manifest.reconcile.plan.actions import Pull, Register
from djlink_manifest.reconcile.state.snapshot import EntityClass
from djlink_manifest.servers.compare import bulk_check, key_diff
from djlink_manifest.servers.keys.key_table import key_table
from djlink_manifest.servers.sql import Sql
from tests.support.rig import Rig, link_of
from tests.support.servers import PAIRS
from tests.support.sql import ask, run_all
from tests.support.statements import Statement, once, watched

ALL = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
# every type that a key has in DataJoint's tables, and texts that a careless separator would mix up
KEY = "name, day, at, uid, mode, price, n"
TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.run (name varchar(20) COLLATE utf8mb4_general_ci, day date, at datetime(3),"
    " uid binary(16), mode enum('é', 'b|c', ''), price decimal(9,3), n smallint unsigned, v int,"
    f" PRIMARY KEY ({KEY}))",
    "INSERT INTO {lab}.run VALUES ('a|b', '2026-01-02', '2026-01-02 03:04:05.678', X'00FF', 'é', -1.5, 7, 1),"
    " ('a', '2026-01-02', '0001-01-01 00:00:00', X'7C', 'b|c', 0, 0, 1), ('', '9999-12-31', '2026-01-02',"
    " X'', '', 999999.999, 65535, 1), ('Ä~\\0''\\\\', '2026-01-02', '2026-01-02', X'FF', 'é', 1, 1, 1)",
    "CREATE TABLE {lab}.one (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.one__part (id int, p int, PRIMARY KEY (id, p),"
    " FOREIGN KEY (id) REFERENCES {lab}.one (id))",
    "INSERT INTO {lab}.one VALUES (1), (2), (3), (4)",
    "INSERT INTO {lab}.one__part VALUES (1, 1), (1, 2), (2, 1)",
    *(f"CREATE TABLE {{lab}}.more{n} (id int PRIMARY KEY)" for n in range(6)),
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(document(rig))[1].succeeded
    return rig


def document(rig: Rig) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": ["*"]}}})


def locally(rig: Rig, text: str) -> None:
    ask(rig.servers.local, text.replace("@here", f"`{rig.local_schema('lab_a', 'lab')}`"))


def found(job: Job, rig: Rig, table: str) -> tuple[bool, int, int, set[Any], set[Any]]:
    """Whether the digests agree, their counts, and the keys that are missing and extra."""
    link = next(link for link in job.links if link.address == rig.address("lab_a", "lab", table))
    with (
        job.context.local.readers.session() as local,
        job.context.sources["lab_a"].readers.session() as source,
        key_table(source, link, "missing") as missing,
        key_table(source, link, "extra") as extra,
    ):
        seen = key_diff.side_digests(local, source, link)
        key_diff.compare_keys(local, source, link, missing, extra, seen)
        lacks, more = (set(keys.keys(1, keys.count)) for keys in (missing, extra))
        return seen.agree, seen.local.count, seen.source.count, lacks, more


@ALL
def test_equal_keys_of_every_type_have_equal_digests_and_a_changed_one_is_found(lab: Rig) -> None:
    with lab.job(document(lab)) as job:
        assert found(job, lab, "Run") == (True, 4, 4, set(), set())
        assert found(job, lab, "More0") == (True, 0, 0, set(), set())
        for column, value in (
            ("name", "'a|B'"),
            ("day", "'2026-01-03'"),
            ("at", "'2026-01-02 03:04:05.679'"),
            ("uid", "X'00FE'"),
            ("mode", "'b|c'"),
            ("price", "-1.501"),
            ("n", "8"),
        ):
            locally(lab, f"UPDATE @here.run SET {column} = {value} WHERE v = 1 AND name LIKE 'a|b'")
            agree, own, source, missing, extra = found(job, lab, "Run")
            assert (agree, own, source, len(missing), len(extra)) == (False, 4, 4, 1, 1), column
            [gone], [new] = missing, extra
            assert gone != new
            locally(lab, f"UPDATE @here.run SET {column} = {_original(column)} WHERE name LIKE 'a|b'")
        assert found(job, lab, "Run")[0]


def _original(column: str) -> str:
    return {
        "name": "'a|b'",
        "day": "'2026-01-02'",
        "at": "'2026-01-02 03:04:05.678'",
        "uid": "X'00FF'",
        "mode": "'é'",
        "price": "-1.5",
        "n": "7",
    }[column]


def test_what_buckets_do_not_show_is_found_by_comparing_every_key(
    lab: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    locally(lab, "UPDATE @here.one SET id = 9 WHERE id = 4")
    monkeypatch.setattr(key_diff, "check", lambda key: Sql("0"))
    monkeypatch.setattr(key_diff, "bucket", lambda key, buckets: Sql("0"))
    with lab.job(document(lab)) as job:
        assert found(job, lab, "One") == (False, 4, 4, {(b"4",)}, {(b"9",)})


@ALL
def test_a_few_missing_and_extra_keys_make_every_class_of_entities(lab: Rig) -> None:
    run_all(lab, "INSERT INTO {lab}.one VALUES (5), (6)", "INSERT INTO {lab}.one__part VALUES (6, 1)")
    locally(lab, "DELETE FROM @here.one__part WHERE id = 1")
    locally(lab, "DELETE FROM @here.one WHERE id = 1")
    locally(lab, "INSERT INTO @here.one VALUES (5), (77)")
    with lab.job(document(lab)) as job:
        job.plan()
        snapshot = job.observed.snapshots[lab.address("lab_a", "lab", "One")]
    wanted = {"wanted": True, "pullable": True}
    assert snapshot.counts == {
        EntityClass(Presence(True, True, True, False, False), **wanted): 3,
        EntityClass(Presence(True, True, False, False, False), **wanted): 1,
        EntityClass(Presence(True, False, True, False, False), **wanted): 1,
        EntityClass(Presence(True, False, False, False, False), **wanted): 1,
        EntityClass(Presence(False, False, True, False, False), wanted=False, pullable=False): 1,
    }


def test_the_statements_of_a_plan_grow_with_servers_and_not_with_links(lab: Rig) -> None:
    def statements(*tables: str) -> int:
        targets = [lab.address("lab_a", "lab", table) for table in tables]
        with watched(prefix=lab.names("")) as seen:
            assert len(lab.plan(document(lab), targets=targets).links) == (len(tables) or 8)
        return len(seen)

    assert statements() == statements("One", "More1")


def test_a_plan_opens_as_many_sessions_as_links_go_at_the_same_time_and_no_more_for_more_links(
    lab: Rig,
) -> None:
    locally(lab, "DELETE FROM @here.one WHERE id > 2")  # looked at by itself, as the others are to be pulled
    run_all(lab, *(f"INSERT INTO {{lab}}.more{n} VALUES (1), (2)" for n in range(6)))
    for parallelism in (1, 3):
        with watched(prefix=lab.names("")) as seen:
            lab.plan(document(lab), parallelism=parallelism)
        for server in (lab.servers.lab_a, lab.servers.local):
            sessions = {s.session for s in seen if s.port == server.port}
            assert len(sessions) <= parallelism, (server.name, parallelism)


def test_links_of_several_sources_are_seen_in_several_statements_each(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"lab_a": "run", "lab_b": "more5"}
    for name in both:
        run_all(rig, *TABLES, server=name)
    rig.accounts({name: ["lab"] for name in both})
    asked = rig.document({name: {"lab": {"tables": "*"}} for name in both})
    assert rig.apply(asked)[1].succeeded
    run_all(rig, "DELETE FROM {outbound}.{lab}_run".replace("{lab}", rig.names("lab")))
    run_all(rig, "INSERT INTO {lab}.more5 VALUES (1)", server="lab_b")
    monkeypatch.setattr(bulk_check, "TABLES_AT_ONCE", 3)
    with watched(prefix=rig.names("")) as seen:
        plan = rig.plan(asked)
    for server in (rig.servers.lab_a, rig.servers.lab_b):
        at_once = [
            s for s in seen if s.port == server.port and " UNION ALL " in s.text and "BIT_XOR" in s.text
        ]
        assert len(at_once) == 3, "nine tables, three at once"
    changed = {link.address.split(".")[0]: link for link in plan.links if link.actions}
    assert {name: link.address.rpartition(".")[2].lower() for name, link in changed.items()} == both
    assert [type(a) for link in changed.values() for a in link.actions] == [Register, Pull]


@ALL
def test_an_empty_plan_moves_few_bytes_in_few_statements(lab: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    came, read = list[int](), Connection._read_bytes  # type: ignore[attr-defined]  # in no stub

    def counted(connection: Any, size: int) -> Any:
        came.append(size)
        return read(connection, size)

    monkeypatch.setattr(Connection, "_read_bytes", counted)
    with watched(prefix=lab.names("")) as seen:
        lab.plan(document(lab))
    moved = sum(came) + sum(statement.size for statement in seen)
    assert moved < 8 * 12 * 1024  # of 8 links, one with a key of 7 columns
    assert len(seen) < 45


def test_a_link_that_cannot_be_read_is_named_and_the_others_are_planned(lab: Rig) -> None:
    def at_a_glance(statement: Statement) -> bool:
        return statement.port == lab.servers.lab_a.port and "BIT_XOR" in statement.text

    def rename(statement: Statement) -> None:
        run_all(lab, "RENAME TABLE {lab}.more3 TO {lab}.gone")

    with watched(once(at_a_glance, rename), prefix=lab.names("")):
        plan = lab.plan(document(lab))
    blocked = {link.address for link in plan.links if link.blocked}
    assert blocked == {lab.address("lab_a", "lab", "More3")}
    [told] = link_of(plan, *blocked).blocked
    assert "more3" in told.reason
    assert link_of(plan, lab.address("lab_a", "lab", "One")).local_rows == 4
