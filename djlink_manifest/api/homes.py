"""Where a linked class has its tables, and how it asks the core for work: by decorator, or by a manifest."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from djlink_manifest.api.commands import of_files
from djlink_manifest.api.connecting import connection_to, knows_stores
from djlink_manifest.api.hints import in_python
from djlink_manifest.api.manifests import (
    NAME,
    BoundManifest,
    LinkDeclaration,
    StoreNames,
    decorated,
    letting_go,
    narrowed,
)
from djlink_manifest.api.schema import BoundServer, LazySchema
from djlink_manifest.errors import SecretError, UsageError
from djlink_manifest.manifest.models.secrets import resolve_outbound, resolve_server, resolve_stores
from djlink_manifest.manifest.models.servers import StoreSpec
from djlink_manifest.manifest.models.values import Manifest, Removed, SourceSpec
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.model.next_steps import completed
from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.model.tables.naming import APPROVED, REQUESTED, source_of
from djlink_manifest.reconcile.observe.marks import marks_in


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one link, by schema and name."""

    source: tuple[str, str]
    outbound: tuple[str, str]
    local: tuple[str, str]

    @property
    def requested(self) -> tuple[str, str]:
        """The outbound table of deletion requests."""
        return self.outbound[0], self.outbound[1] + REQUESTED

    @property
    def approved(self) -> tuple[str, str]:
        """The outbound table of deletion approvals."""
        return self.outbound[0], self.outbound[1] + APPROVED

    @staticmethod
    def of(mark: Mark) -> Tables:
        """The tables as a link's mark names them."""
        return Tables(
            (mark.source_schema, mark.source_table),
            (mark.outbound_schema, mark.outbound_table),
            (mark.local_schema, mark.local_table),
        )


class Home(Protocol):
    """What a linked class knows of its link."""

    @property
    def name(self) -> str:
        """The name of the class."""

    @property
    def along(self) -> bool:
        """Whether a pull brings along the parents that it needs, as `djlink apply --target` does."""

    @property
    def address(self) -> str:
        """The link's address."""

    @property
    def connection(self) -> Any:
        """The lab's own DataJoint connection."""

    def source_connection(self) -> Any:
        """DataJoint's connection to the source, with the link user's account."""

    def pulling(self, where: Condition | None) -> BoundManifest:
        """What to ask for so that the entities which meet a condition are pulled."""

    def letting_go(self) -> BoundManifest:
        """What to ask for so that the source is told of what is gone here."""

    def taken_out(self, table: Literal["keep", "drop"]) -> BoundManifest:
        """What to ask for so that the link is taken out. Raises UsageError where that is not for a class."""

    def worded(self, hint: str | None) -> str | None:
        """A hint of the core in the words of where the link comes from."""


# of what was decorated in this process, by source, schema and class: children ask for their parents' stores
_stores: dict[tuple[str, str, str], tuple[StoreNames, tuple[StoreSpec, ...]]] = {}


