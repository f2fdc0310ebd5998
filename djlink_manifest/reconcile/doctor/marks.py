"""Marks of both sides beside each other: which agree, which are left over, and whose the others are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, Mark, fingerprint
from djlink_manifest.model.server.epochs import LocalServer, Verdict, judged, local_server
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.server.rights import OWNER_SCHEMA_RIGHTS, grant, missing
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.diff.epochs import epoch_state, old_marks
from djlink_manifest.reconcile.plan.confirmation import cause_of


def mark_findings(
    name: str,
    manifest: str,
    outbound: str,
    links: Iterable[Link],
    source: Catalog,
    local: Catalog,
    identity: str | None = None,
) -> Iterator[Finding]:
    """What the marks of a source's outbound schema and those of the local schemas of its links say.

    `identity` is what the manifest calls the local server.
    """
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
    server = local_server(local.identity, identity)
    local_marks = {m.link_id: m for m in found_marks if m.outbound_schema == outbound}
    pairs = [(m, local_marks.get(m.link_id)) for m in source_marks if m.manifest == manifest]
    # without a local mark it is the source's that names the server; what is missing is told below
    confirmed = [(m, local) for m, local in pairs if judged(m, local or m, server) == "own"]
    own = {m.link_id for m, _ in confirmed}
    yield from _unconfirmed(name, outbound, (pair for pair in pairs if pair not in confirmed), server)
    yield from _strangers(name, outbound, source_marks, manifest)
    old = old_marks(source, outbound)
    if old is not None:
        words, _, fix = old.partition("; ")
        why = "after a copy of the local server has applied, neither of the two is refused"
        yield Finding(name, "marks", "warning", words, why=why, fix=fix)
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


def _unconfirmed(
    name: str, outbound: str, found: Iterable[tuple[Mark, Mark | None]], server: LocalServer
) -> Iterator[Finding]:
    """Findings about links of this manifest, by their marks, that are not known to be this server's."""
    causes = Counter[tuple[Verdict, str, str]]()
    for source, local in found:
        state = epoch_state(source, local, server, {})
        causes[state.verdict, state.server, "" if state.verdict == "other" else cause_of(state)] += 1
    for (verdict, other, cause), count in sorted(causes.items()):
        if verdict == "other":
            yield Finding(
                name,
                "marks",
                "error",
                f"{_links(count)} in `{outbound}` applied by another local server, `{other}`, since this one "
                "applied",
                why="this server was restored from a backup, or one of the two is a copy of the other; two "
                "servers that hold the same rows would release each other's rows",
                fix="use that server; if this server is the one to go on with: `djlink adopt ADDRESS`",
            )
        else:
            yield Finding(
                name,
                "marks",
                "warning",
                f"{_links(count)} in `{outbound}`: {cause}",
                why="rows are pulled, but releases, approvals and deletions wait: if it is a copy, the other "
                "server may hold the rows",
                fix="if this server is the one to go on with: `djlink adopt ADDRESS`",
            )


def _strangers(name: str, outbound: str, source_marks: Iterable[Mark], manifest: str) -> Iterator[Finding]:
    counted = Counter((m.manifest, m.contact, m.local_server) for m in source_marks if m.manifest != manifest)
    for (whose, contact, server), count in sorted(counted.items()):
        who = f" ({contact})" if contact else ""
        yield Finding(
            name,
            "marks",
            "warning",
            f"{_links(count)} in `{outbound}` of the manifest `{whose}`{who}, local server `{server}`",
            why="its links are refused here, and this account can write to the outbound tables of another "
            "lab",
            fix="use a separate outbound schema for each manifest (`outbound`); if the links are yours under "
            "another name: `djlink adopt ADDRESS`",
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
            fix="ask the source's administrator to run: "
            + grant(OWNER_SCHEMA_RIGHTS, schema, source.identity),
        )
        return
    yield Finding(
        name,
        "owner schema",
        "warning",
        f"`{schema}` does not exist, or is not visible to the link user",
        why="the source's owners cannot see who holds a row and cannot request its deletion",
        fix=f"ask the source's administrator to run: CREATE SCHEMA `{schema.replace('`', '``')}`; "
        + grant(OWNER_SCHEMA_RIGHTS, schema, source.identity),
    )


def _links(count: int) -> str:
    return counted(count, "link")
