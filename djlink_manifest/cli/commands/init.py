"""`djlink init --from`: generate a manifest from a server's catalog."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from djlink_manifest.cli.options.files import DEFAULT_MANIFEST, chosen_if_any
from djlink_manifest.cli.options.trust_option import trust_file
from djlink_manifest.errors import Diagnostic, DjlinkError, Location, UsageError
from djlink_manifest.manifest.edit.draft import (
    Draft,
    DraftHead,
    DraftSchema,
    DraftServer,
    DraftTable,
    drafted,
)
from djlink_manifest.manifest.models.servers import ServerSpec, TlsSpec
from djlink_manifest.manifest.models.values import SourceSpec
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.manifest.text.references import (
    LINK_OUTBOUND,
    LINK_PASS,
    LINK_USER,
    LOCAL_PASS,
    LOCAL_USER,
    only_references,
)
from djlink_manifest.model.next_steps import command

if TYPE_CHECKING:
    from djlink_manifest.manifest.trust.read import TrustFile


@dataclass(frozen=True, slots=True)
class InitOptions:
    """The options of `init --from` as on the command line; None for options that were not given."""

    place: str
    files: tuple[str, ...]
    host: str | None
    port: int | None
    user: str | None
    password: str | None
    ca: str | None
    tls: bool | None
    outbound: str | None
    local_host: str | None
    local_port: int | None
    name: str | None
    contact: str | None

    @property
    def source(self) -> str:
        """Return the source's name in the manifest."""
        return self.place.partition(".")[0]

    @property
    def schema(self) -> str:
        """Return the schema on the source's server."""
        return self.place.partition(".")[2]


def from_server(init_options: InitOptions) -> tuple[str, str, str, tuple[str, ...]]:
    """Return the manifest's text, its usual file name, how to use it, and what it may lack.

    Raises UsageError for options that cannot be combined, ServerError, and ManifestError for an existing
    manifest that is not valid.
    """
    from djlink_manifest.manifest.load import load
    from djlink_manifest.reconcile.bootstrap.draft import draft_schemas, outbound_schema
    from djlink_manifest.reconcile.bootstrap.introspect import prospect

    if not init_options.source or not init_options.schema:
        raise UsageError(
            f"`--from {init_options.place}` is not SOURCE.schema",
            hint="for example: `djlink init --from princeton.ephys`",
        )
    files = chosen_if_any(init_options.files)
    trust = trust_file()
    base = load(list(files), trust) if files else None
    known = next((s for s in base.sources if s.name == init_options.source), None) if base else None
    _check_options(init_options, known)
    spec = known if known else _spec(init_options)
    if trust is not None and not known:
        _check_trust(spec, trust)
    catalog = prospect(spec, init_options.schema, os.environ)
    declared = {s.name: s for s in known.schemas} if known else {}
    places = [entry.place for entry in base.removed] if base else []
    removed = {(schema, table) for source, schema, table in places if source == init_options.source}
    schemas = draft_schemas(init_options.schema, catalog, declared, removed)
    outbound = init_options.outbound or outbound_schema(catalog, {s.name for s in schemas})
    server, head = None if known else _server(init_options, outbound), None if base else _head(init_options)
    draft = Draft(init_options.source, schemas, server, head, tuple(_opening(init_options, files)))
    draft, text = _proved(draft, init_options, files)
    options = "".join(f" -f {shlex.quote(each)}" for each in files)
    usual = DEFAULT_MANIFEST if base is None else f"{init_options.schema}.yaml"
    return text, usual, options, tuple(_warnings(draft.schemas))


def _check_options(options: InitOptions, known: SourceSpec | None) -> None:
    given = [
        option
        for option, value in (
            ("--host", options.host),
            ("--port", options.port),
            ("--user", options.user),
            ("--password", options.password),
            ("--ca", options.ca),
            ("--no-tls", options.tls),
            ("--outbound", options.outbound),
        )
        if value is not None
    ]
    if known is not None and given:
        raise UsageError(
            f"the source `{options.source}` is declared at {known.location}, so {', '.join(given)} does not "
            "apply",
            hint="omit the option, or choose another source name",
        )
    if known is None and options.host is None:
        raise UsageError(
            f"the source `{options.source}` is not declared in a manifest, so its server is unknown",
            hint=command("init", "--from", options.place, "--host", f"db.{options.source}.example"),
        )
    if options.password is not None and not only_references(options.password):
        raise UsageError(
            "`--password` takes a reference, not a password",
            hint="for example: --password '${env:LINK_PASS}', or '${file:secrets/link}'",
        )


def _spec(options: InitOptions) -> ServerSpec:
    tls: bool | TlsSpec | None = TlsSpec(ca=options.ca) if options.ca else options.tls
    location = Location(str(Path.cwd() / "djlink"), 1, 1)  # relative files start from this folder
    return ServerSpec.model_construct(
        origin=Origin.outside(location, options.source),
        host=options.host or "",
        port=str(options.port or 3306),
        user=options.user or LINK_USER,
        password=options.password or LINK_PASS,
        tls=tls,
    )


def _check_trust(spec: ServerSpec, trust: TrustFile) -> None:
    """Raise UsageError if the trust file does not list the source that the options describe."""
    from djlink_manifest.manifest.load import checkout_of
    from djlink_manifest.manifest.trust.check import untrusted

    found = untrusted(spec, trust.trust.sources, trust.trust.local, trust, checkout_of([Path.cwd()]))
    if found:
        raise UsageError("\n".join(each.summary for each in found), hint=found[0].help)


