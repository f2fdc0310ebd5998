# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""The place of the random histories: a pipeline on real servers, its owner, a lab, and the lab's manifest.

Everybody works with an account of their own: the owner with what `djlink grants --owner` prints and all
rights on their own schema, djlink with those of the link user and of the local user. Root only looks, loads
the lab's dumps, and brings everything back to the beginning.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import FIELD_TYPE

from djlink_manifest.model.server.address import Secret, ServerAddress
from djlink_manifest.model.server.rights import LOCAL_RIGHTS, REMOVAL_RIGHTS
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.owner.desk import Desk, open_desk
from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.demo import pipeline
from djlink_manifest.sandbox.servers.accounts import (
    create_link_user,
    create_local_user,
    create_owner,
    quoted_name,
)
from tests.support.faults.crash import Applier
from tests.support.histories.dumps import unchecked
from tests.support.rig import PASSWORD, Rig
from tests.support.snapshots import Saved
from tests.support.sql import LENIENT, ask, root

# by a foreign key, for a key that stands already, for a request that was approved before
REFUSED = (1217, 1451, 1452, 1062, 1369)
NO_TABLE = 1146
# a change of a local table: rows that break a check, a name that is taken, what is not there to be dropped
UNCHANGED = (3819, 4025, 1061, 1091, 1826, 1022, 1005, 3940)
# what the lab asks of its `note` beside what the source asks, and how it ends that; by MySQL's name for it
LAB_RULES = {
    "check": ("ADD CONSTRAINT own_check CHECK (v < 2)", "DROP CONSTRAINT own_check"),
    "unique key": ("ADD UNIQUE KEY own_unique (s, v)", "DROP KEY own_unique"),
    "foreign key": (
        "ADD CONSTRAINT own_key FOREIGN KEY (v) REFERENCES {own}.code (v)",
        "DROP FOREIGN KEY own_key",
    ),
}
ROOT = Path(__file__).parents[3]
# what a manifest calls the source, at first; and what it may call it later
NAME, OTHER_NAME = "lab_a", "kyoto"

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, v int NOT NULL, best date)",
    "CREATE TABLE {lab}.session (s date PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (s date, n int, v int NOT NULL, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.session__wave (s date, n int, w int, PRIMARY KEY (s, n, w),"
    " FOREIGN KEY (s, n) REFERENCES {lab}.session__trial (s, n))",
    "CREATE TABLE {lab}.note (n int PRIMARY KEY, s date, v int NOT NULL,"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    # a circle, of which the local server has but the other half
    "ALTER TABLE {lab}.subject ADD FOREIGN KEY (best) REFERENCES {lab}.session (s)",
)
# of the lab's own, beside `analysis`: rows that go with a part's row, and rows that it leaves behind changed
OWN_TABLES = (
    "CREATE TABLE {own}.code (v int PRIMARY KEY)",
    "INSERT INTO {own}.code VALUES (0), (1)",
    "CREATE TABLE {own}.remark (r int PRIMARY KEY, s date, n int,"
    " FOREIGN KEY (s, n) REFERENCES {here}.session__trial (s, n) ON DELETE CASCADE)",
    "CREATE TABLE {own}.label (r int PRIMARY KEY, s date, n int,"
    " FOREIGN KEY (s, n) REFERENCES {here}.session__trial (s, n) ON DELETE SET NULL)",
)
OWN = ("analysis", "remark", "label")
# without it DataJoint deletes nothing above them
LINEAGE = (
    "INSERT INTO {{own}}.`~lineage` (table_name, attribute_name, lineage)"
    " SELECT '{table}', attribute_name, lineage FROM {{here}}.`~lineage`"
    " WHERE table_name = 'session__trial' AND attribute_name IN ('s', 'n')"
)
MASTERS = {"subject": "id", "session": "s", "note": "n"}
CLASSES = {"subject": "Subject", "session": "Session", "note": "Note"}
PARTS = ("session__wave", "session__trial")  # of `session`, the lower first
SOURCE = (*MASTERS, *PARTS)

