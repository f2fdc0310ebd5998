"""A rig: two source servers with a restricted link user each, a local account, and manifests over them."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from djlink_manifest.manifest.load import load
from djlink_manifest.model.server.rights import LOCAL_RIGHTS, REMOVAL_RIGHTS
from djlink_manifest.reconcile.pipeline import Job, open_job
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime.events import Event, Listener, Report
from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.accounts import (
    create_link_user,
    create_local_user,
    quoted_name,
)
from tests.support.servers import Names, Servers, drop_everything, new_names, processes

PASSWORD = "test-password-9"


def quiet(event: Event) -> None:
    """A listener that tells nobody."""


@dataclass(slots=True)
class Rig:
    """The servers as one test uses them. Schemas are named without the test's prefix.

    `run("lab_a", …)` is the owner's or administrator's SQL, as root; `{x}` in it becomes the prefixed
    schema x.
    """

    servers: Servers
    names: Names
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def outbound(self) -> str:
        """The outbound schema on both sources."""
        return self.names("outbound")

    def server(self, name: str) -> SandboxServer:
        """The server of that name: lab_a, lab_b or local."""
        found: SandboxServer = getattr(self.servers, name)
        return found

    def run(self, server: str, text: str) -> list[tuple[Any, ...]]:
        """Run a statement as root; its rows."""
        with self.server(server).connect() as connection, connection.cursor() as cursor:
            cursor.execute(self.sql(text))
            return list(cursor.fetchall())

    def sessions(self, server: str) -> dict[int, str]:
        """The sessions open at a server, and whose they are."""
        with self.server(server).connect() as connection, connection.cursor() as cursor:
            return {session: user for session, (user, _) in processes(cursor).items()}

    def own_sessions(self, server: str) -> set[int]:
        """The sessions of the test's own accounts."""
        return {number for number, user in self.sessions(server).items() if user.startswith(self.names(""))}

    def sql(self, text: str) -> str:
        """The text with `{schema}` replaced by the test's own schema of that name, quoted."""
        out, rest = "", text
        while "{" in rest:
            head, _, tail = rest.partition("{")
            name, _, rest = tail.partition("}")
            out += head + quoted_name(self.names(name))
        return out + rest

    def accounts(
        self,
        sources: Mapping[str, Sequence[str]],
        *,
        local: Sequence[str] = (*LOCAL_RIGHTS, *REMOVAL_RIGHTS),
    ) -> None:
        """Make the restricted link users for these schemas, and the local account, with what djlink needs.

        `local` is what the local account may do.
        """
        for name, schemas in sources.items():
            full = [self.names(s) for s in schemas]
            create_link_user(self.server(name), self.names("link"), PASSWORD, full, self.outbound)
        create_local_user(self.servers.local, self.names("lab"), PASSWORD, [self.names.pattern], local)
        self.environ.update(LINK_PASS=PASSWORD, DJ_PASS=PASSWORD)

    def document(self, sources: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        """A manifest over `{source: {schema: what stands below the schema}}`."""
        return {
            "manifest": 1,
            "name": self.names("atlas"),
            "contact": "data@ourlab.example",
            "local": self._server(self.servers.local, "lab", "${env:DJ_PASS}"),
            "defaults": {"schema_name": self.names("our_{source}_") + "{schema}"},
            "sources": {
                name: {
                    **self._server(self.server(name), "link", "${env:LINK_PASS}"),
                    "outbound": self.outbound,
                    "schemas": {self.names(schema): rules for schema, rules in schemas.items()},
                }
                for name, schemas in sources.items()
            },
            **more,
        }

    def write(self, document: Mapping[str, Any], name: str = "djlink.yaml") -> Path:
        """Write a manifest into the test's folder."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(dict(document), sort_keys=False))
        return path

    @contextmanager
    def job(self, document: Mapping[str, Any], **options: Any) -> Iterator[Job]:
        """A job over a manifest."""
        with open_job(load([self.write(document)]), {**os.environ, **self.environ}, **options) as job:
            yield job

    def plan(self, document: Mapping[str, Any], **options: Any) -> Plan:
        """The plan of a manifest."""
        with self.job(document, **options) as job:
            return job.plan()

    def apply(
        self,
        document: Mapping[str, Any],
        listener: Listener = quiet,
        stop: threading.Event | None = None,
        **options: Any,
    ) -> tuple[Plan, Report]:
        """Plan and apply a manifest."""
        with self.job(document, **options) as job:
            plan = job.plan()
            return plan, job.apply(plan, listener, stop or threading.Event())

    def local_schema(self, source: str, schema: str) -> str:
        """The local schema of a source's schema."""
        return self.names(f"our_{source}_{self.names(schema)}")

    def address(self, source: str, schema: str, table: str) -> str:
        """A link's address."""
        return f"{source}.{self.names(schema)}.{table}"

    def outbound_table(self, schema: str, table: str) -> str:
        """A table of the outbound schema, as it stands in a statement for `run`."""
        return "{outbound}." + f"`{self.names(schema)}_{table}`"

    def _server(self, server: SandboxServer, user: str, password: str) -> dict[str, Any]:
        return {
            "host": server.host,
            "port": server.port,
            "user": self.names(user),
            "password": password,
            "tls": False,
        }


def link_of(plan: Plan, address: str) -> LinkPlan:
    """The plan of one link."""
    return next(link for link in plan.links if link.address == address)


@pytest.fixture
def rig(servers: Servers, names: Names, tmp_path: Path) -> Rig:
    """A rig on the shared servers."""
    return Rig(servers, names, tmp_path)


@contextmanager
def own_rig(servers: Servers, kind: type[Rig] = Rig) -> Iterator[Rig]:
    """A rig with names and a folder of its own; what it made at one source and here is dropped in the end."""
    names = new_names()
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield kind(servers, names, Path(folder))
        finally:
            for server in (servers.lab_a, servers.local):
                drop_everything(server, names)


def everything(rig: Rig) -> dict[str, Any]:
    """A manifest that links all tables of `lab` on `lab_a`."""
    return rig.document({"lab_a": {"lab": {"tables": "*"}}})
