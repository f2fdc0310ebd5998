"""Compare a link's required tables, marks and privileges with both catalogs.

Pure: catalogues → footing or refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LateKey, local_rules
from djlink_manifest.model.next_steps import command
from djlink_manifest.model.server.catalog import Catalog, Mark, TableName, link_id
from djlink_manifest.model.server.epochs import LocalServer, judged, local_server
from djlink_manifest.model.server.rights import (
    LOCAL_RIGHTS,
    OUTBOUND_RIGHTS,
    PULLING_RIGHTS,
    SOURCE_RIGHTS,
    grant,
    missing,
)
from djlink_manifest.model.tables.compare import differences
from djlink_manifest.model.tables.definition import unlike_a_table
from djlink_manifest.model.tables.derive import outbound_definitions
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.model.vendors.versions import ends_in_2038
from djlink_manifest.reconcile.diff.constraint_names import with_check_names, with_free_name, with_free_names
from djlink_manifest.reconcile.diff.epochs import epoch_state, missing_columns
from djlink_manifest.reconcile.diff.hidden_parts import hidden_parts, hidden_problems
from djlink_manifest.reconcile.diff.local_tables import (
    LocalDrift,
    keys_agree,
    local_drift,
    relink_with_key,
)
from djlink_manifest.reconcile.diff.owner_views import views_to_make
from djlink_manifest.reconcile.diff.renamed import protects_another, rename_hint
from djlink_manifest.reconcile.state.snapshot import Forgotten, LinkTables, Refusal

NO_TABLES: Mapping[TableName, str] = {}


@dataclass(frozen=True, slots=True)
class CatalogPair:
    """What all links of one manifest stand on: its name and contact, and the two catalogues.

    `identity` is what the manifest calls the local server.
    """

    manifest: str
    source: Catalog
    local: Catalog
    contact: str = ""
    identity: str | None = None

    @property
    def server(self) -> LocalServer:
        """The local server as marks name it."""
        return local_server(self.local.identity, self.identity)

    def link_id(self, link: Link) -> str:
        """The id that the link's marks carry: that of a mark which stands, else one made from its place."""
        place = (self.manifest, link.definition.schema, link.definition.name, link.outbound_schema)
        for mark in (_source_mark(link, self), _local_mark(link, self)):
            if mark is not None and place == (
                *(mark.manifest, mark.source_schema, mark.source_table),
                mark.outbound_schema,
            ):
                return mark.link_id
        return link_id(self.manifest, self.server.fingerprint, (place[1], place[2]), link.outbound_schema)

    def new_mark(self, link: Link, contact: str) -> Mark:
        """The mark of the link's outbound table, as it is written first."""
        return Mark(
            link_id=self.link_id(link),
            table_name=link.outbound_table,
            manifest=self.manifest,
            contact=contact,
            source_schema=link.definition.schema,
            source_table=link.definition.name,
            outbound_schema=link.outbound_schema,
            outbound_table=link.outbound_table,
            local_server=self.server.hostname,
            local_schema=link.local.schema,
            local_table=link.local.name,
            fingerprint=self.server.fingerprint,
        )


def compare_link(
    link: Link, catalogs: CatalogPair, linked: Mapping[TableName, str] = NO_TABLES
) -> LinkTables | Refusal:
    """The link's footing, or why no row comes; what bars deletions too counts first.

    `linked` are the local tables of all links, each with its link's address.
    """
    link = with_check_names(link, _local_mark(link, catalogs), catalogs.local)
    refusals = tuple(_refusals(link, catalogs))
    first = next((r for r in refusals if not r.only_pulls), next(iter(refusals), None))
    return first or _found(link, catalogs, linked)


def compare_for_deletions(link: Link, catalogs: CatalogPair) -> LinkTables | Refusal:
    """What a link of which no row comes has of tables and marks, or why nothing can be deleted either."""
    link = with_check_names(link, _local_mark(link, catalogs), catalogs.local)
    refusal = next((r for r in _refusals(link, catalogs) if not r.only_pulls), None)
    return refusal or _found(link, catalogs, NO_TABLES)


