"""Find the links that `moved` gives another name: what is to be done for them, or why it cannot be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.next_steps import command
from djlink_manifest.model.server.catalog import Mark, TableName, same_place
from djlink_manifest.model.server.epochs import judged
from djlink_manifest.model.server.rights import LOCAL_RIGHTS, MOVING_RIGHTS, grant, missing
from djlink_manifest.model.tables.derive import outbound_definitions, requested_part_name
from djlink_manifest.model.tables.naming import CONSTRAINT, class_name, master_of
from djlink_manifest.reconcile.diff.constraint_names import kept_names
from djlink_manifest.reconcile.diff.link_tables import CatalogPair
from djlink_manifest.reconcile.diff.moved_marks import MovedMarks, is_own
from djlink_manifest.reconcile.diff.renamed import as_before
from djlink_manifest.reconcile.state.moves import LinkMove, MarkChange
from djlink_manifest.reconcile.state.snapshot import Refusal

# tables of a source, with the names that they had before; a mapping for each name that they may have had
Names = Sequence[Mapping[TableName, TableName]]


def find_move(
    link: Link, catalogs: CatalogPair, names: Names, declared: Set[TableName]
) -> LinkMove | Refusal | None:
    """What is to be brought to the link's present name, why it cannot be, or None where nothing is.

    `names` are what the source's tables were called before, `declared` those that are linked. What stands
    under a former name that no entry of `moved` tells is left to the refusals of ownership.
    """
    found = MovedMarks.of(link, catalogs, declared)
    if found is None:
        return _definitions_alone(link, catalogs, names)
    mover = _Mover(found, names)
    refusal = next(mover.refusals(), None)
    if refusal is not None:
        return Refusal(link.address, *refusal, link.location)
    return mover.move()


def with_lineage(link: Link, catalogs: CatalogPair, move: LinkMove | None) -> LinkMove | None:
    """The move of a link whose local lineage has the name of a former source, and perhaps nothing else."""
    former = next((f.address for f in link.formers if f.source != link.source), None)
    if former is None or move is not None:
        return move and replace(move, lineage=True)
    mark = catalogs.source.mark(link.outbound_schema, link.outbound_table)
    if mark is None or not is_own(mark, catalogs) or mark.link_id != catalogs.link_id(link):
        return None
    return LinkMove(link.address, (former,), mark.link_id, mark, lineage=True)


@dataclass(frozen=True, slots=True)
class _Mover:
    """A link that has moved, with its marks; `names` are what the source's tables were called before."""

    found: MovedMarks
    names: Names

    def refusals(self) -> Iterator[tuple[str, str]]:
        """Why the link cannot be brought to its present name, with the next step."""
        link, old = self.found.link, ".".join(self.found.old_place)
        if self.found.source is None:
            yield (
                f"{old} is linked under its former name, but {link.source} has no record of it: the server "
                "or outbound schema is a different one, or its tables were dropped",
                f"check `host`, `port` and `outbound` of {link.source}: `moved` renames what a server has, "
                "and brings nothing to another one",
            )
            return
        if self.found.others:
            both = ", ".join(
                sorted(f"{m.source_schema}.{m.source_table}" for m in (self.found.source, *self.found.others))
            )
            yield (
                f"`moved` leads to it from several links: {both}",
                "keep the entry of one of them; the others are links of their own, or taken out (`removed`)",
            )
        known = (link.local.schema, *link.former_schemas)
        if self.found.old_place[0] not in known:
            names = f"{{local_schema: {written(self.found.old_place[0])}, to: {written(link.local.schema)}}}"
            words = f"its local table is {old}, but the manifest names {'.'.join(self.found.place)}"
            begun = "; an apply that renamed it was interrupted" if self.found.coming is not None else ""
            yield (
                f"{words}{begun}",
                f"add `moved: [{names}]` to rename the local table too, or restore the former `schema_name`",
            )
        verdict = judged(self.found.source, self.found.old, self.found.catalogs.server)
        if verdict != "own" and (verdict != "remade" or self.found.old is not None or self._pairs()):
            yield (
                "it has moved, but it is not sure that it belongs to this local server (the source knows "
                f"`{self.found.source.local_server}`)",
                "restore the former names: `djlink plan` then says why, and `djlink adopt ADDRESS` "
                "confirms it",
            )
        yield from self._copied()
        yield from self._occupied()
        yield from self._rights()

    def _copied(self) -> Iterator[tuple[str, str]]:
        """Outbound tables that protect another table: the source's was copied, not renamed."""
        link, source = self.found.link, self.found.catalogs.source
        present = (link.definition.schema, link.definition.name)
        for expected in outbound_definitions(link.definition, link.outbound_schema, link.outbound_table):
            found = source.tables.get((expected.schema, expected.name))
            for key in found.foreign_keys if found is not None and expected.foreign_keys else ():
                parent = (key.parent_schema, key.parent_table)
                if key.name.startswith(CONSTRAINT) and not same_place(parent, present):
                    yield (
                        f"{'.'.join(present)} is not the table that was linked: the foreign key of "
                        f"{expected.schema}.{expected.name} refers to {'.'.join(parent)}, so that one was "
                        "copied, and not renamed",
                        "ask the source's owner; without the entry of `moved` it is a new link",
                    )
                    return

    def _occupied(self) -> Iterator[tuple[str, str]]:
        """Local tables that stand where others are to go, or that carry no mark."""
        local = self.found.catalogs.local
        for old, new in self._pairs():
            if new in local.tables and old in local.tables:
                yield (
                    f"the local table {'.'.join(old)} cannot be renamed: {'.'.join(new)} exists already",
                    f"rename or drop {'.'.join(new)}, or choose another local schema (`schema_name`)",
                )
        old_place, place = self.found.old_place, self.found.place
        if place != old_place and old_place in local.tables and self.found.old is None:
            name = ".".join(self.found.old_place)
            yield (
                f"the local table {name} does not carry the link's mark, so it is not renamed",
                f"adopt the table under the former name first, or rename {name} yourself and adopt it",
            )
        at = local.mark(*self.found.place)
        if at is not None and at not in (self.found.old, self.found.coming) and at.definition is not None:
            yield (
                f"the local table {'.'.join(self.found.place)} carries the mark of another link",
                "choose another local schema (`schema_name`), or move that link first",
            )
        stands = self.found.place in local.tables and self.found.place != self.found.old_place
        if stands and self.found.old_place not in local.tables and self.found.coming is None and at is None:
            name = ".".join(self.found.place)
            yield (
                f"the local table {name} was not created by djlink",
                f"rename it, or, if it is the link's own: {command('adopt', self.found.link.address)}",
            )

    def _rights(self) -> Iterator[tuple[str, str]]:
        local = self.found.catalogs.local
        needed = ((self.found.old_place[0], MOVING_RIGHTS), (self.found.place[0], LOCAL_RIGHTS))
        for schema, rights in needed if self._pairs() else ():
            denied = missing(local.grants, rights, schema)
            if denied:
                yield (
                    f"the local user lacks {', '.join(denied)} on the local schema `{schema}`, to rename "
                    "tables",
                    "ask the local administrator to run: "
                    # of several GRANTs for patterns that fit a schema, MySQL takes one
                    + grant(dict.fromkeys((*LOCAL_RIGHTS, *rights)), schema, local.identity.account),
                )

    def _pairs(self) -> tuple[tuple[TableName, TableName], ...]:
        """The local tables at the former place with the names that they shall have, the master last."""
        if self.found.old_place == self.found.place:
            return ()
        (schema, master), local = self.found.old_place, self.found.catalogs.local
        found = list[tuple[TableName, TableName]]()
        for name in local.named_as_parts(schema, master):
            if self._is_made(name):
                found.append(((schema, name), (self.found.place[0], self._name_of(name))))
        found.append((self.found.old_place, self.found.place))
        return tuple(pair for pair in found if pair[0] in local.tables)

    def _name_of(self, table: str) -> str:
        """What a local table of the link, by its former name, shall be called."""
        before, after = self.found.old_place[1], self.found.place[1]
        if table == requested_part_name(before):
            return requested_part_name(after)
        return (
            after + table[len(before) :]
            if master_of(table) == before
            else after
            if table == before
            else table
        )

    def _is_made(self, name: str) -> bool:
        """Whether djlink made a table that is named like a part of the local table at its former place."""
        schema, master = self.found.old_place
        if self.found.catalogs.local.mark(schema, name) is not None:
            return False
        mark = self.found.old or self.found.coming
        if mark is not None and mark.made is not None and name in mark.made:
            return True
        own = {master, self.found.link.local.name, *self.found.catalogs.local.named_as_parts(schema, master)}
        keys = self.found.catalogs.local.tables[schema, name].foreign_keys
        return any(k.name.startswith(CONSTRAINT) and k.parent_table in own for k in keys)

    def move(self) -> LinkMove | None:
        """What is to be done; None where all stands as it shall."""
        source, link = self.found.source, self.found.link
        assert source is not None, "a link without a mark at the source is refused"
        after = self._renamed(source)
        pairs = self._pairs()
        local = None
        if self.found.old is not None:
            made = self.found.old.made and {self._name_of(t): c for t, c in self.found.old.made.items()}
            new = replace(
                self._renamed(self.found.old),
                table_name=link.local.name,
                made=made,
                moved_from=None,
                check_names=self._check_names(self.found.old),
            )
            local = MarkChange(self.found.old, new)
        marks = [m for m in (source, self.found.old, self.found.coming) if m is not None]
        move = LinkMove(
            link.address,
            before=tuple(self._before()),
            link_id=after.link_id,
            mark=after,
            old_ids=tuple(sorted({m.link_id for m in marks} - {after.link_id})),
            source=MarkChange(source, after) if after != source else None,
            local=local if local is not None and local.after != local.before else None,
            tables=pairs,
            new_schema=link.local.schema not in self.found.catalogs.local.all_schemas,
            interrupted=self.found.coming is not None or after == source,
        )
        return move if move.source or move.local or pairs or self.found.coming else None

    def _check_names(self, old: Mark) -> Mapping[str, str] | None:
        """What checks of the local tables are called, where they keep the names of their former place."""
        link, (schema, master) = self.found.link, self.found.old_place
        places = {
            (t.schema, t.name): (schema, master + t.name[len(link.local.name) :]) for t in link.local.tables
        }
        before = [as_before(link.definition, each) for each in self.names]
        return kept_names(link, before, places, old, self.found.catalogs.local)

    def _renamed(self, mark: Mark) -> Mark:
        """The mark with the link's present id and places."""
        return replace(
            mark,
            link_id=self.found.catalogs.link_id(self.found.link),
            source_schema=self.found.link.definition.schema,
            source_table=self.found.link.definition.name,
            local_schema=self.found.link.local.schema,
            local_table=self.found.link.local.name,
            definition=_definition(mark, self.found.link, self.names),
        )

    def _before(self) -> Iterator[str]:
        """What the link was called."""
        mark, link = self.found.source, self.found.link
        if mark is not None:
            former = self.found.former
            present = (link.definition.schema, link.definition.name)
            if former is not None and (mark.source_schema, mark.source_table) != present:
                yield f"{former.source}.{mark.source_schema}.{class_name(mark.source_table)}"
            elif (other := next((f for f in link.formers if f.source != link.source), None)) is not None:
                yield f"{other.source}.{mark.source_schema}.{class_name(mark.source_table)}"
        if self.found.old_place != self.found.place:
            yield f"the local table {'.'.join(self.found.old_place)}"


def _definitions_alone(link: Link, catalogs: CatalogPair, names: Names) -> LinkMove | None:
    """What is to be noted for a link whose definition names tables that have moved; None where nothing is."""
    source = catalogs.source.mark(link.outbound_schema, link.outbound_table)
    local = catalogs.local.mark(link.local.schema, link.local.name)
    own_id = catalogs.link_id(link)
    if source is None or local is None or {source.link_id, local.link_id} != {own_id} or not names:
        return None
    changes = [
        MarkChange(mark, after)
        if (after := replace(mark, definition=_definition(mark, link, names))) != mark
        else None
        for mark in (source, local)
    ]
    if not any(changes):
        return None
    after = changes[0].after if changes[0] is not None else source
    return LinkMove(link.address, (), own_id, after, source=changes[0], local=changes[1])


def _definition(mark: Mark, link: Link, names: Names) -> str | None:
    """The digest that the mark shall carry: of the present definition, where only names in it are others."""
    if any(mark.definition == as_before(link.definition, each).digest() for each in names):
        return link.definition.digest()
    return mark.definition
