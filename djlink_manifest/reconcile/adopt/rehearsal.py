"""Taking over tables that carry another mark or none: what would be taken, or why it is not. Pure.

To adopt is to write marks and nothing else. What then follows (tables to complete, rows to register) is an
ordinary plan, over the catalogues as they will be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.next_steps import command
from djlink_manifest.model.server.catalog import Catalog, Mark
from djlink_manifest.model.server.epochs import Verdict, judged, next_epoch
from djlink_manifest.model.tables.compare import differences
from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition
from djlink_manifest.model.tables.derive import outbound_definitions
from djlink_manifest.reconcile.diff.epochs import missing_columns
from djlink_manifest.reconcile.diff.link_tables import CatalogPair
from djlink_manifest.reconcile.plan.actions import AlterLocal, CreateLocal
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.state.snapshot import LinkSnapshot, Refusal

_SAME_RULE = {"NO ACTION": "RESTRICT"}  # InnoDB makes no difference
CREATED_FOR = "the local server that it was created for"
_BEFORE: Mapping[Verdict, str] = {
    "other": "the local server that applied last",
    "remade": "the local server that applied last, if it is another one",
}
REVIEW = "correct the table, or rename it; djlink does not alter or drop tables to make them match"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A link whose tables are taken over.

    `outbound` and `local` are the marks to be written, `outbound_before` and `local_before` those that they
    replace, None for none; `stands` tells which tables of the two sides stand, as `schema.table` names;
    `notes` say what else comes of it.
    """

    address: str
    source: str
    outbound: Mark
    local: Mark
    outbound_before: Mark | None
    local_before: Mark | None
    stands: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def is_marked(self) -> bool:
        """Whether both marks are this link's already, and only its local server is to be confirmed."""
        before = (self.outbound_before, self.local_before)
        return all(m is not None and m.link_id == self.outbound.link_id for m in before)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an adoption would do: the marks, and the plan as it will be then, None where nothing is taken.

    `right` are the links asked for whose marks are as they shall be.
    """

    adoptions: tuple[Adoption, ...]
    refusals: tuple[Refusal, ...]
    right: tuple[str, ...]
    plan: Plan | None


def adoption(
    link: Link, catalogs: CatalogPair, contact: str, given_up: str | None
) -> Adoption | Refusal | None:
    """The adoption of a link's tables, why it is refused, or None where there is nothing to take over.

    `given_up` names another manifest whose tables may be taken although it is of another local server.
    """
    source_mark = catalogs.source.mark(link.outbound_schema, link.outbound_table)
    local_mark = catalogs.local.mark(link.local.schema, link.local.name)
    stands = tuple(_existing(link, catalogs))
    if not (stands or source_mark or local_mark) or _is_right(
        link, catalogs, source_mark, local_mark, stands
    ):
        return None
    refusal = next(_refusals(link, catalogs, source_mark, local_mark, given_up), None)
    if refusal is not None:
        return refusal
    marks = [m for m in (source_mark, local_mark) if m is not None]
    epoch = next_epoch(e for m in marks for e in (m.epoch, m.epoch_next))
    new_mark = catalogs.new_mark(link, contact)
    without = missing_columns(catalogs.source, link.outbound_schema, catalogs.local, link.local.schema)
    if without.get("source", True):  # else its marks cannot hold an epoch, and the local one gets none
        new_mark = replace(new_mark, epoch=epoch, identity=catalogs.identity)
    return Adoption(
        link.address,
        link.source,
        _with_history(new_mark, source_mark),
        local=_with_history(replace(new_mark, table_name=link.local.name), local_mark),
        outbound_before=source_mark,
        local_before=local_mark,
        stands=stands,
        notes=tuple(_notes(link, catalogs, source_mark, local_mark)),
    )


def _with_history(mark: Mark, before: Mark | None) -> Mark:
    """The mark with what the one before says of definitions, so that what changed since is seen."""
    if before is None:
        return mark
    return replace(
        mark, definition=before.definition, refill=before.refill, made=before.made, remade=before.remade
    )


def rehearsal(
    found: Mapping[str, Adoption | Refusal | None],
    planned: Callable[[Sequence[Adoption]], tuple[Plan, Mapping[str, LinkSnapshot]]],
) -> Rehearsal:
    """What there is to do of what was found; `planned` plans as if adoptions were made, and observes.

    Adoptions whose keys do not fit are refused; the plan is the one without them.
    """
    refusals = [r for r in found.values() if isinstance(r, Refusal)]
    right = tuple(address for address, each in found.items() if each is None)
    taken = [a for a in found.values() if isinstance(a, Adoption)]
    while taken:
        plan, snapshots = planned(taken)
        plans = {p.address: p for p in plan.links}
        found_unfit = (unfit(plans[a.address], snapshots.get(a.address), marked=a.is_marked) for a in taken)
        no = [r for r in found_unfit if r is not None]
        if not no:
            return Rehearsal(tuple(taken), tuple(refusals), right, plan)
        refusals += no
        taken = [a for a in taken if a.address not in {r.address for r in no}]
    return Rehearsal((), tuple(refusals), right, None)


def adopted(catalog: Catalog, schema: str, mark: Mark) -> Catalog:
    """The catalogue as it will be when the mark stands in the schema."""
    before = catalog.marks.get(schema, ())
    kept = (m for m in before if m.table_name != mark.table_name and m.link_id != mark.link_id)
    return replace(catalog, marks={**catalog.marks, schema: (*kept, mark)})


def unfit(plan: LinkPlan, snapshot: LinkSnapshot | None, *, marked: bool = False) -> Refusal | None:
    """Why a link is not adopted after its keys were compared, or None where they fit.

    `marked`: both marks are of this link, so the rows are known to be the source's.
    """
    blocks = [b for b in plan.blocked if b.whole]
    if blocks:
        above = [b for b in blocks if b.kind == "upstream"]
        hint = "adopt them in the same command, or resolve their problems first" if above else blocks[0].hint
        return Refusal(plan.address, "; ".join(b.reason for b in blocks), hint, plan.location)
    if snapshot is None:
        raise ValueError(f"{plan.address} has no observation and no refusal")
    if not snapshot.local_rows or marked or _known(plan, snapshot):
        return None
    return Refusal(
        plan.address,
        f"none of its {snapshot.local_rows:,} local rows is held or equals a source row, so the rows do not "
        "come from this source table",
        "check `host`, `port` and the source's schema, or choose another local schema (`schema_name`)",
        plan.location,
    )


def _known(plan: LinkPlan, snapshot: LinkSnapshot) -> bool:
    """Whether any local entity is known to be the source's: held, or equal.

    Where tables are to be made or altered first, rows were not compared, and keys have to do.
    """
    unlike = any(isinstance(a, AlterLocal) or (isinstance(a, CreateLocal) and a.tables) for a in plan.actions)
    on_both = [c.presence for c, n in snapshot.counts.items() if n and c.presence.local and c.presence.source]
    return bool(snapshot.equal) or any(p.outbound or unlike for p in on_both)


def _existing(link: Link, catalogs: CatalogPair) -> Iterator[tuple[str, str]]:
    """The tables that stand, as (server, `schema.table`) pairs; a ledger of an earlier life is none."""
    *beside, _ = outbound_definitions(link.definition, link.outbound_schema, link.outbound_table)
    for catalog, server, tables in (
        (catalogs.source, link.source, beside),
        (catalogs.local, "local", link.local.tables),
    ):
        for table in tables:
            if (table.schema, table.name) in catalog.tables:
                yield server, f"{table.schema}.{table.name}"


def _is_right(
    link: Link,
    catalogs: CatalogPair,
    source_mark: Mark | None,
    local_mark: Mark | None,
    stands: tuple[tuple[str, str], ...],
) -> bool:
    """Whether every side that stands is marked as this link's."""
    place = (link.local.schema, link.local.name)
    expected = (catalogs.link_id(link), catalogs.manifest, *place)
    servers = {server for server, _ in stands}
    for mark, server in ((source_mark, link.source), (local_mark, "local")):
        if mark is None and server in servers:
            return False
        if mark is not None and expected != (
            *(mark.link_id, mark.manifest),
            *(mark.local_schema, mark.local_table),
        ):
            return False
    if judged(source_mark, local_mark, catalogs.server) != "own":
        return False
    return source_mark is not None or local_mark is None or local_mark.definition is None


