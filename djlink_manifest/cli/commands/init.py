"""`djlink init --from`: a manifest written from what a server has."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from djlink_manifest.cli.options.manifest_options import DEFAULT_MANIFEST
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


@dataclass(frozen=True, slots=True)
class Asked:
    """What `init --from` was asked for, as on the command line; None for what was not said."""

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

    @property
    def source(self) -> str:
        """The source's name in the manifest."""
        return self.place.partition(".")[0]

    @property
    def schema(self) -> str:
        """The schema on the source's server."""
        return self.place.partition(".")[2]


def from_server(asked: Asked) -> tuple[str, str, str, tuple[str, ...]]:
    """The text of the manifest, the file it is usually written to, how it is used, and what it leaves out.

    Raises UsageError for options that do not go together, ServerError, ManifestError for a manifest that is
    there and not valid.
    """
    from djlink_manifest.manifest.load import load
    from djlink_manifest.reconcile.bootstrap.draft import draft_schemas, outbound_schema
    from djlink_manifest.reconcile.bootstrap.introspect import prospect

    if not asked.source or not asked.schema:
        raise UsageError(
            f"`--from {asked.place}` is not SOURCE.schema", hint="as in: djlink init --from princeton.ephys"
        )
    files = asked.files or ((DEFAULT_MANIFEST,) if Path(DEFAULT_MANIFEST).exists() else ())
    base = load(list(files)) if files else None
    known = next((s for s in base.sources if s.name == asked.source), None) if base else None
    _check_options(asked, known)
    spec = known if known else _spec(asked)
    catalog = prospect(spec, asked.schema, os.environ)
    declared = {s.name: s for s in known.schemas} if known else {}
    places = [entry.place for entry in base.removed] if base else []
    removed = {(schema, table) for source, schema, table in places if source == asked.source}
    schemas = draft_schemas(asked.schema, catalog, declared, removed)
    outbound = asked.outbound or outbound_schema(catalog, {s.name for s in schemas})
    server, head = None if known else _server(asked, outbound), None if base else _head(asked)
    draft = Draft(asked.source, schemas, server, head, tuple(_opening(asked, files)))
    draft, text = _proved(draft, asked, files)
    options = "".join(f" -f {each}" for each in files)
    usual = DEFAULT_MANIFEST if base is None else f"{asked.schema}.yaml"
    return text, usual, options, tuple(_why_not(draft.schemas))


def _check_options(asked: Asked, known: SourceSpec | None) -> None:
    given = [
        option
        for option, value in (
            ("--host", asked.host),
            ("--port", asked.port),
            ("--user", asked.user),
            ("--password", asked.password),
            ("--ca", asked.ca),
            ("--no-tls", asked.tls),
            ("--outbound", asked.outbound),
        )
        if value is not None
    ]
    if known is not None and given:
        raise UsageError(
            f"the source `{asked.source}` is declared at {known.location}: {', '.join(given)} has no place",
            hint="leave it out, or choose another source name",
        )
    if known is None and asked.host is None:
        raise UsageError(
            f"the source `{asked.source}` is in no manifest here, so its server is not known",
            hint=f"djlink init --from {asked.place} --host db.{asked.source}.example",
        )
    if asked.password is not None and not only_references(asked.password):
        raise UsageError(
            "`--password` takes a reference, never a password",
            hint="as in: --password '${env:LINK_PASS}', or '${file:secrets/link}'",
        )


def _spec(asked: Asked) -> ServerSpec:
    tls: bool | TlsSpec | None = TlsSpec(ca=asked.ca) if asked.ca else asked.tls
    location = Location(str(Path.cwd() / "djlink"), 1, 1)  # relative files start from this folder
    return ServerSpec.model_construct(
        origin=Origin.outside(location, asked.source),
        host=asked.host or "",
        port=str(asked.port or 3306),
        user=asked.user or LINK_USER,
        password=asked.password or LINK_PASS,
        tls=tls,
    )


