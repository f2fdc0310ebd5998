"""Links and observations, made from few words, for the tests of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.model.links.entity import Presence
from djlink_manifest.model.links.graph import Edge, LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LateKey
from djlink_manifest.model.server.catalog import Size
from djlink_manifest.model.stores.external import ObjectCounts
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition
from djlink_manifest.model.tables.owner_views import OwnerView
from djlink_manifest.reconcile.plan.observation import Head, Observation
from djlink_manifest.reconcile.plan.plan import Plan, make
from djlink_manifest.reconcile.state.deletion_requests import (
    Closure,
    DeletionFacts,
    LabRows,
    LinkDeletions,
    RequestSet,
    moment,
)
from djlink_manifest.reconcile.state.snapshot import (
    Alteration,
    BlockedKey,
    ColumnChange,
    EntityClass,
    LinkSnapshot,
    LinkTables,
    PartRows,
    Refusal,
    ServerFacts,
    TableChange,
)

LETTERS = "SOLRA"
Side = Literal["outbound", "local"]


def table(name: str) -> TableDefinition:
    """A table `schema.table` with one key column."""
    schema, _, bare = name.partition(".")
    return TableDefinition(schema, bare, (Column("id", "int"),), ("id",))


def link(
    address: str,
    *,
    unwanted: Literal["keep", "release"] = "keep",
    changed: Literal["report", "mend"] = "report",
    deletions: Literal["review", "auto"] = "review",
    plain: Iterable[str] = (),
    unseen: Iterable[tuple[str, str]] = (),
    line: int = 1,
) -> Link:
    """A link of that address."""
    source, schema, name = address.split(".")
    return Link(
        address=address,
        source=source,
        definition=table(f"{schema}.{name.lower()}"),
        local=table(f"{source}_{schema}.{name.lower()}"),
        outbound_schema="out",
        outbound_table=f"{schema}_{name.lower()}",
        references=(),
        plain=tuple(plain),
        where=None,
        pull="all",
        unwanted=unwanted,
        deletions=deletions,
        location=Location("atlas.yaml", line, 1),
        changed=changed,
        unseen=tuple(unseen),
    )


def entity_class(words: str) -> EntityClass:
    """`SOL unwanted`: where the entity is, what is asked of it; then `unwanted`, `barred` or neither."""
    letters, *flags = words.split()
    assert set(letters) <= set(LETTERS), words
    assert set(flags) <= {"unwanted", "barred"}, words
    presence = Presence(*(letter in letters for letter in LETTERS))
    free = not presence.requested and not presence.approved
    return EntityClass(presence, wanted="unwanted" not in flags, pullable=not flags and free)


def snapshot(facts: Mapping[str, Any]) -> LinkSnapshot:
    """What was counted of a link."""
    counts = {entity_class(words): count for words, count in facts.get("counts", {}).items()}
    return LinkSnapshot(
        counts,
        source_rows=sum(n for e, n in counts.items() if e.presence.source),
        outbound_rows=sum(n for e, n in counts.items() if e.presence.outbound),
        local_rows=sum(n for e, n in counts.items() if e.presence.local),
        to_pull_parts=tuple(facts.get("parts", {}).items()),
        to_pull_bytes=facts.get("bytes", 0),
        equal=facts.get("equal", 0),
        taken=tuple(facts.get("taken", {}).items()),
        blocked_by_parent=tuple(facts.get("waiting", {}).items()),
        parts=tuple(PartRows(part, *rows) for part, rows in facts.get("held_parts", {}).items()),
        changed=facts.get("changed"),
        lost=facts.get("lost", 0),
        missing_objects=facts.get("lacking", 0),
        to_pull_objects=ObjectCounts(*facts.get("objects", ())),
    )


def footing(facts: Mapping[str, Any]) -> LinkTables:
    """What stands of a link."""
    new = facts.get("new", False)
    unmarked = facts.get("unmarked", ["outbound", "local"] if new else [])
    return LinkTables(
        link_id=None if new else "0a1b",
        mark_outbound="outbound" in unmarked,
        mark_local="local" in unmarked,
        make_outbound=tuple(map(table, facts.get("make_outbound", []))),
        make_local=tuple(map(table, facts.get("make_local", []))),
        add_foreign_keys=tuple(map(late_key, facts.get("add_foreign_keys", []))),
        drift=tuple(facts.get("drift", [])),
        make_views=tuple(map(view, facts.get("make_views", []))),
        views_why="the owner views are missing",
        alter_local=tuple(
            Alteration(name, tuple((Column(*words.split(" ", 1)), None) for words in columns))
            for name, columns in facts.get("alter_local", {}).items()
        ),
        change_local=tuple(
            TableChange(name, tuple(map(column_change, changes)), None, "copy", Size(9, 100))
            for name, changes in facts.get("change_local", {}).items()
        ),
        unrecorded=facts.get("unrecorded", False),
        refill=facts.get("refill"),
        redefined=facts.get("redefined", False),
        remade=facts.get("remade", False),
    )


def column_change(words: str) -> ColumnChange:
    """The change of a column's type: `v int to bigint`."""
    name, before, _, after = words.split(" ")
    return ColumnChange(Column(name, before), Column(name, after))