def _found(link: Link, catalogs: CatalogPair, linked: Mapping[TableName, str]) -> LinkTables:
    source_mark, local_mark = _source_mark(link, catalogs), _local_mark(link, catalogs)
    outbound = outbound_definitions(link.definition, link.outbound_schema, link.outbound_table)
    found_drift = local_drift(link, local_mark, catalogs.local)
    views, why = views_to_make(link, catalogs.source)
    # tables are pulled into once the source's mark is complete
    gone = source_mark is not None and source_mark.definition is not None and not _has_master(link, catalogs)
    return LinkTables(
        link_id=source_mark.link_id if source_mark else local_mark.link_id if local_mark else None,
        mark_outbound=source_mark is None or source_mark.definition is None,
        mark_local=local_mark is None or local_mark.definition is None,
        make_outbound=tuple(t for t in outbound if (t.schema, t.name) not in catalogs.source.tables),
        make_local=with_free_names(found_drift.make, catalogs.local),
        add_foreign_keys=tuple(_late_keys(link, found_drift, linked, catalogs.local)),
        drift=tuple(found_drift.notes),
        alter_local=tuple(found_drift.alter),
        change_local=tuple(found_drift.change),
        unrecorded=found_drift.unrecorded,
        refill=found_drift.refill,
        redefined=found_drift.redefined,
        make_views=views,
        views_why=why,
        rules=local_rules(link, catalogs.local.tables, linked, until_2038=_until_2038(catalogs)),
        remade=gone or (local_mark is not None and local_mark.remade),
        mark=_mark_for(link, source_mark, catalogs),
        new_schema=link.local.schema not in catalogs.local.all_schemas,
        foreign_parts=tuple(found_drift.foreign),
        epochs=epoch_state(
            source_mark,
            local_mark,
            catalogs.server,
            missing_columns(catalogs.source, link.outbound_schema, catalogs.local, link.local.schema),
        ),
        server=catalogs.server,
    )


def _mark_for(link: Link, source_mark: Mark | None, catalogs: CatalogPair) -> Mark:
    """The mark that is written of the link's tables: what the source has, or a new one."""
    if source_mark is None:
        return catalogs.new_mark(link, catalogs.contact)
    if has_no_local(source_mark, catalogs.local):
        return replace(source_mark, local_schema=link.local.schema, local_table=link.local.name)
    return source_mark


def has_no_local(source_mark: Mark, local: Catalog) -> bool:
    """Whether no local table was ever made for a mark at the source, so that another place may be named.

    It was written by an apply that was interrupted, or that lost the local table to another manifest.
    """
    at = local.mark(source_mark.local_schema, source_mark.local_table)
    begun = source_mark.definition is not None or source_mark.epoch is not None
    return not begun and (at is None or at.link_id != source_mark.link_id)


def _until_2038(catalogs: CatalogPair) -> bool:
    """Whether a TIMESTAMP of the source may be later than any that the local server can hold."""
    source, local = (each.identity.version for each in (catalogs.source, catalogs.local))
    return ends_in_2038(local) and not ends_in_2038(source)


def holding(link: Link, catalogs: CatalogPair) -> bool:
    """Whether the link holds rows that can be asked for, whatever else may be amiss with it.

    Its outbound table stands, is its own, and may be read like the source tables.
    """
    mark = _source_mark(link, catalogs)
    found = catalogs.source.tables.get((link.outbound_schema, link.outbound_table))
    return (
        mark is not None
        and mark.link_id == catalogs.link_id(link)
        and judged(mark, _local_mark(link, catalogs), catalogs.server) != "other"
        and found is not None
        and found.key == link.key
        and not any(_foreign(link, catalogs))
        and not any(
            missing(catalogs.source.grants, ("SELECT",), table.schema, table.name)
            for table in (*link.definition.tables, found)
        )
    )


def forgotten(
    links: tuple[Link, ...],
    catalogs: CatalogPair,
    outbound: str,
    declared_schemas: Set[str],
    moving: Set[str] = frozenset(),
    refused: Set[str] = frozenset(),
) -> Iterator[Forgotten]:
    """Links that this manifest made on the source and declares no longer.

    Of a declared schema that the account does not see nobody can say what is declared: it is refused as a
    whole. `refused` are tables that are declared and give no link, `moving` the ids of links that have
    another name now; so have those whose table was renamed.
    """
    declared = {(link.definition.schema, link.definition.name) for link in links}
    unseen = declared_schemas - catalogs.source.all_schemas
    marks = catalogs.source.marks.get(outbound, ())
    for mark in sorted(marks, key=lambda m: (m.source_schema, m.source_table)):
        if mark.manifest != catalogs.manifest or mark.source_schema in unseen or mark.link_id in moving:
            continue
        places = {(mark.source_schema, mark.source_table), catalogs.source.protected(mark)}
        if not declared & places and not refused & {".".join(place) for place in places}:
            yield Forgotten(
                catalogs.source.server,
                f"{mark.source_schema}.{mark.source_table}",
                f"{mark.outbound_schema}.{mark.outbound_table}",
                f"{mark.local_schema}.{mark.local_table}",
            )


