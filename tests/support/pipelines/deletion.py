"""A pipeline for tests of deletions: what its source requests, and what its lab approves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.reconcile.plan.actions import Delete
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from tests.support.rig import Rig, link_of
from tests.support.servers import PAIRS
from tests.support.sql import ask, run_all

on_all_pairs = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (name varchar(20) PRIMARY KEY, species varchar(9))",
    "CREATE TABLE {lab}.session (name varchar(20), n int, PRIMARY KEY (name, n),"
    " FOREIGN KEY (name) REFERENCES {lab}.subject (name))",
    "CREATE TABLE {lab}.session__trial (name varchar(20), n int, k int, PRIMARY KEY (name, n, k),"
    " FOREIGN KEY (name, n) REFERENCES {lab}.session (name, n))",
    "CREATE TABLE {lab}.spikes (id int PRIMARY KEY, name varchar(20), n int, k int,"
    " FOREIGN KEY (name, n, k) REFERENCES {lab}.session__trial (name, n, k))",
    "INSERT INTO {lab}.subject VALUES ('ann', 'mouse'), ('bob', 'mouse'), ('eve', 'rat')",
    "INSERT INTO {lab}.session VALUES ('ann', 1), ('ann', 2), ('bob', 1), ('eve', 1)",
    "INSERT INTO {lab}.session__trial SELECT name, n, 7 FROM {lab}.session",
    "INSERT INTO {lab}.spikes VALUES (1, 'ann', 1, 7), (2, 'bob', 1, 7), (3, NULL, NULL, NULL)",
)
ALL = {"tables": "*"}


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES)
    rig.accounts({"lab_a": ["lab"]})
    _, report = rig.apply(rig.document({"lab_a": {"lab": ALL}}))
    assert report.succeeded
    return rig


def document(rig: Rig, tables: Any = "*", **more: Any) -> dict[str, Any]:
    made = rig.document({"lab_a": {"lab": {"tables": tables}}}, **more)
    made["defaults"].update(more.get("defaults", {}), schema_name=rig.names("our_{source}_") + "{schema}")
    return made


def auto(rig: Rig, **more: Any) -> dict[str, Any]:
    return document(rig, defaults={"deletions": "auto", "max_deletions": "100%", **more})


def request(rig: Rig, table: str, key: str, reason: str = "bad data") -> None:
    """What an owner asks: the keys of the source's rows that meet a condition."""
    columns = {"subject": "name", "session": "name, n", "spikes": "id"}[table]
    asked = rig.outbound_table("lab", f"{table}_deletion_requested")
    rig.run(
        "lab_a",
        f"INSERT INTO {asked} ({columns}, reason)"
        f" SELECT {columns}, '{reason}' FROM {{lab}}.{table} WHERE {key}",
    )


def local(rig: Rig, table: str, what: str = "*") -> set[tuple[Any, ...]]:
    return set(rig.run("local", f"SELECT {what} FROM `{rig.local_schema('lab_a', 'lab')}`.{table}"))


def outbound(rig: Rig, table: str, what: str = "*") -> list[tuple[Any, ...]]:
    return sorted(rig.run("lab_a", f"SELECT {what} FROM {rig.outbound_table('lab', table)}"))


def of(rig: Rig, plan: Plan, table: str) -> LinkPlan:
    return link_of(plan, rig.address("lab_a", "lab", table))


def deletes(link: LinkPlan) -> list[Delete]:
    return [a for a in link.actions if isinstance(a, Delete)]


def approvals(rig: Rig, doc: dict[str, Any], by: str = "a.lee") -> tuple[Approval, ...]:
    with rig.job(doc) as job:
        return job.approved(job.plan(), by, "2026-11-24")[1]


def each_approval(rig: Rig, doc: dict[str, Any], by: str = "a.lee") -> tuple[Approval, ...]:
    """An approval of each link, also of those that go along with another one's."""
    with rig.job(doc) as job:
        plan = job.plan()
        return tuple(a for p in plan.links for a in job.approvals(plan, p.address, by, "2026-11-24"))


def entry(approval: Approval) -> dict[str, Any]:
    """An approval as it stands in a manifest."""
    return {
        "link": approval.link,
        "keys": approval.keys,
        "count": approval.count,
        "until": approval.until,
        "with": dict(approval.along),
        "by": approval.by,
        "date": approval.date,
    }


def with_approvals(doc: dict[str, Any], given: Sequence[Approval]) -> dict[str, Any]:
    return {**doc, "approvals": [entry(a) for a in given]}


def own_table(rig: Rig, refers: str = "subject (name)", rule: str = "RESTRICT") -> str:
    """A table of the lab's own that refers to a linked one; its name, quoted."""
    schema, local_schema = rig.names("own"), rig.local_schema("lab_a", "lab")
    ask(rig.servers.local, f"CREATE DATABASE `{schema}`")
    [(charset, collation)] = ask(  # which a foreign key needs; it is not the source's on another vendor
        rig.servers.local,
        "SELECT character_set_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = 'subject' AND column_name = 'name'",
        (local_schema,),
    )
    name = f"name varchar(20) CHARACTER SET {charset} COLLATE {collation}"
    columns = name if refers.startswith("subject") else f"{name}, n int"
    names = refers.partition("(")[2].rstrip(")")
    ask(
        rig.servers.local,
        f"CREATE TABLE `{schema}`.fit (id int PRIMARY KEY, {columns},"
        f" FOREIGN KEY ({names}) REFERENCES `{local_schema}`.{refers} ON DELETE {rule})",
    )
    return f"`{schema}`.fit"
