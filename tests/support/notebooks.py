# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""What a person with a notebook has: DataJoint set up for the lab's server, and LINK_* in the environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from djlink_manifest import LazySchema, Link
from djlink_manifest.sandbox.demo import pipeline
from djlink_manifest.sandbox.servers.accounts import create_owner
from tests.support.rig import PASSWORD, Rig


@dataclass
class Notebook:
    """The other lab's tables, declared there with DataJoint, and both schemas as a notebook names them.

    `source` are the source's classes by name, on the owner's connection.
    """

    rig: Rig
    dj: Any
    local_schema: LazySchema
    source_schema: LazySchema
    source: SimpleNamespace = field(default_factory=SimpleNamespace)
    owner: Any = None

    @property
    def local(self) -> str:
        """The name of the local schema."""
        return self.local_schema.database

    def link(self, name: str, **members: Any) -> Any:
        """Decorate an empty class of that name."""
        return Link(self.local_schema, self.source_schema)(type(name, (), members))

    def outbound(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of a table of the outbound schema."""
        return self.rig.run("lab_a", f"SELECT * FROM {self.rig.outbound_table('lab', table)} ORDER BY 1")

    def local_name(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of a local table."""
        return self.rig.run("local", f"SELECT * FROM `{self.local}`.`{table}` ORDER BY 1")


def declare(dj: Any, schema_name: str, connection: Any) -> SimpleNamespace:
    """Subjects, their sessions with trials, and what is computed from sessions, by DataJoint."""
    schema = dj.Schema(schema_name, connection=connection)

    @schema
    class Subject(dj.Lookup):
        definition = """
        # animals
        subject : varchar(12)
        ---
        species : varchar(12)
        born = null : date
        """
        contents = (("A1", "mouse", "2025-01-01"), ("A2", "mouse", None), ("B1", "rat", None))

    @schema
    class Session(dj.Manual):
        definition = """
        # sessions of an animal
        -> Subject
        day : int32
        ---
        note : varchar(40)
        """

        class Trial(dj.Part):
            definition = """
            -> master
            trial : int32
            ---
            stimulus : <blob>
            """

    @schema
    class Count(dj.Computed):
        definition = """
        -> Session
        ---
        trials : int32
        """

        def make(self, key: dict[str, Any]) -> None:
            self.insert1({**key, "trials": len(Session.Trial() & key)})

    days = [("A1", 1), ("A1", 2), ("A2", 1), ("B1", 1)]
    Session.insert([{"subject": s, "day": d, "note": f"{s}, day {d}, 100 %"} for s, d in days])
    Session.Trial.insert(
        [{"subject": s, "day": d, "trial": t, "stimulus": {"n": t}} for s, d in days for t in range(d + 1)]
    )
    Count.populate()
    return SimpleNamespace(Subject=Subject, Session=Session, Count=Count)


@contextmanager
def open_notebook(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook over `lab` of lab_a: accounts made, DataJoint configured, nothing linked yet."""
    dj = pipeline.load_datajoint()
    create_owner(rig.server("lab_a"), rig.names("owner"), PASSWORD, [rig.names("lab")])
    owner = pipeline.connect(rig.server("lab_a"), rig.names("owner"), PASSWORD)
    source_side = declare(dj, rig.names("lab"), owner)
    rig.accounts({"lab_a": ["lab"]})
    monkeypatch.setenv("LINK_USER", rig.names("link"))
    monkeypatch.setenv("LINK_PASS", PASSWORD)
    monkeypatch.setenv("LINK_OUTBOUND", rig.outbound)
    local, source = rig.servers.local, rig.server("lab_a")
    settings = {
        "database__host": local.host,
        "database__port": local.port,
        "database__user": rig.names("lab"),
        "database__password": PASSWORD,
        "database__use_tls": False,
        "safemode": False,
        "loglevel": "WARNING",
    }
    with dj.config.override(**settings):
        monkeypatch.setattr("datajoint.instance._singleton_connection", None)
        connection = dj.conn()
        local_schema = LazySchema(rig.names("our_lab"))
        source_schema = LazySchema(rig.names("lab"), host=source.host, port=source.port, tls=False)
        try:
            yield Notebook(rig, dj, local_schema, source_schema, source_side, owner)
        finally:
            owner.close()
            connection.close()


@pytest.fixture
def notebook(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook on the shared servers."""
    with open_notebook(rig, monkeypatch) as opened:
        yield opened