def _server(options: InitOptions, outbound: str | None) -> DraftServer:
    settings: list[tuple[str, str | int | bool | dict[str, str]]] = [("host", options.host or "")]
    if options.port is not None:
        settings.append(("port", options.port))
    settings += [("user", options.user or LINK_USER), ("password", options.password or LINK_PASS)]
    if options.ca:
        settings.append(("tls", {"ca": options.ca}))
    elif options.tls is not None:
        settings.append(("tls", options.tls))
    return DraftServer((*settings, ("outbound", outbound or LINK_OUTBOUND)))


def _head(options: InitOptions) -> DraftHead:
    host = options.local_host or "${env:DJ_HOST}"
    port = (("port", options.local_port),) if options.local_port is not None else ()
    local = DraftServer((("host", host), *port, ("user", LOCAL_USER), ("password", LOCAL_PASS)))
    return DraftHead(options.name or "our-lab", options.contact or "data@ourlab.example", local)


def _opening(init_options: InitOptions, files: tuple[str, ...]) -> list[str]:
    lines = [
        f"Written by `djlink init --from {init_options.place}` from the server's catalog. "
        "Remove the tables that "
        "you do",
        "not need, restrict the others with `where`, then run `djlink plan`. Row counts are estimates.",
    ]
    if files:
        options = [word for each in (*files, "THIS-FILE") for word in ("-f", each)]
        return [*lines, f"It is merged over {', '.join(files)}: {command('plan', *options)}"]
    return [
        *lines,
        "`name` marks the tables that it owns, `contact` is shown to source owners: write your own.",
    ]


def _warnings(schemas: Sequence[DraftSchema]) -> Iterator[str]:
    """What the draft may lack: schemas that are seen in part, and tables that are skipped."""
    yield from (schema.unseen for schema in schemas if schema.unseen)
    yield from (f"skipped: {reason}" for reason in _why_not(schemas))


def _why_not(schemas: Iterable[DraftSchema]) -> Iterator[str]:
    for schema in schemas:
        for table in schema.tables:
            if table.left_out is not None:
                yield f"{schema.name}.{table.key}: {table.left_out}"


def _proved(draft: Draft, options: InitOptions, files: tuple[str, ...]) -> tuple[Draft, str]:
    """Return the draft and its text without the tables that would make the manifest invalid.

    Raises UsageError if no table remains, DjlinkError if the draft is invalid for another reason.
    """
    while True:
        if not any(table.left_out is None for each in draft.schemas for table in each.tables):
            raise UsageError(
                f"{options.place} has no table to link, or all of them are linked already"
                + "".join(f"\n{reason}" for reason in _why_not(draft.schemas)),
                hint="`djlink status` lists the links",
            )
        used = tuple(s for s in draft.schemas if any(t.left_out is None for t in s.tables))
        text = drafted(replace(draft, schemas=used))
        problems = problems_of(text, files)
        if not problems:
            return draft, text
        fewer = _without(draft, problems)
        if fewer == draft:
            fewer = _pulled_whole(draft)
        if fewer == draft:
            first = problems[0]
            raise DjlinkError(
                f"the generated manifest is not valid: line {first.location.line}: {first.summary}",
                hint=first.help or "write it by hand: `djlink init`",
            )
        draft = fewer


def problems_of(text: str, files: tuple[str, ...]) -> list[Diagnostic]:
    """Return the errors of a generated manifest, merged over the files."""
    from djlink_manifest.manifest.load import read

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.yaml"
        path.write_text(text, encoding="utf-8")
        return [each for each in read([*files, path])[1] if each.severity == "error"]


def _without(draft: Draft, problems: list[Diagnostic]) -> Draft:
    """Return the draft without the tables, or the schema, that the problems concern."""
    schemas = list[DraftSchema]()
    for schema in draft.schemas:
        place = f"sources.{draft.source}.schemas.{schema.name}"
        whole = next((p for p in problems if p.path == place or _names(p, draft, schema)), None)
        tables = list[DraftTable]()
        for table in schema.tables:
            its = f"{place}.tables.{table.key}"
            found = next((p for p in problems if p.path == its or p.path.startswith(f"{its}.")), whole)
            if found is not None and table.left_out is None:
                table = replace(table, left_out=_words(found))
            tables.append(table)
        schemas.append(replace(schema, tables=tuple(tables)))
    return replace(draft, schemas=tuple(schemas))


def _pulled_whole(draft: Draft) -> Draft:
    """Return the draft with all rows of its tables wanted, where those that needed them were left out."""
    kept = [t for each in draft.schemas for t in each.tables if t.left_out is None]
    if any(table.pull == "all" for table in kept):
        return draft
    schemas = (replace(s, tables=tuple(replace(t, pull="all") for t in s.tables)) for s in draft.schemas)
    return replace(draft, schemas=tuple(schemas))


def _names(problem: Diagnostic, draft: Draft, schema: DraftSchema) -> bool:
    """Return whether a problem of an option elsewhere (`schema_name`) concerns a schema of the draft."""
    return f"`{draft.source}.{schema.name}`" in problem.summary


def _words(problem: Diagnostic) -> str:
    """Return a problem as the reason to skip a table, without line numbers of the unwritten file."""
    help = problem.help
    if help is None or "draft.yaml" in help:
        return problem.summary
    return f"{problem.summary}; {help}"