def _refusals(
    link: Link, catalogs: CatalogPair, source_mark: Mark | None, local_mark: Mark | None, given_up: str | None
) -> Iterator[Refusal]:
    def refusal(words: str, hint: str) -> Refusal:
        return Refusal(link.address, words, hint, link.location)

    local_place = (link.local.schema, link.local.name)
    for mark in filter(None, (source_mark, local_mark)):
        place = f"{mark.source_schema}.{mark.source_table}"
        if (mark.source_schema, mark.source_table) != (link.definition.schema, link.definition.name):
            yield refusal(
                f"its tables belong to another link, {place}, according to the mark of `{mark.manifest}`",
                "choose other tables with `outbound_table` or `schema_name`",
            )
        stranger = mark.manifest != catalogs.manifest and not catalogs.server.is_named_by(mark)
        if stranger and mark.manifest != given_up:
            who = f" ({mark.contact})" if mark.contact else ""
            yield refusal(
                f"its tables belong to the manifest `{mark.manifest}`{who} of another local server, "
                f"`{mark.local_server}`; that lab would lose the protection of its rows",
                "ask that lab; if it has given up the link: "
                f"{command('adopt', link.address, '--from', mark.manifest)}",
            )
        if (mark.local_schema, mark.local_table) != local_place and local_place not in catalogs.local.tables:
            yield refusal(
                f"its local table is {mark.local_schema}.{mark.local_table}; "
                f"{'.'.join(local_place)} does not exist",
                "restore the former `schema_name`, or rename the local tables and their parts first",
            )
    beside = outbound_definitions(link.definition, link.outbound_schema, link.outbound_table)
    for words in _misfits(beside, catalogs.source, True):
        yield refusal(words, REVIEW)
    if (
        local_mark is None or local_mark.definition is None
    ):  # else what changed is judged by the footing, with its history
        for words in _misfits(link.local.tables, catalogs.local, False):
            yield refusal(words, REVIEW)