def forgotten_local(
    manifest: str, local: Catalog, sources: Iterable[Catalog], moving: Set[str] = frozenset()
) -> Iterator[Forgotten]:
    """Links that this manifest made here and of which no source that it names knows anything.

    `moving` are the ids of links that have another name now.
    """
    known = {m.link_id for catalog in sources for marks in catalog.marks.values() for m in marks} | moving
    for marks in (local.marks[schema] for schema in sorted(local.marks)):
        for mark in marks:
            if mark.manifest == manifest and mark.link_id not in known and mark.definition is not None:
                yield Forgotten(
                    local.server,
                    f"{mark.source_schema}.{mark.source_table}",
                    f"{mark.outbound_schema}.{mark.outbound_table}",
                    f"{mark.local_schema}.{mark.local_table}",
                )


def _late_keys(
    link: Link, found: LocalDrift, linked: Mapping[TableName, str], local: Catalog
) -> Iterator[LateKey]:
    for name, key in found.late_keys:
        table = next(t for t in link.local.tables if t.name == name)
        parent = linked.get((key.parent_schema, key.parent_table), link.address)
        yield LateKey(table, with_free_name(key, table, local), parent)


def _has_master(link: Link, catalogs: CatalogPair) -> bool:
    return (link.local.schema, link.local.name) in catalogs.local.tables


def _source_mark(link: Link, catalogs: CatalogPair) -> Mark | None:
    return catalogs.source.mark(link.outbound_schema, link.outbound_table)


def _local_mark(link: Link, catalogs: CatalogPair) -> Mark | None:
    return catalogs.local.mark(link.local.schema, link.local.name)


FOREIGN_HINT = (
    "rename it, drop it if nobody needs it, or choose another schema; djlink does not use a table of that "
    "name that it did not create"
)


def _foreign(link: Link, catalogs: CatalogPair) -> Iterator[tuple[str, str]]:
    """Objects of others in the places of djlink's own: nothing of them is read."""
    for catalog, schema in ((catalogs.source, link.outbound_schema), (catalogs.local, link.local.schema)):
        why = catalog.foreign_marks.get(schema)
        if why is not None:
            yield (
                f"the table `{MARKS}` of `{schema}` on {catalog.server} is not djlink's: it {why}",
                FOREIGN_HINT,
            )
    for each in outbound_definitions(link.definition, link.outbound_schema, link.outbound_table):
        found = catalogs.source.tables.get((each.schema, each.name))
        if found is not None and (why := unlike_a_table(found)) is not None:
            yield f"{each.schema}.{each.name} on {link.source} is not djlink's: it {why}", FOREIGN_HINT
    for each in link.local.tables:
        found = catalogs.local.tables.get((each.schema, each.name))
        if found is not None and (why := unlike_a_table(found)) is not None:
            yield f"the local {each.schema}.{each.name} is not djlink's: it {why}", FOREIGN_HINT


def _refusals(link: Link, catalogs: CatalogPair) -> Iterator[Refusal]:
    for words, hint, only_pulls in _rights(link, catalogs):
        yield Refusal(link.address, words, hint, link.location, only_pulls=only_pulls)
    for words, hint in (
        *_foreign(link, catalogs),
        *_ownership(link, catalogs),
        *_outbound_key(link, catalogs),
    ):
        yield Refusal(link.address, words, hint, link.location)
    for words, hint in _hidden(link, catalogs):
        yield Refusal(link.address, words, hint, link.location, only_pulls=True)
    found = local_drift(link, _local_mark(link, catalogs), catalogs.local)
    only_pulls = keys_agree(link, catalogs.local, found.foreign)
    for words, hint in found.problems:
        yield Refusal(link.address, words, hint, link.location, only_pulls=only_pulls)


def _rights(link: Link, catalogs: CatalogPair) -> Iterator[tuple[str, str, bool]]:
    """The privileges that are missing, with the GRANT, and whether deletions can do without them."""
    source, to = catalogs.source, catalogs.source.identity
    schema = link.outbound_schema
    everything = grant(OUTBOUND_RIGHTS, schema, to)
    if schema not in source.all_schemas:
        yield (
            f"the outbound schema `{schema}` does not exist on {link.source}, or is not visible to the link "
            "user",
            f"ask the source's administrator to run: CREATE SCHEMA `{schema.replace('`', '``')}`; "
            f"{everything}",
            False,
        )
    missing_rights = missing(source.grants, OUTBOUND_RIGHTS, schema)
    if missing_rights:
        words = f"the link user lacks {', '.join(missing_rights)} on the outbound schema `{schema}`"
        only_pulls = set(missing_rights) <= PULLING_RIGHTS
        yield words, f"ask the source's administrator to run: {everything}", only_pulls
    for table in link.definition.tables:
        needed = SOURCE_RIGHTS if table is link.definition else ("SELECT",)
        missing_rights = missing(source.grants, needed, table.schema, table.name)
        if missing_rights:
            words = (
                f"the link user lacks {', '.join(missing_rights)} on {table.schema}.{table.name} of "
                f"{link.source}"
            )
            rights = grant(SOURCE_RIGHTS, table.schema, to)
            only_pulls = set(missing_rights) <= PULLING_RIGHTS
            yield words, f"ask the source's administrator to run: {rights}", only_pulls
    missing_rights = missing(catalogs.local.grants, LOCAL_RIGHTS, link.local.schema)
    if missing_rights:
        words = f"the local user lacks {', '.join(missing_rights)} on the local schema `{link.local.schema}`"
        rights = grant(LOCAL_RIGHTS, link.local.schema, catalogs.local.identity)
        only_pulls = set(missing_rights) <= PULLING_RIGHTS
        yield words, f"ask the local administrator to run: {rights}", only_pulls


