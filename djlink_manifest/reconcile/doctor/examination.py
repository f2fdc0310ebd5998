"""Look every server of a manifest over. One that is down, or whose secret is missing, stops no other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from djlink_manifest.errors import DjlinkError, ServerError, Unreachable
from djlink_manifest.manifest.models.secrets import resolve_outbound, resolve_server
from djlink_manifest.manifest.models.servers import ServerSpec
from djlink_manifest.manifest.models.values import Manifest, SourceSpec
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.address import ServerAddress, is_loopback
from djlink_manifest.model.server.catalog import Catalog, Mark, TableName, fingerprint
from djlink_manifest.model.server.health import Diagnosis, ExaminedServer, Finding, Health
from djlink_manifest.model.stores.store import Stores
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.parallel import each
from djlink_manifest.reconcile.doctor.marks import mark_findings, owner_findings
from djlink_manifest.reconcile.doctor.rights import local_needs, rights_findings, source_needs
from djlink_manifest.reconcile.doctor.server_pairs import between_findings, link_findings
from djlink_manifest.reconcile.doctor.settings import server_findings
from djlink_manifest.reconcile.doctor.stores import store_findings
from djlink_manifest.reconcile.doctor.unseen_tables import (
    deletes_automatically,
    hidden_findings,
    unseen_findings,
)
from djlink_manifest.reconcile.observe.connect import Words
from djlink_manifest.reconcile.observe.stores import StoreTransport, open_store_transport
from djlink_manifest.reconcile.plan.removals import marks_of
from djlink_manifest.reconcile.resolve.links import Resolved, resolve
from djlink_manifest.reconcile.resolve.local_schemas import local_schemas
from djlink_manifest.reconcile.resolve.unfit import folded_locally
from djlink_manifest.servers.catalog.foreign_keys import acting_unseen, keys_to
from djlink_manifest.servers.catalog.health import read_health
from djlink_manifest.servers.catalog.reader import read_catalog, read_collations
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.stores.errors import HINT

_STORELESS = "tables with external values cannot be linked; their stores were not checked"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A server that was reached. `seconds` is how long it took to log in and to ask."""

    address: ServerAddress
    catalog: Catalog
    health: Health
    seconds: float
    unseen: Mapping[TableName, tuple[str, ...]] | None


def examine(manifest: Manifest, environ: Mapping[str, str], report: Words | None = None) -> Diagnosis:
    """What there is to say of every server of the manifest. Nothing is changed."""
    outbound = {spec.name: _outbound(spec, environ) for spec in manifest.sources}
    local_schema_names = local_schemas(manifest)
    wanted: dict[str, tuple[ServerSpec, frozenset[str], frozenset[str]]] = {
        "local": (manifest.local, local_schema_names, local_schema_names)
    }
    for spec in manifest.sources:
        name = outbound[spec.name]
        held = frozenset([name]) if isinstance(name, str) else frozenset[str]()
        wanted[spec.name] = (spec, frozenset(s.name for s in spec.schemas) | held, held)

    def look(name: str) -> _Seen | DjlinkError:
        (report or (lambda words: None))(f"checking {name}")
        return _look(*wanted[name], environ)

    seen = dict(zip(wanted, each(look, wanted, len(wanted)), strict=True))
    with ExitStack() as opened:
        store_transport, troubles = StoreTransport(Stores()), list[Finding]()
        try:
            catalogs = {name: one.catalog for name, one in seen.items() if isinstance(one, _Seen)}
            store_transport = opened.enter_context(
                open_store_transport(manifest, catalogs, environ, report or (lambda words: None))
            )
        except DjlinkError as error:
            name = error.server or "local"
            troubles.append(
                Finding(name, "stores", "error", error.message, why=_STORELESS, fix=error.hint or HINT)
            )
        return Diagnosis(
            manifest.name,
            tuple(_examined(spec, seen[name]) for name, (spec, _, _) in wanted.items()),
            (*_findings(manifest, seen, outbound, store_transport, told=bool(troubles)), *troubles),
        )


def _is_local_too(source: _Seen, local: _Seen | DjlinkError) -> bool:
    if isinstance(local, DjlinkError):
        return False
    return fingerprint(source.catalog.identity) == fingerprint(local.catalog.identity)


def _outbound(spec: SourceSpec, environ: Mapping[str, str]) -> str | DjlinkError:
    try:
        return resolve_outbound(spec, environ)
    except DjlinkError as error:
        return error


def _look(
    spec: ServerSpec, schemas: frozenset[str], marked: frozenset[str], environ: Mapping[str, str]
) -> _Seen | DjlinkError:
    try:
        address = resolve_server(spec, environ)
        started = time.monotonic()
        session = open_session(address, Session)
        try:
            catalog = read_catalog(session, schemas, marked)
            health = read_health(session)
            unseen: Mapping[TableName, tuple[str, ...]] | None = {}
            if spec.name == "local":
                catalog = replace(catalog, collations=read_collations(session))
                unseen = acting_unseen(session, schemas, {table for table, _ in keys_to(session, schemas)})
        finally:
            session.close()
        return _Seen(address, catalog, health, time.monotonic() - started, unseen)
    except DjlinkError as error:
        return error


def _examined(spec: ServerSpec, seen: _Seen | DjlinkError) -> ExaminedServer:
    if isinstance(seen, DjlinkError):
        return ExaminedServer(
            spec.name, spec.host or "DataJoint's configuration", int(spec.port) if spec.port.isdigit() else 0
        )
    identity = seen.catalog.identity
    return ExaminedServer(
        spec.name,
        seen.address.host,
        seen.address.port,
        reached=True,
        vendor=identity.version.vendor,
        version=identity.version.text,
        account=identity.account,
        cipher=seen.health.cipher,
        ahead=round(seen.health.ahead, 3),
    )