def _misfits(tables: tuple[TableDefinition, ...], catalog: Catalog, keyed: bool) -> Iterator[str]:
    """How tables that stand do not fit. `keyed`: their foreign keys must stand, with their rules."""
    for expected in tables:
        found = catalog.tables.get((expected.schema, expected.name))
        if found is None:
            continue
        let_go = {"extra", "more", "index"} | (set() if keyed else {"foreign key"})
        words = [d.words for d in differences(expected, found) if d.kind not in let_go]
        words += [w for key in expected.foreign_keys if keyed for w in _other_rule(key, found)]
        if found.engine.lower() != "innodb" or found.kind != "table":
            words.append(f"it is not an InnoDB table ({found.engine or found.kind})")
        if words:
            yield f"{found.schema}.{found.name} on {catalog.server} does not match: {'; '.join(words)}"


def _other_rule(expected: ForeignKey, found: TableDefinition) -> Iterator[str]:
    for key in found.foreign_keys:
        pairs = set(zip(key.columns, key.parent_columns, strict=True))
        same = (key.parent_schema, key.parent_table) == (expected.parent_schema, expected.parent_table)
        if same and pairs == set(zip(expected.columns, expected.parent_columns, strict=True)):
            rule = _SAME_RULE.get(key.on_delete, key.on_delete)
            if rule != expected.on_delete:
                yield f"its foreign key has ON DELETE {rule}, not {expected.on_delete}"


def _notes(
    link: Link, catalogs: CatalogPair, source_mark: Mark | None, local_mark: Mark | None
) -> Iterator[str]:
    marks = [m for m in (source_mark, local_mark) if m is not None]
    others = [m for m in marks if not catalogs.server.is_named_by(m)]
    verdict = judged(source_mark, local_mark, catalogs.server)
    if others or verdict not in ("own", "older source"):
        server = (others or marks)[0].local_server
        yield (
            f"{_BEFORE.get(verdict, CREATED_FOR)}, `{server}`, is refused from then on; rows that it holds "
            "and this server lacks are pulled or released"
        )
    elif verdict == "older source":
        yield (
            "the source's mark is older than the local one; rows that are held no longer are protected again "
            "where they equal their source rows"
        )
    if local_mark is not None and local_mark.outbound_schema != link.outbound_schema:
        yield f"rows that the outbound schema `{local_mark.outbound_schema}` holds for it stay held there"
    if source_mark is None and local_mark is not None and local_mark.definition is not None:
        yield (
            f"its local rows are not protected on {link.source}; rows that equal their source rows will be "
            "protected"
        )