def late_key(name: str) -> LateKey:
    """A foreign key of a local table to a parent that was linked later."""
    key = ForeignKey("fk", ("id",), "a_lab", "rig", ("id",))
    stands = TableDefinition("l", name.rpartition(".")[2], (Column("id", "int", nullable=True),), ("id",))
    return LateKey(stands, key, "a.lab.Rig")


def view(name: str) -> OwnerView:
    """An owner's view."""
    return OwnerView("held", "out_owner", name, "out", "t", ("id",), ("id", "pulled_at"))


def deletions(said: Mapping[str, Any]) -> LinkDeletions:
    """What was observed of a link's deletions; requests of each hour are told by their number."""
    requested = {int(hour): request_set(int(hour), each) for hour, each in said.get("waiting", {}).items()}
    return LinkDeletions(
        granted=closure(said.get("granted", {})),
        requested=requested[max(requested)] if requested else RequestSet("sha256:00", 0, None, Closure()),
        earlier={hour_text(hour): each for hour, each in requested.items()},
        unnoted=said.get("unnoted", 0),
        overdue=said.get("overdue", 0),
        unwanted=closure(said.get("unwanted", {})),
        root=said.get("root"),
    )


def request_set(hour: int, said: Mapping[str, Any]) -> RequestSet:
    """The open requests until an hour of one day."""
    count = said.get("count", 0)
    return RequestSet(f"sha256:{count:02x}", count, moment(hour_text(hour)), closure(said))


def closure(said: Mapping[str, Any]) -> Closure:
    """What goes along with some entities, and what holds them back."""
    along = tuple(said.get("along", {}).items())
    lab = tuple(LabRows(table, rows, "drop it") for table, rows in said.get("lab", {}).items())
    return Closure(said.get("here", 0), along, (), said.get("held", 0), lab, along)


def approval(said: Mapping[str, Any]) -> Approval:
    """An approval of the requests until an hour."""
    count = said["count"]
    return Approval.model_construct(
        link=said["link"],
        keys=f"sha256:{said.get('keys', count):02x}",
        count=count,
        until=hour_text(said["until"]),
        along=tuple(said.get("with", {}).items()),
        by="a.lee",
        date="2026-11-20",
        origin=Origin.outside(Location("approvals.yaml", 3, 5)),
    )


def hour_text(hour: int) -> str:
    """An hour of the day on which all requests are made."""
    return f"2026-11-20T{hour:02}:00:00Z"


def observation(
    facts: Mapping[str, Mapping[str, Any]],
    refusals: Iterable[Refusal] = (),
    unreachable: Iterable[str] = (),
    approvals: Iterable[Mapping[str, Any]] = (),
) -> Observation:
    """What was observed of all links."""
    sources = tuple(ServerFacts(name, f"{name}.example", problem="no route to host") for name in unreachable)
    return Observation(
        Head("atlas", "d1" * 32, ("atlas.yaml",), ServerFacts("local", "db.example"), sources),
        {address: footing(each) for address, each in facts.items()},
        {address: snapshot(each) for address, each in facts.items()},
        tuple(refusals),
        deletions=DeletionFacts(
            {a: deletions(each["deletions"]) for a, each in facts.items() if "deletions" in each},
            {a: each["lately"] for a, each in facts.items() if "lately" in each},
        ),
        approvals=tuple(map(approval, approvals)),
        blocked_keys={
            a: tuple(BlockedKey(late_key(name), rows) for name, rows in each["blocked_keys"].items())
            for a, each in facts.items()
            if "blocked_keys" in each
        },
    )


def planned(case: dict[str, Any]) -> Plan:
    """The plan that a case's links and facts make."""
    links = [
        link(
            address,
            unwanted=said.get("unwanted", "keep"),
            changed=said.get("changed", "report"),
            deletions=said.get("deletions", "review"),
            plain=said.get("plain", []),
            line=number,
        )
        for number, (address, said) in enumerate(case["links"].items(), start=1)
    ]
    edges = [
        Edge(child, parent, kind)
        for child, said in case["links"].items()
        for parent, kind in said.get("needs", {}).items()
    ]
    refusals = [
        Refusal(address, reason)
        for address, reasons in case.get("refusals", {}).items()
        for reason in reasons
    ]
    seen = observation(case["facts"], refusals, case.get("unreachable", []), case.get("approvals", []))
    return make(links, LinkGraph.build(case["links"], edges), seen)
