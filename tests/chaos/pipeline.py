"""The tables at each source, and what a manifest wants of them: written down once more, for this alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Key: TypeAlias = tuple[Any, ...]
Row: TypeAlias = dict[str, Any]
Reference: TypeAlias = tuple[str, Key]  # a table and a key of it


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the sources. `parents` are its foreign keys: columns, and the table whose key they name.

    `part` is its part table, with the key columns beyond the master's; `wide` and `narrow` the `where` of two
    manifests, as SQL and as a rule.
    """

    name: str
    schema: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    parents: tuple[tuple[tuple[str, ...], str], ...] = ()
    part: str | None = None
    part_key: tuple[str, ...] = ()
    part_columns: tuple[str, ...] = ()
    part_parents: tuple[tuple[tuple[str, ...], str], ...] = ()
    where: Mapping[str, tuple[str, Callable[[Row], bool]]] = field(default_factory=dict)
    needed: bool = False

    @property
    def class_name(self) -> str:
        """The name of its DataJoint class."""
        return self.name.title()

    @property
    def base(self) -> str:
        """The name of its outbound table."""
        return f"{self.schema}_{self.name}"

    @property
    def part_table(self) -> str:
        """The name of its part table."""
        return f"{self.name}__{self.part}"


TABLES = (
    Table("species", "lab", ("species",), ("species", "family"), needed=True),
    Table("person", "lab", ("person",), ("person", "office"), needed=True),
    Table(
        "stimulus",
        "lab",
        ("stimulus",),
        ("stimulus", "kind"),
        where={
            "wide": ("kind <> 'junk'", lambda row: row["kind"] != "junk"),
            "narrow": ("kind NOT IN ('junk', 'test')", lambda row: row["kind"] not in ("junk", "test")),
        },
    ),
    Table(
        "subject",
        "lab",
        ("subject",),
        ("subject", "species", "quality", "note"),
        parents=((("species",), "species"),),
        where={
            "wide": ("quality >= 2", lambda row: row["quality"] >= 2),
            "narrow": ("quality >= 3", lambda row: row["quality"] >= 3),
        },
    ),
    Table(
        "session",
        "lab",
        ("subject", "n"),
        ("subject", "n", "person", "parts", "total", "note"),
        parents=((("subject",), "subject"), (("person",), "person")),
        part="trial",
        part_key=("k",),
        part_columns=("subject", "n", "k", "stimulus", "value"),
        part_parents=((("stimulus",), "stimulus"),),
    ),
    Table(
        "recording",
        "ephys",
        ("subject", "n", "probe"),
        ("subject", "n", "probe", "parts", "total"),
        parents=((("subject", "n"), "session"),),
        part="unit",
        part_key=("unit",),
        part_columns=("subject", "n", "probe", "unit", "value"),
    ),
    Table(
        "spikes",
        "ephys",
        ("spikes",),
        ("spikes", "subject", "n", "probe", "rate"),
        parents=((("subject", "n", "probe"), "recording"),),
    ),
    Table(
        "pairing",
        "ephys",
        ("one", "other"),
        ("one", "other", "note"),
        parents=((("one",), "subject"), (("other",), "subject")),
    ),
)
BY_NAME = {table.name: table for table in TABLES}
CHILDREN = {
    t.name: tuple(
        (c, columns, in_part)
        for c in TABLES
        for in_part, keys in ((False, c.parents), (True, c.part_parents))
        for columns, parent in keys
        if parent == t.name
    )
    for t in TABLES
}