Rows = Mapping[str, frozenset[tuple[Any, ...]]]


def key_of(table: str, n: int) -> Any:
    """The n-th key of a table: a session's is a day, of which the second is none that servers compare."""
    if table != "session":
        return n
    return "0000-00-00" if n == 2 else f"2026-01-{n:02}"


def is_lost(table: str, row: tuple[Any, ...], lab: Rows, source: Rows) -> bool:
    """Whether a row that stood at the lab is gone, and not only changed, or gone as the source's part row."""
    if table not in SOURCE:
        return True
    columns = {"session__wave": 3, "session__trial": 2}.get(table, 1)
    still, known = (
        any(each[:columns] == row[:columns] for each in rows) for rows in (lab[table], source[table])
    )
    return not still and (known or table not in PARTS)


def parts_of(rows: Rows, session: Any) -> set[tuple[Any, ...]]:
    """The keys of a session's part rows."""
    return {
        (part, *row[: 3 if part == "session__wave" else 2])
        for part in PARTS
        for row in rows[part]
        if row[0] == session
    }


class Place:
    """The pipeline, all of it linked once, and a table of the lab's own that depends on linked rows.

    `torn` tells that tables may have gone since, so that a reset has to look.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig, self.torn = rig, False
        self.name = NAME
        self.asked: str | None = None
        for statement in TABLES:
            rig.run("lab_a", statement)
        self.owners = owner_schema(rig.outbound)
        source, schemas = rig.servers.lab_a, [rig.names("lab")]
        create_link_user(
            source,
            rig.names("link"),
            PASSWORD,
            schemas,
            rig.outbound,
            owner_schema=self.owners,
            removing=True,
        )
        create_owner(source, rig.names("owner"), PASSWORD, schemas, owner_schema=self.owners)
        rights = (*LOCAL_RIGHTS, *REMOVAL_RIGHTS)
        create_local_user(rig.servers.local, rig.names("lab"), PASSWORD, [rig.names.pattern], rights)
        rig.environ.update(LINK_PASS=PASSWORD, DJ_PASS=PASSWORD)
        self.local = rig.local_schema(NAME, "lab")
        _, report = rig.apply(self.document({}))
        assert report.succeeded
        self.own = rig.names("own")
        dj = pipeline.load_datajoint()
        self.connection = pipeline.connect(rig.servers.local, rig.names("lab"), PASSWORD)
        self.linked = dj.VirtualModule("linked", self.local, connection=self.connection)
        declare_own(dj.Schema(self.own, {"linked": self.linked}, connection=self.connection))
        for statement in (*OWN_TABLES, *(LINEAGE.format(table=t) for t in OWN if t != "analysis")):
            self.lab(statement)
        self.owner = source.connect(rig.names("owner"), PASSWORD)
        self._owner_runs(LENIENT)
        self._decoders = {server: root(server).decoders for server in (source, rig.servers.local)}
        for server, decoders in self._decoders.items():
            # '0000-00-00' is no date of Python's
            root(server).decoders = {t: d for t, d in decoders.items() if t != FIELD_TYPE.DATE}
        self.applier = Applier(rig.environ, ROOT)
        self._whole = [(source, Saved.of(source, rig.outbound)), self._local()]
        self._views = dict(self._made_views())

    def _local(self) -> tuple[SandboxServer, Saved]:
        local = self.rig.servers.local
        return local, Saved.of(local, self.local)

    def _made_views(self) -> Iterator[tuple[str, str]]:
        for name in self._view_names():
            [(_, text, *_)] = ask(
                self.rig.servers.lab_a, f"SHOW CREATE VIEW {quoted_name(self.owners)}.{quoted_name(name)}"
            )
            yield name, text

    def _view_names(self) -> set[str]:
        text = "SELECT table_name FROM information_schema.views WHERE table_schema = %s"
        return {name for (name,) in ask(self.rig.servers.lab_a, text, (self.owners,))}

    def address(self, table: str) -> str:
        """The address of a link, under the present name of the source."""
        return self.rig.address(self.name, "lab", CLASSES[table])

    def document(
        self,
        options: Mapping[str, Mapping[str, Any]],
        out: Mapping[str, str | None] = {},
        approvals: Sequence[Mapping[str, Any]] = (),
        misspelt: str | None = None,
        moved: Sequence[Mapping[str, str]] = (),
    ) -> dict[str, Any]:
        """A manifest of all tables but those `out` of it, with these options of theirs.

        `out` says what `removed` does with the local table; None: it does not name the table. One name may be
        misspelt. `moved` says what the source was called.
        """
        tables = {
            name + "x" * (t == misspelt): dict(options.get(name, {}))
            for t, name in CLASSES.items()
            if t not in out
        }
        more: dict[str, Any] = {}
        removed = {self.address(table): {"table": how} for table, how in out.items() if how}
        if removed:
            more["removed"] = removed
        if approvals:
            more["approvals"] = [dict(each) for each in approvals]
        if moved:
            more["moved"] = [dict(each) for each in moved]
        document = self.rig.document({NAME: {"lab": {"tables": tables}}}, **more)
        document["defaults"]["schema_name"] = self.local  # whatever the source is called
        document["sources"] = {self.name: document["sources"][NAME]}
        return document

    def reset(self) -> None:
        """No row anywhere; all tables and marks stand."""
        if self.torn:
            for server, saved in self._whole:
                saved.put_back(server)
            for name in sorted(self._views.keys() - self._view_names()):
                ask(self.rig.servers.lab_a, self._views[name])
            self.torn, self.asked, self.name = False, None, NAME
            lineage = "UPDATE {own}.`~lineage` SET lineage = REPLACE(lineage, '%s.', '%s.')"
            self.lab(lineage % (OTHER_NAME, NAME))
        outbound = [
            f"`{self.rig.outbound}`.`{self.rig.names('lab')}_{name}{ending}`"
            for name in MASTERS
            for ending in ("", "_deletion_requested", "_deletion_approved", "_history")
        ]
        source = [f"`{self.rig.names('lab')}`.{name}" for name in SOURCE]
        asked = [f"{name}__deletion_requested" for name in MASTERS]
        local = [f"`{self.own}`.{name}" for name in OWN]
        local += [f"`{self.local}`.{name}" for name in (*asked, *SOURCE)]
        for server, tables in ((self.rig.servers.lab_a, outbound + source), (self.rig.servers.local, local)):
            with unchecked(server):
                for table in tables:
                    ask(server, f"DELETE FROM {table}")

    # people at work

    def source(self, text: str, *args: object) -> bool:
        """A statement of the source's owner; whether it was done. One that is refused changes nothing."""
        return tried(lambda: self._owner_runs(self.rig.sql(text), args))

    def _owner_runs(self, text: str, args: Sequence[object] = ()) -> None:
        with self.owner.cursor() as cursor:
            cursor.execute(text, args or None)

    def view(self, table: str, kind: str) -> str:
        """An owner's view, as it stands in a statement."""
        return f"{quoted_name(self.owners)}.{quoted_name(self.rig.names('lab') + f'_{table}_{kind}')}"

    def takes_requests(self, table: str) -> bool:
        """Whether the owner's view of a link's requests stands: an apply that ends a link drops it first."""
        return self.rig.names("lab") + f"_{table}_requests" in self._view_names()

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """The owner at the desk of `djlink source`."""
        server = self.rig.servers.lab_a
        address = ServerAddress(
            "lab_a", server.host, server.port, self.rig.names("owner"), Secret(PASSWORD), None
        )
        with open_desk(address) as desk:
            yield desk

    def lab(self, text: str, *args: object) -> bool:
        """A statement of the lab's own; `{here}` is the schema of the linked tables, `{own}` the lab's."""
        text = text.format(here=f"`{self.local}`", own=f"`{self.own}`")
        return tried(lambda: ask(self.rig.servers.local, text, args), NO_TABLE, *UNCHANGED)

    def lab_drops(self, table: str) -> None:
        """Drop a local table with its parts, whatever refers to it."""
        parts = [f"{table}__deletion_requested", *(PARTS if table == "session" else ())]
        names = ", ".join(f"`{self.local}`.`{name}`" for name in (*parts, table))
        self.torn = True
        with unchecked(self.rig.servers.local):
            ask(self.rig.servers.local, f"DROP TABLE IF EXISTS {names}")

    def lab_asks(self, rule: str | None) -> None:
        """Make one rule of the lab's own the only one, or end it."""
        for change in (
            *([LAB_RULES[self.asked][1]] if self.asked else []),
            *([LAB_RULES[rule][0]] if rule else []),
        ):
            self.torn = True
            self.lab(f"ALTER TABLE {{here}}.note {change}")
        self.asked = rule

    # what stands

    def at_source(self) -> Rows:
        """The source's rows."""
        schema = self.rig.names("lab")
        return {t: frozenset(ask(self.rig.servers.lab_a, f"SELECT * FROM `{schema}`.{t}")) for t in SOURCE}

    def at_lab(self) -> Rows:
        """The local rows, and the lab's own."""
        server = self.rig.servers.local
        rows = {t: frozenset(standing(server, f"SELECT * FROM `{self.local}`.{t}")) for t in SOURCE}
        return rows | {t: frozenset(ask(server, f"SELECT * FROM `{self.own}`.{t}")) for t in OWN}

    def keys(self, table: str, ending: str = "") -> set[Any]:
        """The keys in an outbound table, or in one beside it."""
        return {row[0] for row in self._outbound(table, ending, f"`{MASTERS[table]}`")}

    def requests(self, table: str) -> dict[Any, tuple[datetime, bool]]:
        """The requested keys, with when they were asked for and whether they were granted."""
        what = f"`{MASTERS[table]}`, requested_at, granted_at IS NOT NULL"
        return {k: (at, bool(g)) for k, at, g in self._outbound(table, "_deletion_requested", what)}

    def ledger(self, table: str) -> Counter[Any]:
        """The rows of a link's ledger."""
        return Counter(self._outbound(table, "_history", "*"))

    def is_linked(self, table: str) -> bool:
        """Whether the source's server has a mark of the link."""
        text = f"SELECT 1 FROM `{self.rig.outbound}`.`~djlink` WHERE source_table = %s"
        return bool(ask(self.rig.servers.lab_a, text, (table,)))

    def _outbound(self, table: str, ending: str, what: str) -> list[tuple[Any, ...]]:
        name = f"`{self.rig.outbound}`.`{self.rig.names('lab')}_{table}{ending}`"
        return standing(self.rig.servers.lab_a, f"SELECT {what} FROM {name}")

    def wait_for_the_dead(self) -> None:
        """Until the servers have ended a killed process's sessions; those of people live on."""
        until = time.monotonic() + 60
        [(lab,)] = self.connection.query("SELECT CONNECTION_ID()").fetchall()
        with self.owner.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            [(owner,)] = cursor.fetchall()
        people = {"local": {lab}, "lab_a": {owner}}
        while any(self.rig.own_sessions(server) - known for server, known in people.items()):
            assert time.monotonic() < until, "the sessions of a killed process live on"
            time.sleep(0.01)

    def close(self) -> None:
        """End the process that applies, and people's sessions."""
        self.applier.close()
        for server, decoders in self._decoders.items():
            root(server).decoders = decoders
        self.connection.close()
        self.owner.close()


def declare_own(schema: Any) -> None:
    """A table of the lab's own, which depends on a linked one."""
    import datajoint as dj

    @schema
    class Analysis(dj.Manual):
        definition = """
        -> linked.Session
        a : int32
        """


def standing(server: SandboxServer, text: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT, none where its table does not stand."""
    try:
        return ask(server, text)
    except pymysql.MySQLError as error:
        if error.args[0] != NO_TABLE:
            raise
        return []


def tried(act: Any, *also: int) -> bool:
    """Do something that a server may refuse, as it refuses people, or for `also`; whether it was done."""
    try:
        act()
    except pymysql.MySQLError as error:
        if error.args[0] not in (*REFUSED, *also):
            raise
        return False
    return True