def _findings(
    manifest: Manifest,
    seen: Mapping[str, _Seen | DjlinkError],
    outbound: Mapping[str, str | DjlinkError],
    store_transport: StoreTransport,
    *,
    told: bool,
) -> Iterator[Finding]:
    """`told`: the stores cannot be looked at, and that is told already."""
    now = datetime.now(timezone.utc)
    local = seen["local"]
    resolved, broken = _links(manifest, seen, outbound, store_transport)
    links = resolved.links if resolved else ()
    yield from broken
    going = _going(manifest, seen, outbound)
    for name, one in seen.items():
        if isinstance(one, DjlinkError):
            subject = "catalog" if _answered(one) else "reachable"
            yield Finding(name, subject, "error", one.message, why=_unseen(name), fix=one.hint or "")
            continue
        version = one.catalog.identity.version
        words = f"{version.vendor} {version.text} at {one.address.host}:{one.address.port}, as "
        yield Finding(name, "reachable", "ok", f"{words}{one.catalog.identity.account}, {one.seconds:.1f}s")
        settings = server_findings(name, is_loopback(one.address.host), one.health, now)
        if name != "local" and _is_local_too(one, local):  # where the local server wants it on
            settings = (each for each in settings if each.subject != "local_infile")
        yield from settings
        if name == "local":
            leaving = {mark.local_schema for marks in going.values() for mark in marks}
            former = local_schemas(manifest) & one.catalog.all_schemas
            needs = local_needs(local_schemas(manifest, former=False) | former, leaving)
            yield from rights_findings(name, needs, one.health, one.catalog)
            yield from folded_locally(links, one.health.globals)
            yield from unseen_findings(
                one.unseen, deletes_automatically(manifest), one.catalog.identity.account
            )
    for spec in manifest.sources:
        one, schema = seen[spec.name], outbound[spec.name]
        if isinstance(schema, DjlinkError):
            yield Finding(spec.name, "outbound", "error", schema.message, why="", fix=schema.hint or "")
        elif isinstance(one, _Seen):
            own_links = [link for link in links if link.source == spec.name]
            yield from _source_findings(
                manifest, spec, schema, own_links, one=one, local=local, removing=bool(going[spec.name])
            )
    if resolved and not told:
        yield from store_findings(links, resolved.refusals, store_transport)


def _answered(error: DjlinkError) -> bool:
    """Whether it is the error of a server that let us log in, and then refused a statement."""
    return isinstance(error, ServerError) and not isinstance(error, Unreachable)


def _unseen(name: str) -> str:
    if name == "local":
        return "nothing can be planned or applied; links and marks were not checked"
    return (
        "its links are skipped by plan and apply until the server is available; other links are not affected"
    )


def _source_findings(
    manifest: Manifest,
    spec: SourceSpec,
    outbound: str,
    links: list[Link],
    one: _Seen,
    local: _Seen | DjlinkError,
    removing: bool,
) -> Iterator[Finding]:
    name, schemas = spec.name, [s.name for s in spec.schemas]
    needs = source_needs(links, schemas, outbound, removing=removing)
    named = [s.name for s in spec.schemas if not any(rule.is_glob for rule in s.rules)]
    yield from rights_findings(name, needs, one.health, one.catalog, owner_schema(outbound), named)
    yield from hidden_findings(
        name, schemas, links, one.catalog, local.catalog if isinstance(local, _Seen) else None
    )
    yield from owner_findings(name, outbound, one.catalog)
    if isinstance(local, _Seen):
        yield from between_findings(name, one.health, local.health)
        yield from link_findings(name, links, one.health, local.catalog)
        yield from mark_findings(
            name,
            manifest.name,
            outbound,
            links,
            source=one.catalog,
            local=local.catalog,
            identity=manifest.local.identity,
        )


def _links(
    manifest: Manifest,
    seen: Mapping[str, _Seen | DjlinkError],
    outbound: Mapping[str, str | DjlinkError],
    store_transport: StoreTransport,
) -> tuple[Resolved | None, list[Finding]]:
    """The links, as far as the servers that were reached let them be told."""
    local = seen["local"]
    if isinstance(local, DjlinkError):
        return None, []
    catalogs, names = dict[str, Catalog](), dict[str, str]()
    for spec in manifest.sources:
        one, schema = seen[spec.name], outbound[spec.name]
        if isinstance(one, _Seen) and isinstance(schema, str):
            catalogs[spec.name], names[spec.name] = one.catalog, schema
    try:
        return resolve(manifest, catalogs, local.catalog, names, stores=store_transport.stores, homes={}), []
    except DjlinkError as error:
        found = Finding("local", "links", "error", error.message, why="no link is made", fix=error.hint or "")
        return None, [found]


def _going(
    manifest: Manifest, seen: Mapping[str, _Seen | DjlinkError], outbound: Mapping[str, str | DjlinkError]
) -> dict[str, list[Mark]]:
    """Of each source the marks of the links that `removed` takes out and that stand still."""
    found: dict[str, list[Mark]] = {spec.name: [] for spec in manifest.sources}
    for entry in manifest.taken_out:
        name = entry.place[0]
        one, schema = seen.get(name), outbound.get(name)
        if isinstance(one, _Seen) and isinstance(schema, str):
            found[name] += marks_of(entry, one.catalog.marks.get(schema, ()), manifest)
    return found
