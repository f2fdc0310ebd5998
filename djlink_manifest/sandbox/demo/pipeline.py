"""Two small lifelike DataJoint pipelines, for the demo and the tests: real tables, filled by real inserts.

Twelve tables and their parts at two sources. `declare` makes one source's tables, with a prefix before the
schemas' names so that several copies fit on one server; `fill` and `add_rows` put rows into them, the same
for the same seed. DataJoint is imported late: it takes a second.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from djlink_manifest.sandbox.demo import pipeline_rows, pipeline_tables
from djlink_manifest.sandbox.demo.pipeline_rows import Rows

if TYPE_CHECKING:
    from djlink_manifest.sandbox.servers.server import SandboxServer

Source: TypeAlias = Literal["princeton", "janelia"]

DECLARE: Mapping[Source, Mapping[str, Callable[[pipeline_tables.Bind], None]]] = {
    "princeton": {
        "lab": pipeline_tables.declare_lab,
        "session": pipeline_tables.declare_session,
        "ephys": pipeline_tables.declare_ephys,
    },
    "janelia": {
        "behavior": pipeline_tables.declare_behavior,
        "imaging": pipeline_tables.declare_imaging,
    },
}
# The hand-entered tables in the order of their foreign keys, and what is computed from them.
ENTERED: Mapping[Source, tuple[str, ...]] = {
    "princeton": (
        "lab.Subject",
        "session.Session",
        "session.SessionNote",
        "ephys.Recording",
        "ephys.Recording.Channel",
    ),
    "janelia": ("behavior.Mouse", "behavior.Training", "imaging.Scan", "imaging.Scan.Field"),
}
COMPUTED: Mapping[Source, str] = {"princeton": "ephys.Spikes", "janelia": "imaging.Segmentation"}
# What the number of the next rows is counted by.
COUNTED: Mapping[Source, str] = {"princeton": "session.Session", "janelia": "imaging.Scan"}
# Several sessions and scans share one.
SHARED = frozenset({"lab.Subject", "behavior.Mouse"})


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One source's declared tables.

    `tables` maps `schema.Class` and `schema.Class.Part`, without the prefix, to DataJoint classes bound to
    `connection`, parents first.
    """

    source: Source
    prefix: str
    connection: Any
    tables: Mapping[str, Any]

    @property
    def schemas(self) -> tuple[str, ...]:
        """The names of the schemas on the server, with the prefix."""
        return schema_names(self.source, self.prefix)

    def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        return {name: len(table()) for name, table in self.tables.items()}


def schema_names(source: Source, prefix: str = "") -> tuple[str, ...]:
    """The names of a source's schemas on its server."""
    return tuple(prefix + schema for schema in DECLARE[source])


def load_datajoint() -> Any:
    """The datajoint module, imported so that it looks for no configuration file."""
    with _environment(DJ_IGNORE_CONFIG_FILE="true"), warnings.catch_warnings():
        # It deprecates a module of its own that it loads itself.
        warnings.filterwarnings("ignore", message="datajoint.migrate", category=DeprecationWarning)
        import datajoint
        import datajoint.settings
    return datajoint


def connect(server: SandboxServer, user: str | None = None, password: str | None = None) -> Any:
    """A DataJoint connection to a throwaway server, as root where no user is named.

    Its settings are DataJoint's defaults, whatever the person has configured.
    """
    dj = load_datajoint()
    from datajoint.settings import Config

    config = Config()
    config.safemode = False
    # Its log goes to standard output.
    config.loglevel = "WARNING"
    if user is None:
        user, password = "root", server.root_password
    tls = {"ca": str(server.ca_path)} if server.ca_path else False
    return dj.Connection(
        server.host, user, password or "", server.port, tls, backend="mysql", config_override=config
    )


def declare(source: Source, connection: Any, prefix: str = "") -> Pipeline:
    """Make a source's schemas and tables where they are missing, and return their classes.

    `connection` is a DataJoint connection, used by this pipeline alone. Lookup tables get their contents.
    """
    dj = load_datajoint()
    context: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for name, declare_tables in DECLARE[source].items():
        context[name] = SimpleNamespace()
        declare_tables(_binder(dj, dj.Schema(prefix + name, context, connection=connection), context, tables))
    return Pipeline(source, prefix, connection, tables)


def fill(pipeline: Pipeline, *, seed: int = 1, size: int = 12) -> None:
    """Fill empty tables with `size` sessions (princeton) or scans (janelia) and all that belongs to them."""
    if pipeline.source == "princeton":
        pipeline.tables["lab.User"].insert(pipeline_rows.USERS)
    add_rows(pipeline, seed=seed, count=size)


def add_rows(pipeline: Pipeline, *, seed: int = 1, count: int = 3) -> None:
    """Add `count` sessions or scans after those that are there, and compute what follows from them.

    With the seed that the tables were filled with the result equals a pipeline filled with them at once.
    """
    make_rows = pipeline_rows.session_rows if pipeline.source == "princeton" else pipeline_rows.scan_rows
    first = len(pipeline.tables[COUNTED[pipeline.source]]())
    rows: Rows = {name: [] for name in ENTERED[pipeline.source]}
    for number in range(first, first + count):
        for name, new in make_rows(seed, number).items():
            rows[name].extend(new)
    for name, new in rows.items():
        # Imported rows are entered by a person's script here, not by `make`.
        pipeline.tables[name].insert(new, skip_duplicates=name in SHARED, allow_direct_insert=True)
    pipeline.tables[COMPUTED[pipeline.source]].populate()


def _binder(dj: Any, schema: Any, context: dict[str, Any], tables: dict[str, Any]) -> pipeline_tables.Bind:
    name = list(context)[-1]

    def bind(cls: type) -> type:
        bound: type = schema(cls)
        setattr(context[name], cls.__name__, bound)
        tables[f"{name}.{cls.__name__}"] = bound
        for part in vars(cls).values():
            if isinstance(part, type) and issubclass(part, dj.Part):
                tables[f"{name}.{cls.__name__}.{part.__name__}"] = part
        return bound

    return bind


@contextmanager
def _environment(**settings: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
