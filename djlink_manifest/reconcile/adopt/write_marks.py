"""Write the marks of adopted tables, under the locks of both their old links and their new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.adopt.rehearsal import Adoption
from djlink_manifest.reconcile.observe.connect import Reached
from djlink_manifest.servers.ddl import tables
from djlink_manifest.servers.ownership import marks
from djlink_manifest.servers.ownership.locks import Locks
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Writer


def adopt(
    adoptions: Sequence[Adoption], links: Mapping[str, Link], local: Reached, sources: Mapping[str, Reached]
) -> None:
    """Write the marks, the source's first. It can be repeated: half of it done is refused like none.

    Raises LinkLocked where a djlink works on one of the links, DjlinkError where a mark is another one than
    the adoption was made from.
    """
    with ExitStack() as stack:
        names = sorted({a.source for a in adoptions})
        addresses = [sources[name].address for name in names]
        locks = stack.enter_context(closing(Locks(local.address, addresses)))
        for each in adoptions:
            before = {m.link_id for m in (each.outbound_before, each.local_before) if m is not None}
            for link_id in sorted({each.outbound.link_id, *before}):
                locks.take(links[each.address], link_id)
        writers = {name: _opened(stack, sources[name]) for name in names}
        local_writer = _opened(stack, local)
        for each in adoptions:
            _check(each, writers[each.source], local_writer)
        for each in adoptions:
            source_writer = writers[each.source]
            marks.ensure_marks(source_writer, each.outbound.outbound_schema)
            if each.local.local_schema not in local.catalog.all_schemas:
                tables.ensure_schema(
                    local_writer, each.local.local_schema, links[each.address].local.collation
                )
            marks.ensure_marks(local_writer, each.local.local_schema)
            marks.ensure_later_columns(local_writer, each.local.local_schema)
            if each.outbound.epoch is not None:
                marks.ensure_later_columns(source_writer, each.outbound.outbound_schema)
            marks.replace_mark(source_writer, each.outbound.outbound_schema, each.outbound)
            marks.replace_mark(local_writer, each.local.local_schema, each.local)


def _opened(stack: ExitStack, reached: Reached) -> Writer:
    session = open_session(reached.address, Writer)
    stack.callback(session.close)
    return session


def _check(each: Adoption, source: Writer, local: Writer) -> None:
    """Raise where a mark that is to be replaced changed since it was read."""
    for session, schema, before, new in (
        (source, each.outbound.outbound_schema, each.outbound_before, each.outbound),
        (local, each.local.local_schema, each.local_before, each.local),
    ):
        if marks.marked_id(session, schema, new.table_name) != (before and before.link_id):
            raise DjlinkError(
                f"the mark of {schema}.{new.table_name} has changed in the meantime",
                link=each.address,
                server=session.name,
                hint="run `djlink adopt ADDRESS` again and check its output",
            )