@dataclass(slots=True)
class Decorated:
    """The home of a decorated class."""

    local: LazySchema
    source: LazySchema
    declaration: LinkDeclaration
    outbound: str
    contact: str | None
    along: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        _stores[self._place()] = self.declaration.stores, self.declaration.source_stores

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.declaration.name

    @property
    def address(self) -> str:
        """The source's host stands for its name."""
        return f"{self._source_name()}.{self.declaration.schema}.{self.declaration.name}"

    @property
    def connection(self) -> Any:
        """The local schema's connection."""
        return self.local.connection

    def source_connection(self) -> Any:
        """One connection for all classes of the same account on the same server."""
        _, source, environ = self._servers()
        spec = SourceSpec.at(source.spec, "", store_settings=self._source_stores())
        return _source_connection(spec, environ)

    def pulling(self, where: Condition | None) -> BoundManifest:
        """The link and, to refer to, all that were decorated before, in whatever process."""
        return self._bound(where)

    def taken_out(self, table: Literal["keep", "drop"]) -> BoundManifest:
        """All that were decorated before, without this one."""
        origin = Origin.outside(self.declaration.location, self.address)
        return self._bound(None, Removed.model_construct(origin=origin, table=table))

    def worded(self, hint: str | None) -> str | None:
        """`Link` says what a manifest would."""
        return in_python(hint)

    def forget(self) -> None:
        """Do not name its stores to other links any more."""
        _stores.pop(self._place(), None)

    def _bound(self, where: Condition | None, removed: Removed | None = None) -> BoundManifest:
        local, source, environ = self._servers()
        address = resolve_server(source.spec, environ)
        schema = self._outbound_schema()
        marks = marks_in(address, schema, NAME)
        contact = self.contact if self.contact is not None else _someone()
        beside = {place[1:]: each[0] for place, each in _stores.items() if place[0] == source.spec.name}
        made = decorated(
            self.declaration,
            marks,
            local.spec,
            source=source.spec,
            outbound=schema,
            contact=contact,
            where=where,
            beside=beside,
            source_stores=self._source_stores(),
            removed=removed,
        )
        return BoundManifest(made, environ)

    def letting_go(self) -> BoundManifest:
        """Nothing is wanted, of this link nor of those below it."""
        bound = self.pulling(None)
        return BoundManifest(letting_go(bound.manifest), bound.environ)

    def existing(self) -> Tables | None:
        """The link's tables where the local server has them all, which needs no word from the source."""
        local = self.local.server("local")
        address = resolve_server(local.spec, {**os.environ, **local.given})
        marks = marks_in(address, self.local.database, NAME)
        found = next((m for m in marks if self.declaration.is_of(m) and m.definition is not None), None)
        if found is None:
            return None
        with suppress(SecretError):  # where it is not set, that is told when the source is needed
            if self._outbound_schema() != found.outbound_schema:
                return None
        return Tables.of(found)

    def _source_name(self) -> str:
        return self.source.place

    def _place(self) -> tuple[str, str, str]:
        return self._source_name(), self.declaration.schema, self.declaration.name

    def _source_stores(self) -> tuple[StoreSpec, ...]:
        """The source's stores as this link and those beside it name them; its own word counts first."""
        found = {spec.name: spec for spec in self.declaration.source_stores}
        for place, (_, beside) in _stores.items():
            if place[0] == self._source_name():
                found = {spec.name: spec for spec in beside} | found
        return tuple(found[name] for name in sorted(found))

    def _servers(self) -> tuple[BoundServer, BoundServer, Mapping[str, str]]:
        local = self.local.server("local")
        source = self.source.server(self._source_name())
        return local, source, {**os.environ, **local.given, **source.given}

    def _outbound_schema(self) -> str:
        _, source, environ = self._servers()
        return resolve_outbound(SourceSpec.at(source.spec, self.outbound), environ)


@dataclass(slots=True)
class Listed:
    """The home of a class for a link of a manifest."""

    manifest: Manifest
    address: str
    name: str
    tables: Tables
    connection: Any
    files: tuple[str, ...] = ()
    along: bool = field(default=True, init=False)

    def source_connection(self) -> Any:
        """A connection with the account that the manifest names."""
        return _source_connection(self._spec(), os.environ)

    def pulling(self, where: Condition | None) -> BoundManifest:
        """The manifest as it stands, or narrowed to a condition and what that needs."""
        if where is None:
            return BoundManifest(self.manifest, os.environ)
        return BoundManifest(
            narrowed(self.manifest, self._spec().name, *self.tables.source, where), os.environ
        )

    def letting_go(self) -> BoundManifest:
        """The manifest's links, none of them wanted."""
        return BoundManifest(letting_go(self.manifest), os.environ)

    def taken_out(self, table: Literal["keep", "drop"]) -> BoundManifest:
        """Refused: while the manifest declares the link, the next apply would make it again."""
        raise UsageError(
            f"{self.address} is a link of the manifest `{self.manifest.name}`, which must remove it",
            hint="delete it from `sources`, write "
            f"`removed: {{{written(self.address)}: {{table: {table}}}}}`, apply",
        )

    def worded(self, hint: str | None) -> str | None:
        """The core speaks of manifests; its commands name the one that was loaded."""
        return hint and completed(hint, of_files(self.files))

    def _spec(self) -> SourceSpec:
        name = source_of(self.address)
        return next(s for s in self.manifest.sources if s.name == name)


def _source_connection(spec: SourceSpec, environ: Mapping[str, str]) -> Any:
    """DataJoint's connection to a source, which reads external values where the source's stores are known."""
    connection = connection_to(resolve_server(spec, environ))
    with suppress(SecretError):  # a key that is not set bars the values of its store, not the rows
        knows_stores(connection, resolve_stores(spec, environ))
    return connection


def _someone() -> str:
    """Who asks, for the owners of what is held."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
