"""What a user wrote, as frozen values: every option has fallen to its table, every name is checked.

References to secrets are still text here; `manifest.secrets` alone resolves them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models import names
from djlink_manifest.model.links.link import DEFAULT_LIMIT, Limit
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.model.tables.naming import source_of

Pull = Literal["all", "needed", "none"]
Deletions = Literal["review", "auto"]
Unwanted = Literal["keep", "release"]
Changed = Literal["report", "mend"]


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """The `tls` mapping of a server: paths as written, relative ones to the manifest's folder."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server as written. `name` is `local` or the source's name.

    `host`, `port`, `user`, `password` and the paths of `tls` may hold references (`${env:X}`, `${file:X}`).
    `tls` False: a plain connection; True: encrypted and verified against the system's authorities; None: not
    said, which is False for a loopback host, else True. `location` is where the server is declared, `places`
    where each of its keys stands; relative paths start from the folder of the file that says them, `folder`
    is that of `location`.
    """

    name: str
    host: str
    port: str
    user: str
    password: str = field(repr=False)
    tls: bool | TlsSpec | None
    folder: str
    location: Location
    places: tuple[tuple[str, Location], ...] = ()

    def place(self, key: str) -> Location:
        """Where a key of the server stands; the server itself where the key is not set."""
        return dict(self.places).get(key, self.location)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one table rule after falling from `defaults`, source and schema; the nearest wins.

    `schema_name` is a pattern with `{source}` and `{schema}`; `stores` maps source stores to local ones
    (`model.stores` has the names that mean something of their own); `depends_on` holds link addresses;
    `outbound_table` is None where the name is derived.
    """

    where: Condition | None = None
    pull: Pull = "all"
    deletions: Deletions = "review"
    unwanted: Unwanted = "keep"
    changed: Changed = "report"
    max_deletions: Limit = DEFAULT_LIMIT
    stores: tuple[tuple[str, str], ...] = ()
    schema_name: str = "{schema}"
    outbound_table: str | None = None
    depends_on: tuple[str, ...] = ()

    def local_schema(self, source: str, schema: str) -> str:
        """The local schema of a table of this source and schema."""
        return self.schema_name.replace("{source}", source).replace("{schema}", schema)


@dataclass(frozen=True, slots=True)
class TableRule:
    """One key below `tables`: an exact name (class or table) or a glob, with its options.

    `instead_of`: the glob that chose the table, where a rule was made for one of its tables alone.
    """

    pattern: str
    options: Options
    location: Location
    instead_of: TableRule | None = None

    @property
    def is_glob(self) -> bool:
        """Whether the key stands for any number of tables."""
        return names.is_glob(self.pattern)


@dataclass(frozen=True, slots=True)
class SchemaSpec:
    """A schema of a source server with the rules for its tables."""

    name: str
    rules: tuple[TableRule, ...]
    exclude: tuple[str, ...]
    location: Location


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """How a store of a source is reached, as written: settings, or the name of another store.

    Texts may hold references; `places` says where each setting stands.
    """

    name: str
    settings: tuple[tuple[str, object], ...] | str = field(repr=False)
    location: Location
    places: tuple[tuple[str, Location], ...] = ()

    def place(self, key: str) -> Location:
        """Where a setting stands; the store itself where it is not set."""
        return dict(self.places).get(key, self.location)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source server; `outbound` names its outbound schema and may hold a reference.

    `options` are those that a schema of it without options of its own has.
    """

    name: str
    server: ServerSpec
    outbound: str
    schemas: tuple[SchemaSpec, ...]
    location: Location
    stores: tuple[StoreSpec, ...] = ()
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Removed:
    """A link that was taken out, and what is to become of its local table."""

    address: str
    table: Literal["keep", "drop"]
    location: Location

    @property
    def place(self) -> tuple[str, str, str]:
        """The source, its schema and the table, as the address names them."""
        source = source_of(self.address)
        schema, _, table = self.address.removeprefix(f"{source}.").partition(".")
        return source, schema, table


@dataclass(frozen=True, slots=True)
class Approval:
    """An agreed deletion set, bound to the digest of the requested keys and to what goes with them.

    `orphans`: of the local rows without a source row instead, which have no `until`.
    """

    link: str
    keys: str
    count: int
    until: str
    along: tuple[tuple[str, int], ...]
    by: str
    date: str
    location: Location
    orphans: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest. `files` are the files read, `digest` the SHA-256 of what they say, in hex."""

    name: str
    contact: str
    local: ServerSpec
    sources: tuple[SourceSpec, ...]
    removed: tuple[Removed, ...]
    approvals: tuple[Approval, ...]
    files: tuple[str, ...]
    digest: str