def _server(asked: Asked, outbound: str | None) -> DraftServer:
    settings: list[tuple[str, str | int | bool | dict[str, str]]] = [("host", asked.host or "")]
    if asked.port is not None:
        settings.append(("port", asked.port))
    settings += [("user", asked.user or LINK_USER), ("password", asked.password or LINK_PASS)]
    if asked.ca:
        settings.append(("tls", {"ca": asked.ca}))
    elif asked.tls is not None:
        settings.append(("tls", asked.tls))
    return DraftServer((*settings, ("outbound", outbound or LINK_OUTBOUND)))


def _head(asked: Asked) -> DraftHead:
    host = asked.local_host or "${env:DJ_HOST}"
    port = (("port", asked.local_port),) if asked.local_port is not None else ()
    local = DraftServer((("host", host), *port, ("user", LOCAL_USER), ("password", LOCAL_PASS)))
    return DraftHead(asked.name or "our-lab", "data@ourlab.example", local)


def _opening(asked: Asked, files: tuple[str, ...]) -> list[str]:
    lines = [
        f"Written by `djlink init --from {asked.place}` from what the server has. Take out what you do",
        "not want, narrow the rest with `where`, then: djlink plan. Numbers of rows are estimates.",
    ]
    if files:
        options = " ".join(f"-f {each}" for each in files)
        return [*lines, f"It is laid over {', '.join(files)}: djlink plan {options} -f THIS-FILE"]
    return [*lines, "`name` marks what it owns, `contact` is shown to the owners: write your own."]


def _why_not(schemas: Iterable[DraftSchema]) -> Iterator[str]:
    for schema in schemas:
        for table in schema.tables:
            if table.left_out is not None:
                yield f"{schema.name}.{table.key}: {table.left_out}"


def _proved(draft: Draft, asked: Asked, files: tuple[str, ...]) -> tuple[Draft, str]:
    """The draft and its text, without the tables for which the manifest would not be valid.

    Raises UsageError where nothing is left, DjlinkError where the draft is not valid for another reason.
    """
    while True:
        if not any(table.left_out is None for each in draft.schemas for table in each.tables):
            raise UsageError(
                f"there is nothing in {asked.place} to link that is not linked already"
                + "".join(f"\n{reason}" for reason in _why_not(draft.schemas)),
                hint="`djlink plan` shows what is linked",
            )
        used = tuple(s for s in draft.schemas if any(t.left_out is None for t in s.tables))
        text = drafted(replace(draft, schemas=used))
        problems = _problems(text, files)
        if not problems:
            return draft, text
        fewer = _without(draft, problems)
        if fewer == draft:
            first = problems[0]
            raise DjlinkError(
                f"what would be written is not valid: line {first.location.line}: {first.summary}",
                hint=first.help or "write it by hand: djlink init",
            )
        draft = fewer


def _problems(text: str, files: tuple[str, ...]) -> list[Diagnostic]:
    """The errors of the manifest that the text makes, laid over the files."""
    from djlink_manifest.manifest.load import read

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.yaml"
        path.write_text(text, encoding="utf-8")
        return [each for each in read([*files, path])[1] if each.severity == "error"]


def _without(draft: Draft, problems: list[Diagnostic]) -> Draft:
    """The draft without the tables that the problems are about, or without a schema that they are about."""
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


def _names(problem: Diagnostic, draft: Draft, schema: DraftSchema) -> bool:
    """Whether a problem of an option elsewhere (`schema_name`) is about a schema of the draft."""
    return f"`{draft.source}.{schema.name}`" in problem.summary


def _words(problem: Diagnostic) -> str:
    """A problem as the reason to leave a table out. Lines of a file that is not written tell nothing."""
    help = problem.help
    if help is None or "draft.yaml" in help:
        return problem.summary
    return f"{problem.summary}; {help}"