DDL = (
    "CREATE TABLE {lab}.species (species varchar(12) PRIMARY KEY, family varchar(20))",
    "CREATE TABLE {lab}.person (person int AUTO_INCREMENT PRIMARY KEY, office varchar(20))",
    "CREATE TABLE {lab}.stimulus (stimulus int PRIMARY KEY, kind varchar(12) NOT NULL)",
    "CREATE TABLE {lab}.subject (subject varchar(24) PRIMARY KEY, species varchar(12), quality int NOT NULL,"
    " note varchar(60), FOREIGN KEY (species) REFERENCES {lab}.species (species))",
    "CREATE TABLE {lab}.session (subject varchar(24), n int, person int, parts int NOT NULL,"
    " total int NOT NULL, note varchar(60), PRIMARY KEY (subject, n),"
    " FOREIGN KEY (subject) REFERENCES {lab}.subject (subject),"
    " FOREIGN KEY (person) REFERENCES {lab}.person (person))",
    "CREATE TABLE {lab}.session__trial (subject varchar(24), n int, k int, stimulus int, value int NOT NULL,"
    " PRIMARY KEY (subject, n, k), FOREIGN KEY (subject, n) REFERENCES {lab}.session (subject, n),"
    " FOREIGN KEY (stimulus) REFERENCES {lab}.stimulus (stimulus))",
    "CREATE TABLE {ephys}.recording (subject varchar(24), n int, probe int, parts int NOT NULL,"
    " total int NOT NULL, PRIMARY KEY (subject, n, probe),"
    " FOREIGN KEY (subject, n) REFERENCES {lab}.session (subject, n))",
    "CREATE TABLE {ephys}.recording__unit (subject varchar(24), n int, probe int, unit int,"
    " value int NOT NULL, PRIMARY KEY (subject, n, probe, unit),"
    " FOREIGN KEY (subject, n, probe) REFERENCES {ephys}.recording (subject, n, probe))",
    "CREATE TABLE {ephys}.spikes (spikes int PRIMARY KEY, subject varchar(24), n int, probe int, rate int,"
    " FOREIGN KEY (subject, n, probe) REFERENCES {ephys}.recording (subject, n, probe))",
    "CREATE TABLE {ephys}.pairing (one varchar(24), other varchar(24), note varchar(60),"
    " PRIMARY KEY (one, other), FOREIGN KEY (one) REFERENCES {lab}.subject (subject),"
    " FOREIGN KEY (other) REFERENCES {lab}.subject (subject))",
)


@dataclass(slots=True)
class Content:
    """All rows of the pipeline on one side: `masters` by table and key, `parts` by table and master's key."""

    masters: dict[str, dict[Key, Row]] = field(default_factory=dict)
    parts: dict[str, dict[Key, list[Row]]] = field(default_factory=dict)

    def add(self, table: Table, masters: list[Row], parts: list[Row]) -> None:
        """Take in the rows of a table and its part."""
        self.masters[table.name] = {key_of(table, row): row for row in masters}
        self.parts[table.name] = defaultdict(list)
        for row in parts:
            self.parts[table.name][key_of(table, row)].append(row)

    def references(self, table: Table, key: Key) -> Iterator[Reference]:
        """What the rows of an entity refer to."""
        yield from references(table, self.masters[table.name][key], self.parts[table.name].get(key, ()))

    def entity(self, table: Table, key: Key) -> tuple[Row, list[Row]]:
        """An entity's rows, in an order."""
        parts = sorted(self.parts[table.name].get(key, ()), key=lambda row: [row[c] for c in table.part_key])
        return self.masters[table.name][key], parts


def key_of(table: Table, row: Row) -> Key:
    """The key of a row of a table or its part."""
    return tuple(row[column] for column in table.key)


def references(table: Table, master: Row, parts: Any = ()) -> Iterator[Reference]:
    """What the rows of an entity refer to; a foreign key with a NULL refers to nothing."""
    for rows, keys in (((master,), table.parents), (parts, table.part_parents)):
        for row in rows:
            for columns, parent in keys:
                key = tuple(row[column] for column in columns)
                if None not in key:
                    yield parent, key


def wanted(source: Content, held: Mapping[str, set[Key]], manifest: str) -> dict[str, set[Key]]:
    """The keys that a manifest wants of each table, where these are held."""
    found: dict[str, set[Key]] = {}
    for table in TABLES:  # parents first
        rule = table.where[manifest][1] if table.where else None
        found[table.name] = {
            key
            for key, row in source.masters[table.name].items()
            if (rule is None or rule(row))
            and all(k in found[parent] for parent, k in source.references(table, key))
        }
    for table in reversed(TABLES):
        if table.needed:
            found[table.name] &= {
                k
                for child, _, _ in CHILDREN[table.name]
                for key in found[child.name] | (held[child.name] & source.masters[child.name].keys())
                for parent, k in source.references(child, key)
                if parent == table.name
            }
    return found


def barred(source: Content, marked: Mapping[str, set[Key]]) -> dict[str, set[Key]]:
    """The keys that are marked (requested or approved), and those below them."""
    found: dict[str, set[Key]] = {}
    for table in TABLES:
        found[table.name] = {
            key
            for key in source.masters[table.name]
            if key in marked[table.name]
            or any(k in found[parent] for parent, k in source.references(table, key))
        }
    return found
