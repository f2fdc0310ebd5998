"""Marks of both sides beside each other: which agree, which are left over, and whose the others are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, Mark, fingerprint
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.server.rights import OWNER_SCHEMA_RIGHTS, grant, missing
from djlink_manifest.model.tables.owner_views import owner_schema


def mark_findings(
    name: str, manifest: str, outbound: str, links: Iterable[Link], source: Catalog, local: Catalog
) -> Iterator[Finding]:
    """What the marks of a source's outbound schema and those of the local schemas of its links say."""
    links = tuple(links)
    if fingerprint(source.identity) == fingerprint(local.identity):
        yield Finding(
            name,
            "same server",
            "note",
            "its host name, port and data directory are those of the local server",
            why="its rows are copied within one server and protected like those of any other source",
            fix=f"no action needed; tables of {name} that need no protection can be used without a link",
        )
    source_marks = source.marks.get(outbound, ())
    found_marks = [
        m for schema in sorted({k.local.schema for k in links}) for m in local.marks.get(schema, ())
    ]
    own_fingerprint = fingerprint(local.identity)
    yield from _whose(name, outbound, source_marks, manifest, own_fingerprint)
    own = {m.link_id for m in source_marks if m.manifest == manifest and m.fingerprint == own_fingerprint}
    local_marks = {m.link_id: m for m in found_marks if m.outbound_schema == outbound}
    agreeing = own & local_marks.keys()
    unfinished = [
        m for m in (*source_marks, *local_marks.values()) if m.link_id in agreeing and m.definition is None
    ]
    if agreeing:
        yield Finding(name, "marks", "ok", f"{_links(len(agreeing))} with the same marks on both sides")
    if unfinished:
        yield Finding(
            name,
            "marks",
            "note",
            f"{_links(len({m.link_id for m in unfinished}))} not completely created",
            why="an apply was interrupted",
            fix="run `djlink apply` to continue",
        )
    yield from _one_sided(name, outbound, links, source_marks, local_marks=found_marks, own=own)


def _whose(
    name: str, outbound: str, source_marks: Iterable[Mark], manifest: str, own_fingerprint: str
) -> Iterator[Finding]:
    strangers = defaultdict[tuple[str, str, str], int](int)
    for mark in source_marks:
        if mark.manifest != manifest or mark.fingerprint != own_fingerprint:
            strangers[mark.manifest, mark.contact, mark.local_server] += 1
    for (whose, contact, server), count in sorted(strangers.items()):
        who = f" ({contact})" if contact else ""
        if whose == manifest:
            yield Finding(
                name,
                "marks",
                "error",
                f"{_links(count)} in `{outbound}` created for another local server, `{server}`",
                why="this local server is a copy of that one, or it was moved; two servers that hold the "
                "same rows would release each other's rows",
                fix="use the server they were created for; if the server was moved permanently: `djlink "
                "adopt ADDRESS`",
            )
        else:
            yield Finding(
                name,
                "marks",
                "warning",
                f"{_links(count)} in `{outbound}` of the manifest `{whose}`{who}, local server `{server}`",
                why="its links are refused here, and this account can write to the outbound tables of "
                "another lab",
                fix="use a separate outbound schema for each manifest (`outbound`); if the links are yours "
                "under another name: `djlink adopt ADDRESS`",
            )


def _one_sided(
    name: str,
    outbound: str,
    links: Iterable[Link],
    source_marks: Iterable[Mark],
    local_marks: Iterable[Mark],
    own: set[str],
) -> Iterator[Finding]:
    marked = {(m.local_schema, m.local_table) for m in source_marks}
    lost = [
        m for m in local_marks if m.definition is not None and (m.local_schema, m.local_table) not in marked
    ]
    places = {(k.local.schema, k.local.name) for k in links}
    lost = [m for m in lost if (m.local_schema, m.local_table) in places]
    if lost:
        yield Finding(
            name,
            "marks",
            "error",
            f"{_links(len(lost))} linked locally but unknown to `{outbound}`: "
            + ", ".join(f"{m.local_schema}.{m.local_table}" for m in lost[:5]),
            why="a different server now uses this name, or its outbound tables were dropped; nothing "
            "protects these rows at the source",
            fix=f"check `host`, `port` and `outbound` of {name}; if they are correct: `djlink adopt ADDRESS`",
        )
    local = {m.link_id for m in local_marks}
    alone = [
        m
        for m in source_marks
        if m.link_id in own - local and m.definition is not None and (m.local_schema, m.local_table) in places
    ]
    if alone:
        yield Finding(
            name,
            "marks",
            "warning",
            f"{_links(len(alone))} held at {name} without a mark on the local server: "
            + ", ".join(f"{m.local_schema}.{m.local_table}" for m in alone[:5]),
            why="the local tables or their marks were dropped",
            fix="`djlink plan` shows what would be recreated; for existing tables: `djlink adopt ADDRESS`",
        )


def owner_findings(name: str, outbound: str, source: Catalog) -> Iterator[Finding]:
    """Whether the source's owners have a schema to look into."""
    schema, account = owner_schema(outbound), source.identity.account
    if schema in source.all_schemas:
        missing_rights = missing(source.grants, OWNER_SCHEMA_RIGHTS, schema)
        if not missing_rights:
            yield Finding(name, "owner schema", "ok", f"`{schema}`")
            return
        yield Finding(
            name,
            "owner schema",
            "warning",
            f"{account} lacks {', '.join(missing_rights)} on `{schema}`",
            why="owner views are not created or updated; rows are pulled all the same",
            fix=f"ask the source's administrator to run: {grant(OWNER_SCHEMA_RIGHTS, schema, account)}",
        )
        return
    yield Finding(
        name,
        "owner schema",
        "warning",
        f"`{schema}` does not exist, or is not visible to the link user",
        why="the source's owners cannot see who holds a row and cannot request its deletion",
        fix=f"ask the source's administrator to run: CREATE SCHEMA `{schema.replace('`', '``')}`; "
        + grant(OWNER_SCHEMA_RIGHTS, schema, account),
    )


def _links(count: int) -> str:
    return "1 link" if count == 1 else f"{count:,} links"
