"""Known parts of a source table that the link user cannot see. Pure.

Rights on a whole schema show all its tables: a part that is not there was dropped. Rights on single tables
show these alone: a part that is not seen may exist, and an entity is never pulled without its parts.
"""

from __future__ import annotations

from collections.abc import Iterator

from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, Mark
from djlink_manifest.model.server.rights import grant
from djlink_manifest.reconcile.diff.local_tables import made_parts


def hidden_parts(link: Link, mark: Mark | None, source: Catalog, local: Catalog) -> tuple[str, ...]:
    """The parts that the source had or has, as it names them, and that the link user cannot read.

    `mark` is the link's local one. Parts that the manifest lists in `removed` are not among them.
    """
    master = link.definition
    if not source.is_partial(master.schema):
        return ()
    made = {master.name + name.removeprefix(link.local.name) for name in made_parts(link, mark, local)}
    known = {*source.hidden_parts(master.schema, master.name), *made} - {p.name for p in master.parts}
    return tuple(sorted(known - set(link.dropped_parts)))


def hidden_problems(link: Link, parts: tuple[str, ...], source: Catalog) -> Iterator[tuple[str, str]]:
    """Why entities of a link with these hidden parts are not pulled, and what to do."""
    schema, account = link.definition.schema, source.identity.account
    for part in parts:
        entry = f"{link.source}.{schema}.{part}"
        yield (
            f"its part {schema}.{part} no longer exists at {link.source}, or the link user has no privilege "
            "on it; its entities are not pulled without it",
            f"if it no longer exists, so that the GRANT fails, write `removed: {{{written(entry)}: {{table: "
            "keep}}`; else ask the source's administrator to run: "
            f"{grant(('SELECT',), schema, account, part)}",
        )


def needless_entries(link: Link, source: Catalog) -> Iterator[str]:
    """Words for the entries of `removed` about parts of the link that say nothing."""
    schema = link.definition.schema
    for part in link.dropped_parts:
        if any(part == each.name for each in link.definition.parts):
            why = "the source has this part"
        elif not source.is_partial(schema):
            why = f"the link user sees every table of `{schema}`"
        else:
            continue
        yield f"`removed: {link.source}.{schema}.{part}` has no effect: {why}; delete the entry"
