"""A source whose owner has what `djlink grants --owner` prints, and labs that link it."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest
from pymysql.cursors import Cursor

from djlink_manifest.cli import run
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.sandbox.servers.accounts import create_owner
from tests.support.rig import PASSWORD, Rig
from tests.support.sql import ask, run_all

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE DATABASE {other}",
    "CREATE TABLE {lab}.`#species` (species varchar(9) PRIMARY KEY)",
    "CREATE TABLE {lab}.session (id int, `day` date, species varchar(9), PRIMARY KEY (id, `day`),"
    " FOREIGN KEY (species) REFERENCES {lab}.`#species` (species))",
    "CREATE TABLE {lab}.session__trial (id int, `day` date, trial int, PRIMARY KEY (id, `day`, trial),"
    " FOREIGN KEY (id, `day`) REFERENCES {lab}.session (id, `day`))",
    "CREATE TABLE {other}._scan (scan int PRIMARY KEY, id int, `day` date,"
    " FOREIGN KEY (id, `day`) REFERENCES {lab}.session (id, `day`))",
    "CREATE TABLE {other}.note (note varchar(5) PRIMARY KEY, scan int, answers varchar(5),"
    " FOREIGN KEY (scan) REFERENCES {other}._scan (scan),"
    " FOREIGN KEY (answers) REFERENCES {other}.note (note))",
    "INSERT INTO {lab}.`#species` VALUES ('mouse'), ('rat')",
    "INSERT INTO {lab}.session VALUES (1,'2026-01-01','mouse'),(2,'2026-01-01','mouse'),"
    " (3,'2026-01-01','rat'),(4,'2026-01-01',NULL)",
    "INSERT INTO {lab}.session__trial SELECT id, `day`, 1 FROM {lab}.session",
    "INSERT INTO {other}._scan VALUES (10,1,'2026-01-01'),(11,1,'2026-01-01'),(20,2,'2026-01-01'),"
    " (90,NULL,NULL)",
    "INSERT INTO {other}.note VALUES ('a',10,NULL),('b',NULL,'a'),('c',NULL,'b'),('z',90,NULL)",
)
SESSIONS_AND_SCANS = {"lab": {"tables": {"Session": {"where": "id < 4"}}}, "other": {"tables": ["Scan"]}}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The statements that `djlink grants` prints, with rights on whole schemas where it offers these."""
    capsys.readouterr()
    assert run(["grants", *arguments]) == 0
    lines = [
        text.removeprefix("-- ") if text.startswith("-- GRANT") else text
        for text in capsys.readouterr().out.splitlines()
    ]
    return [text for text in lines if text and not text.startswith(("--", "SELECT "))]


@dataclass(slots=True)
class Source:
    """Both sides of a source: its owner, and the labs that link it by manifests of their own."""

    rig: Rig
    capsys: pytest.CaptureFixture[str]
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def link(self, lab: str, schemas: Mapping[str, Any], *, applied: bool = True) -> dict[str, Any]:
        """A lab with a link user of its own; its accounts have what `djlink grants` prints, and no more."""
        rig = self.rig
        document = copy.deepcopy(rig.document({"lab_a": schemas}))
        document["name"] = rig.names(lab)
        document["contact"] = f"data@{lab}.example"
        document["defaults"] = {"schema_name": rig.names(f"{lab}_") + "{schema}"}
        document["local"]["user"] = rig.names(f"{lab}_dj")
        document["sources"]["lab_a"]["user"] = rig.names(f"{lab}_link")
        document["sources"]["lab_a"]["outbound"] = self.outbound(lab)
        rig.environ.update(LINK_PASS=PASSWORD, DJ_PASS=PASSWORD)
        self.documents[lab] = document
        for server, user in (("lab_a", f"{lab}_link"), ("local", f"{lab}_dj")):
            ask(rig.server(server), "CREATE USER %s@'%%' IDENTIFIED BY %s", (rig.names(user), PASSWORD))
            self.grant(lab, server)
        if applied:
            self.apply(lab)
        return document

    def grant(self, lab: str, server: str) -> None:
        """Run what `djlink grants --owner` prints for a server, as root."""
        path = self.rig.write(self.documents[lab], f"{lab}.yaml")
        arguments = ("-f", str(path), "--owner", self.rig.names("owner"), "--server", server)
        for statement in printed(self.capsys, *arguments):
            ask(self.rig.server(server), statement)

    def apply(self, lab: str) -> None:
        """Plan and apply a lab's manifest; nothing may be amiss."""
        plan, report = self.rig.apply(self.documents[lab])
        assert not plan.has_errors, plan
        assert report.succeeded, report

    def outbound(self, lab: str) -> str:
        """A lab's outbound schema."""
        return self.rig.names(f"{lab}_outbound")

    def view(self, lab: str, table: str, kind: str) -> str:
        """An owner's view, as it stands in a statement; `table` is `lab_session` or `other_scan`."""
        return f"`{owner_schema(self.outbound(lab))}`.`{self.rig.names(table)}_{kind}`"

    def table(self, lab: str, table: str, suffix: str = "") -> str:
        """An outbound table, as it stands in a statement."""
        return f"`{self.outbound(lab)}`.`{self.rig.names(table)}{suffix}`"

    @contextmanager
    def owner(self) -> Iterator[Cursor]:
        """A session of the owner's."""
        server = self.rig.server("lab_a")
        with server.connect(self.rig.names("owner"), PASSWORD) as connection, connection.cursor() as cursor:
            yield cursor

    def approve(self, lab: str, table: str, key: str, which: str = "TRUE") -> None:
        """Approve requests as the lab does once its copies are gone: one transaction of the link user's."""
        base, asked, approved = (
            self.table(lab, table, suffix) for suffix in ("", "_deletion_requested", "_deletion_approved")
        )
        server = self.rig.server("lab_a")
        with server.connect(self.rig.names(f"{lab}_link"), PASSWORD, autocommit=False) as connection:
            with connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO {approved} ({key}) SELECT {key} FROM {asked} WHERE {which}")
                cursor.execute(f"DELETE FROM {base} WHERE ({key}) IN (SELECT {key} FROM {approved})")
            connection.commit()

    def says(self, *arguments: str, administrator: bool = False) -> tuple[int, str, str]:
        """Run `djlink source …` with the owner's account, or root's: exit code, stdout, stderr."""
        server = self.rig.server("lab_a")
        user, password = self.rig.names("owner"), PASSWORD
        if administrator:
            user, password = "root", server.root_password
        environ = {"DJ_HOST": server.host, "DJ_USER": user, "DJ_PASS": password}
        self.capsys.readouterr()
        command, *rest = arguments
        with patch.dict(os.environ, environ):
            code = run(["source", command, "--port", str(server.port), *rest])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def count(self, what: str) -> int:
        """How many rows a table has, as root."""
        [(count,)] = ask(self.rig.server("lab_a"), f"SELECT COUNT(*) FROM {what}")
        return int(count)


def new_source(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Source:
    """The source with its rows and its owner, who has all rights on their own schemas and none elsewhere."""
    run_all(rig, *TABLES)
    own = [rig.names("lab"), rig.names("other")]
    create_owner(rig.server("lab_a"), rig.names("owner"), PASSWORD, own)
    return Source(rig, capsys)
