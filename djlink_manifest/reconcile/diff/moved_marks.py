"""The marks of a link that has moved, wherever they stand. Pure.

The source's mark tells where the local tables are; a mark at the place to which they go tells that an apply
began to bring them there. Either is enough to go on after an interruption.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from djlink_manifest.model.links.link import Former, Link
from djlink_manifest.model.server.catalog import Mark, TableName
from djlink_manifest.reconcile.diff.link_tables import CatalogPair, has_no_local


@dataclass(frozen=True, slots=True)
class MovedMarks:
    """The marks of a link that has moved, wherever they stand.

    `source` is its mark at the source, None where it has none; `others` are marks of further former names.
    `old` is the mark of the local tables at their former place, or at the present one under a former id;
    `coming` the mark at the present place that an interrupted apply left. `old_place` is where the local
    tables were.
    """

    link: Link
    catalogs: CatalogPair
    source: Mark | None
    others: tuple[Mark, ...]
    old: Mark | None
    coming: Mark | None
    old_place: TableName

    @staticmethod
    def of(link: Link, catalogs: CatalogPair, declared: Set[TableName]) -> MovedMarks | None:
        """What there is of it under former names; None where there is nothing."""
        place = (link.local.schema, link.local.name)
        at = catalogs.local.mark(*place)
        if not (link.formers or link.former_schemas or (at is not None and at.moved_from is not None)):
            return None
        at_present, before = source_marks(link, catalogs, declared)
        source, *others = (*at_present, *before) or (None,)
        if source is None:
            lost = next(_lost(link, catalogs), None)
            if lost is None:
                return None
            return MovedMarks(link, catalogs, None, (), old=lost, coming=None, old_place=_local(lost))
        coming = at if at is not None and at.moved_from is not None else None
        if coming is not None and _local(source) not in (coming.moved_from, place):
            coming = None  # of a move that was given up
        old = _old_local(link, catalogs, source, coming)
        old_place = next(
            (p for p in (_local(source), *map(_local, filter(None, [old]))) if p != place), place
        )
        if coming is not None and coming.moved_from is not None:
            old_place = coming.moved_from
        if not (before or old or coming) and has_no_local(source, catalogs.local):
            return None  # what stands at its former place is another's
        goes = old_place != place and old_place[0] in (link.local.schema, *link.former_schemas)
        if not (before or old or coming or goes):
            return None
        return MovedMarks(link, catalogs, source, tuple(others), old=old, coming=coming, old_place=old_place)

    @property
    def place(self) -> TableName:
        """Where the local table shall be."""
        return (self.link.local.schema, self.link.local.name)

    @property
    def former(self) -> Former | None:
        """What the source's mark says the link is called."""
        return former_of(self.link, self.source) if self.source is not None else None


def source_marks(
    link: Link, catalogs: CatalogPair, declared: Set[TableName]
) -> tuple[list[Mark], list[Mark]]:
    """The link's mark at the source, and those that it had under former names.

    A mark whose outbound table protects another table that is linked belongs to that link.
    """
    present = (link.definition.schema, link.definition.name)
    own = [m for m in catalogs.source.marks.get(link.outbound_schema, ()) if is_own(m, catalogs)]
    protects = catalogs.source.protected
    at_present = [
        m
        for m in own
        if (m.source_schema, m.source_table) == present
        and (protects(m) == present or protects(m) not in declared)
    ]
    before = [
        m
        for m in own
        if m not in at_present
        and former_of(link, m) is not None
        and (protects(m) == present or not (at_present or protects(m) in declared))
    ]
    return at_present, before


def _local(mark: Mark) -> TableName:
    """Where the local table of a mark is."""
    return (mark.local_schema, mark.local_table)


def is_own(mark: Mark, catalogs: CatalogPair) -> bool:
    """Whether the mark is of this manifest; what is not is refused elsewhere."""
    return mark.manifest == catalogs.manifest


def former_of(link: Link, mark: Mark) -> Former | None:
    """The former place of the link that its mark names; None where it names none."""
    return next((f for f in link.formers if f.names(mark.source_schema, mark.source_table)), None)


def _marks(link: Link, catalogs: CatalogPair) -> Iterator[Mark]:
    """The marks of local tables of the link's source in the local schemas that it has and had."""
    for schema in (link.local.schema, *link.former_schemas):
        for mark in catalogs.local.marks.get(schema, ()):
            if is_own(mark, catalogs) and mark.outbound_schema == link.outbound_schema:
                yield mark


def _lost(link: Link, catalogs: CatalogPair) -> Iterator[Mark]:
    """The marks of local tables that the link has under a former name, and of which no source knows."""
    place = (link.local.schema, link.local.name)
    for mark in _marks(link, catalogs):
        present = (mark.source_schema, mark.source_table) == (link.definition.schema, link.definition.name)
        if mark.definition is not None and (former_of(link, mark) or (present and _local(mark) != place)):
            yield mark


def _old_local(link: Link, catalogs: CatalogPair, source: Mark, coming: Mark | None) -> Mark | None:
    """The mark of the link's local tables at a former place, or at the present one under a former name."""
    own_id, place = catalogs.link_id(link), (link.local.schema, link.local.name)
    if coming is not None and coming.moved_from is not None:
        found = catalogs.local.mark(*coming.moved_from)
        return found if found is not None and is_own(found, catalogs) else None
    for mark in _marks(link, catalogs):
        if mark.moved_from is not None:
            continue
        if _local(mark) != place and mark.link_id == source.link_id:
            return mark
        if _local(mark) == place and mark.link_id != own_id and former_of(link, mark) is not None:
            return mark
    return None