def _ownership(link: Link, catalogs: CatalogPair) -> Iterator[tuple[str, str]]:
    source_mark, local_mark = _source_mark(link, catalogs), _local_mark(link, catalogs)
    outbound = f"{link.outbound_schema}.{link.outbound_table}"
    local = f"{link.local.schema}.{link.local.name}"
    adopt = f"; to take it over: {command('adopt', link.address)}"
    other_outbound = f"choose another name with `outbound_table`, or another outbound schema{adopt}"
    other_local = f"choose another local schema with `schema_name`, or rename that table{adopt}"
    *beside, ledger = outbound_definitions(link.definition, link.outbound_schema, link.outbound_table)
    found = next((t for t in beside if (t.schema, t.name) in catalogs.source.tables), None)
    old = catalogs.source.tables.get((ledger.schema, ledger.name))
    if old is not None and any(d.kind == "differs" for d in differences(ledger, old)):
        found = found or ledger  # one that fits stays of the link's earlier life
    if source_mark is None and found is not None:
        words = f"the table {found.schema}.{found.name} on {link.source} was not created by djlink"
        yield words, other_outbound
    found = next((t for t in link.local.tables if (t.schema, t.name) in catalogs.local.tables), None)
    if local_mark is None and found is not None:
        yield f"the local table {found.schema}.{found.name} was not created by djlink", other_local
    own_id, verdict = catalogs.link_id(link), judged(source_mark, local_mark, catalogs.server)
    for mark, place, hint in ((source_mark, outbound, other_outbound), (local_mark, local, other_local)):
        if mark is None:
            continue
        if mark.manifest != catalogs.manifest:
            who = f" ({mark.contact})" if mark.contact else ""
            yield f"{place} belongs to the manifest `{mark.manifest}`{who}", hint
        elif verdict == "other":
            yield (
                f"{place}: another local server, `{mark.local_server}`, has applied since this one did: this "
                "server was restored from a backup, or one of the two is a copy of the other",
                "use that server, or give this manifest another name and outbound schema; if this server is "
                f"the one to go on with: {command('adopt', link.address)}",
            )
        elif (mark.local_schema, mark.local_table) != (link.local.schema, link.local.name):
            if mark is source_mark and mark.link_id == own_id and has_no_local(mark, catalogs.local):
                continue
            yield (
                f"its local table is {mark.local_schema}.{mark.local_table}, but the manifest names {local}",
                rename_hint(link, mark),
            )
        elif source_mark is None and mark.definition is not None:
            # the local mark is completed last, so no interruption leaves this; going on could mix two sources
            yield (
                f"{local} is linked, but {link.source} has no record of it: the server or outbound schema "
                "is a different one, or its tables were dropped",
                f"check `host`, `port` and `outbound` of {link.source}; if they are correct and the "
                f"outbound tables are lost: {command('adopt', link.address)}",
            )
        elif mark.link_id != own_id:
            yield f"{place} carries the mark of another link", hint


def _hidden(link: Link, catalogs: CatalogPair) -> Iterator[tuple[str, str]]:
    parts = hidden_parts(link, _local_mark(link, catalogs), catalogs.source, catalogs.local)
    yield from hidden_problems(link, parts, catalogs.source)


def _outbound_key(link: Link, catalogs: CatalogPair) -> Iterator[tuple[str, str]]:
    found = catalogs.source.tables.get((link.outbound_schema, link.outbound_table))
    if found is not None:
        yield from protects_another(link, found)
        expected = outbound_definitions(link.definition, link.outbound_schema, link.outbound_table)[0]
        # its columns are the source's key, to which nothing can be added
        words = [d.words for d in differences(expected, found) if d.kind in ("differs", "column")]
        if words:
            name = f"{found.schema}.{found.name}"
            said = f"the outbound table {name} does not match the source's definition: {'; '.join(words)}"
            yield said, relink_with_key(link)
