"""A pipeline over two sources, of which one may lie; what the commands say and do about it is looked at."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.sandbox.servers.accounts import create_owner
from tests.support.command import called
from tests.support.faults.liar import Liar, Lie, lying, truth
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import Servers, drop_everything, new_names

LAB_A = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, sex enum('m','f') DEFAULT 'm', born timestamp NULL,"
    " weight double CHECK (weight < 1000), name varchar(20) DEFAULT 'what?', UNIQUE KEY (name),"
    " twice int GENERATED ALWAYS AS (id * 2) STORED) COMMENT 'subjects'",
    "CREATE TABLE {lab}.session (s varchar(9) PRIMARY KEY, id int NOT NULL, notes json,"
    " KEY part (id), FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (s varchar(9), n int, data longblob, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.scan (s varchar(9) PRIMARY KEY, FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "INSERT INTO {lab}.subject (id, weight, name) VALUES (1, 1.5, 'a'), (2, 2, 'b'), (3, 3, 'c'),"
    " (90, 1, 'x')",
    "INSERT INTO {lab}.session VALUES ('a', 1, '[]'), ('b', 1, NULL), ('c', 2, '[1]'), ('d', 3, NULL)",
    "INSERT INTO {lab}.session__trial SELECT s, 1, REPEAT('x', 5000) FROM {lab}.session",
    "INSERT INTO {lab}.scan VALUES ('a'), ('c')",
)
LAB_B = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.scan (k int AUTO_INCREMENT PRIMARY KEY, v int)",
    "INSERT INTO {lab}.scan VALUES (1, 1), (2, 2)",
)
OWN = (
    "CREATE DATABASE {own}",
    "CREATE TABLE {own}.notes (n int PRIMARY KEY, words varchar(99))",
    "INSERT INTO {own}.notes VALUES (1, 'the lab''s own')",
)
READS = re.compile(
    r"\s*\(*(SELECT|WITH|SHOW|SET (?!GLOBAL|PERSIST|PASSWORD)|START TRANSACTION|COMMIT|ROLLBACK|KILL"
    r"|CREATE TEMPORARY TABLE|DROP TEMPORARY TABLE|PREPARE djlink_check FROM 'SELECT|DEALLOCATE PREPARE)\b"
)
CREATED = re.compile(r"CREATE TEMPORARY TABLE (\S+)")
WRITES = re.compile(
    r"(?:INSERT (?:IGNORE )?INTO|DELETE(?: \S+)? FROM|UPDATE|TRUNCATE TABLE|ALTER TABLE) (\S+)"
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, all that it printed, how long it took, and MB of memory more."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float

    @property
    def text(self) -> str:
        """All that was printed."""
        return self.out + self.err


class LyingLab:
    """The pipeline. `liar` is before the first source; before the others are liars that say the truth."""

    def __init__(self, rig: Rig, liars: dict[str, Liar]) -> None:
        self.rig, self.liars, self.liar = rig, liars, liars["lab_a"]
        self._number = 100
        tables = {"*": {}, "Subject": {"where": "id < 90"}}
        self.path = self._manifest({"tables": tables}, "djlink.yaml")
        self.part = self._manifest({"tables": ["Subject"]}, "part.yaml")
        self.build()

    def _manifest(self, rules: dict[str, Any], name: str) -> Path:
        document = self.rig.document({"lab_a": {"lab": rules}, "lab_b": {"lab": {"tables": "*"}}})
        for server, liar in self.liars.items():
            place = document["local"] if server == "local" else document["sources"][server]
            place["port"] = liar.port
        return self.rig.write(document, name)

    def build(self) -> None:
        """Make everything anew: pulled, with a request and with rows to pull."""
        rig, view = self.rig, f"`{owner_schema(self.rig.outbound)}`"
        for server in dict.fromkeys(rig.servers):
            drop_everything(server, rig.names)
        for name, statements in (("lab_a", LAB_A), ("lab_b", LAB_B), ("local", OWN)):
            for statement in statements:
                rig.run(name, statement)
        rig.accounts({"lab_a": ["lab"], "lab_b": ["lab"]})
        create_owner(rig.server("lab_a"), rig.names("owner"), PASSWORD, [rig.names("lab")])
        rig.run("lab_a", f"CREATE DATABASE {view}")
        for user, rights in (("link", "SELECT, CREATE VIEW, DROP"), ("owner", "SELECT, INSERT, DELETE")):
            rig.run("lab_a", f"GRANT {rights} ON {view}.* TO `{rig.names(user)}`@'%'")
        told = self.says("apply", "--auto-approve")
        assert told.code == 0, told.text
        requests = f"{view}.`{rig.names('lab_scan_requests')}`"
        rig.run("lab_a", f"INSERT INTO {requests} (s, reason) VALUES ('c', 'x')")
        self.more_rows()

    def more_rows(self) -> None:
        """Rows at both sources that are not pulled yet."""
        n = self._number = self._number + 1
        self.rig.run("lab_a", f"INSERT INTO {{lab}}.session VALUES ('n{n}', 2, NULL)")
        self.rig.run("lab_b", "INSERT INTO {lab}.scan (v) VALUES (7)")

    def says(self, *arguments: str, lie: Lie = truth) -> Ended:
        """Run a command while the first source tells a lie."""
        for each in self.liars.values():
            each.forget()
        self.liar.lie = lie
        before, began = _megabytes(), time.monotonic()
        words = (
            arguments if "source" in arguments or "-f" in arguments else (*arguments, "-f", str(self.path))
        )
        environ = {**self.rig.environ, "DJ_HOST": "127.0.0.1", "DJ_USER": self.rig.names("owner")}
        try:
            ended = called(*words, environ=environ, folder=self.rig.folder)
        finally:
            self.liar.lie = truth
        took = time.monotonic() - began
        return Ended(ended.returncode, ended.stdout, ended.stderr, took, _megabytes() - before)

    def written(self, server: str) -> list[str]:
        """The statements that a server got and that write other tables than temporary ones of the session."""
        statements = self.liars[server].statements
        made = {m[1] for text in statements if (m := CREATED.match(text))}
        return [text for text in statements if not READS.match(text) and _target(text) not in made]

    def scans(self) -> tuple[int, int]:
        """The other source's rows: there, and pulled."""
        local = self.rig.local_schema("lab_b", "lab")
        [(there,)] = self.rig.run("lab_b", "SELECT COUNT(*) FROM {lab}.scan")
        [(here,)] = self.rig.run("local", f"SELECT COUNT(*) FROM `{local}`.scan")
        return int(there), int(here)

    def own(self) -> list[Any]:
        """What the local server holds beside the first source's tables."""
        notes = self.rig.run("local", "SELECT * FROM {own}.notes")
        schemas = self.rig.run(
            "local",
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA <>"
            f" '{self.rig.local_schema('lab_a', 'lab')}' AND TABLE_SCHEMA NOT IN ('sys', 'mysql')"
            f" AND TABLE_SCHEMA LIKE '{self.rig.names.pattern}' ORDER BY 1, 2",
        )
        return [*notes, *schemas]


def _target(text: str) -> str:
    found = WRITES.match(text)
    return found[1] if found else ""


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def lying_lab(servers: Servers, folder: Path) -> Iterator[LyingLab]:
    """The pipeline on these servers, dropped at the end."""
    rig = Rig(servers, new_names(), folder)
    with ExitStack() as stack:
        for server in dict.fromkeys(servers):
            stack.callback(drop_everything, server, rig.names)
        liars = {
            name: stack.enter_context(lying(rig.server(name).host, rig.server(name).port))
            for name in ("lab_a", "lab_b", "local")
        }
        yield LyingLab(rig, liars)
