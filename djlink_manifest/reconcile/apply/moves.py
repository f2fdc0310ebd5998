"""Bring a link's marks, local tables and lineage to the name that it has now.

The order keeps every interruption clear: the new place is announced in a local mark, then the source's mark
names it, so that a manifest with the former names is refused from there on; then lineage follows, in one
transaction, and the tables are renamed; last the former local mark goes, by which an interrupted move is
known.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from djlink_manifest.reconcile.plan.actions import Move
from djlink_manifest.reconcile.runtime.batches import LinkWork, again, check_stop, with_retries
from djlink_manifest.reconcile.runtime.events import Counts
from djlink_manifest.reconcile.state.moves import LinkMove
from djlink_manifest.servers.ddl import lineage, lineage_moves, rename, tables
from djlink_manifest.servers.ownership import marks, moving


def move(link_work: LinkWork, action: Move) -> None:
    """Carry out a move. What is done already is passed over."""
    due = action.due
    assert due is not None, "a plan that was observed has what is due"
    _announce(link_work, due)
    if due.source is not None:
        _check(link_work)
        change, schema = (due.source.before, due.source.after), link_work.link.outbound_schema
        again(link_work, partial(moving.change_mark, link_work.source, schema, change))
    if due.has_names:
        _check(link_work)
        _lineage(link_work, due, frozenset(action.lineage))
    if due.tables:
        _check(link_work)
        with_retries(link_work, partial(rename.rename_tables, link_work.local, due.tables))
    _settle(link_work, due)
    link_work.counters.add(Counts(moved=True))


def _check(link_work: LinkWork) -> None:
    check_stop(link_work)
    link_work.check()


def _announce(link_work: LinkWork, due: LinkMove) -> None:
    """Write into the new local schema that the tables come, and from where."""
    link, local = link_work.link, link_work.local
    if not due.tables and (due.local is None or _stays(due)):
        return
    if due.new_schema:
        with_retries(link_work, partial(tables.ensure_schema, local, link.local.schema, link.local.collation))
    for schema in dict.fromkeys((*([due.local.before.local_schema] if due.local else []), link.local.schema)):
        with_retries(link_work, partial(marks.ensure_marks, local, schema))
        with_retries(link_work, partial(marks.ensure_later_columns, local, schema))
    before = due.local.before if due.local is not None else None
    place = (before.local_schema, before.local_table) if before is not None else due.tables[-1][0]
    mark = replace(due.mark, table_name=link.local.name, definition=None)
    again(link_work, partial(moving.announce, local, mark, place))


def _stays(due: LinkMove) -> bool:
    """Whether the local mark stays where it is."""
    change = due.local
    assert change is not None, "asked of a link with a local mark"
    place = (change.before.local_schema, change.before.local_table)
    return place == (change.after.local_schema, change.after.local_table)


def _lineage(link_work: LinkWork, due: LinkMove, schemas: frozenset[str]) -> None:
    link = link_work.link
    rows = lineage.read_lineage(link_work.source, link, link_work.source_links.links.values(), schemas)
    renamed = dict(due.tables)
    manifest = due.mark.manifest
    unwritten: list[str] = []

    def write() -> None:
        unwritten[:] = lineage_moves.move_lineage(link_work.local, link.local.schema, rows, renamed, manifest)

    again(link_work, write)
    if unwritten:
        link_work.counters.unmade = (
            f"the lineage of {', '.join(unwritten)} names the former source still, for lack of UPDATE on "
            "`~lineage` there: run `schema.rebuild_lineage()` with DataJoint, as its owner"
        )


def _settle(link_work: LinkWork, due: LinkMove) -> None:
    """Let the local mark name the present place, and nothing else any more."""
    if due.local is None and not due.tables and not due.interrupted:
        return
    _check(link_work)
    if due.local is not None and _stays(due):
        change = (due.local.before, due.local.after)
        again(link_work, partial(moving.change_mark, link_work.local, due.local.before.local_schema, change))
        return
    both = (due.local.before, due.local.after) if due.local is not None else None
    arrived = replace(due.mark, table_name=link_work.link.local.name)
    again(link_work, partial(moving.settle, link_work.local, both, arrived))
