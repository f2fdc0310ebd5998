"""What a table is, as a value: columns, key order, indexes, foreign keys, comment, parts.

Read from a server's catalogue, compared, and rendered as DDL; the source's, the local and the outbound
tables are all values of this one type.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from djlink_manifest.model.tables.naming import master_of

_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"})

# of any length: an index over one of them is over its first characters, but for MariaDB's unique hashes
# the first second that a TIMESTAMP of 32 bits cannot hold
PAST_TIMESTAMP = "2038-01-19 03:14:08"
TEXTS_AND_BLOBS = frozenset(
    f"{size}{kind}" for size in ("tiny", "", "medium", "long") for kind in ("text", "blob")
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is the server's own text (`varchar(32)`, `int unsigned`).

    `default` is None where there is no default clause; `default_is_expression` tells `CURRENT_TIMESTAMP`
    from the text of that name. `generated` is the expression of a generated column; `srid` the spatial system
    that all values are of, None where each has its own.
    """

    name: str
    type: str
    nullable: bool = False
    default: str | None = None
    default_is_expression: bool = False
    on_update: str | None = None
    auto_increment: bool = False
    charset: str | None = None
    collation: str | None = None
    comment: str = ""
    generated: str | None = None
    stored: bool = False
    invisible: bool = False
    srid: int | None = None

    @property
    def base_type(self) -> str:
        """The type's first word in lower case: `varchar`, `int`, `double`."""
        return re.split(r"[ (]", self.type, maxsplit=1)[0].lower()

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers; bits and years are not."""
        return self.base_type in _NUMBERS

    @property
    def is_text(self) -> bool:
        """Whether the values are characters (they have a character set), enum and set included."""
        return self.charset is not None


@dataclass(frozen=True, slots=True)
class IndexPart:
    """A column, or an expression, of an index; `length` is a prefix in characters or bytes."""

    column: str | None
    expression: str | None = None
    length: int | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index; `kind` is the server's word: BTREE, FULLTEXT, SPATIAL.

    `unused` tells that the optimizer leaves it aside.
    """

    name: str
    parts: tuple[IndexPart, ...]
    unique: bool = False
    kind: str = "BTREE"
    unused: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that the server asks of each row, or, where it is not enforced, of none."""

    name: str
    expression: str
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that name a row of a parent table, in pairs, in the constraint's order."""

    name: str
    columns: tuple[str, ...]
    parent_schema: str
    parent_table: str
    parent_columns: tuple[str, ...]
    on_delete: str = "RESTRICT"
    on_update: str = "RESTRICT"


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table, with its part tables where it is a master.

    `key` is the primary key in key order, which may differ from the columns' order; `prefix_key` says that it
    is over the first characters of a column only. `kind` is `table`, or what else it is. `unreadable` says
    what of the catalogue's words for it no server gives; nothing else is known of the table then.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    parts: tuple[TableDefinition, ...] = ()
    engine: str = "InnoDB"
    collation: str | None = None
    kind: Literal["table", "view", "sequence", "versioned"] = "table"
    partitioned: bool = False
    prefix_key: bool = False
    checks: tuple[Check, ...] = ()
    unreadable: str | None = None

    def column(self, name: str) -> Column:
        """The column of that name; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of all columns, hidden and generated ones too, in their order."""
        return tuple(c.name for c in self.columns)

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns of the primary key, in key order."""
        return tuple(self.column(name) for name in self.key)

    @property
    def tables(self) -> tuple[TableDefinition, ...]:
        """The master, then its parts."""
        return (self, *self.parts)

    def entity_columns(self, of: TableDefinition) -> tuple[str, ...]:
        """The columns of this table, or of a part of it, that hold the entity's key, in key order."""
        held = self.key if of.name == self.name else self.master_columns(of)
        assert held is not None, "a part without its master's key is refused when the link is resolved"
        return held

    def master_columns(self, part: TableDefinition) -> tuple[str, ...] | None:
        """The columns of `part` that hold this master's key, in this table's key order (`parts`).

        None where no chain of foreign keys brings the whole key.
        """
        return master_columns(self, part)

    def digest(self) -> str:
        """SHA-256, in hex, of the whole definition; equal values have equal digests."""
        return _digest(self)


@lru_cache(maxsize=4096)  # a plan asks several times for each link
def _digest(table: TableDefinition) -> str:
    plain = asdict(table, dict_factory=_as_marked)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


# fields that the digests in the marks of earlier versions have not; where they say nothing they do not count
_LATER = frozenset({"prefix_key", "checks", "srid", "unused", "unreadable"})


def _as_marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name not in _LATER or value}


_NO_TABLES = {
    "view": "is a view: a foreign key cannot hold its rows",
    "sequence": "is a sequence: it has no rows",
    "versioned": "is system-versioned: each change of a row creates another row",
}


def unlike_a_table(found: TableDefinition) -> str | None:
    """Why what stands under a name of djlink's is no table of rows, as the end of a sentence; else None."""
    if found.unreadable is not None:
        return found.unreadable
    return f"is not a table but a {found.kind}" if found.kind in ("view", "sequence") else None


def unprotectable(table: TableDefinition) -> str | None:
    """Why a source table cannot be protected by an outbound table, or None where it can."""
    for each in table.tables:
        what = "it" if each is table else f"its part `{each.name}`"
        if each.unreadable is not None:
            return f"{what} {each.unreadable}"
        if each.kind in _NO_TABLES:
            return f"{what} {_NO_TABLES[each.kind]}"
        if each.engine.lower() != "innodb":
            return f"{what} uses the {each.engine} engine, which does not support foreign keys"
        if each.partitioned:
            return f"{what} is partitioned, and partitioned tables do not support foreign keys"
        if not each.key:
            return f"{what} has no primary key"
        if each.prefix_key:
            return f"{what} has a primary key on a prefix of a column, which foreign keys cannot reference"
    for part in table.parts:
        if table.master_columns(part) is None:
            return f"its part `{part.name}` {_out_of_reach(table, part)}"
    return None


def _out_of_reach(table: TableDefinition, part: TableDefinition) -> str:
    """Why no columns of a part hold the key of its master, as the end of a sentence."""
    known = {t.name for t in table.tables}
    named = [k.parent_table for k in part.foreign_keys if k.parent_schema == table.schema]
    unseen = sorted(name for name in named if name not in known and master_of(name) == table.name)
    if unseen:
        return f"refers to `{unseen[0]}`, a part that does not exist or is not visible to the link user"
    if table.name in named:
        return "has no foreign key to the whole primary key of its master"
    through = next((name for name in named if name in known and name != part.name), part.name)
    return f"refers to `{through}` by columns that do not contain the whole primary key of `{table.name}`"


def master_columns(
    master: TableDefinition, part: TableDefinition, keys: Mapping[str, Sequence[ForeignKey]] | None = None
) -> tuple[str, ...] | None:
    """The columns of `part` that hold the master's key, in the master's key order.

    They are found over any chain of foreign keys through other parts, whose columns may be named otherwise at
    each step. Of several ways (a part may name other entities too) the one whose columns have the master's
    names counts, then one within the part's own key, then one that is never NULL, then a direct one. None
    where no way holds the whole key. `keys` replaces the foreign keys of tables, by name.
    """

    def of(table: TableDefinition) -> Sequence[ForeignKey]:
        return table.foreign_keys if keys is None else keys.get(table.name, ())

    plain = [way for key in of(part) if (way := _way(master, part, key, {})) is not None]
    if (master.key, True) in plain and set(master.key) <= set(part.key):
        return master.key  # no other way goes before it
    others = [p for p in master.parts if p.name != part.name]
    found = dict[str, tuple[str, ...]]()
    for _ in range(len(others) + 1):  # a way is no longer than that
        before = dict(found)
        for each in (*others, part):
            ways = [w for key in of(each) if (w := _way(master, each, key, before)) is not None]
            if ways:
                found[each.name] = min(ways, key=lambda way, of=each: _rank(master, of, *way))[0]  # type: ignore[misc]
        if found == before:
            break
    return found.get(part.name)


def _way(
    master: TableDefinition, part: TableDefinition, key: ForeignKey, found: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], bool] | None:
    """The columns in which a foreign key of a part brings the master's key, and whether it is direct."""
    if key.parent_schema != master.schema or key.parent_table == part.name:
        return None
    direct = key.parent_table == master.name
    names = master.key if direct else found.get(key.parent_table)
    pairs = dict(zip(key.parent_columns, key.columns, strict=True))
    if not names or not pairs.keys() >= set(names) or (direct and len(pairs) != len(names)):
        return None
    return tuple(pairs[name] for name in names), direct


def _rank(
    master: TableDefinition, part: TableDefinition, names: tuple[str, ...], direct: bool
) -> tuple[object, ...]:
    nullable = {column.name for column in part.columns if column.nullable}
    return (
        names != master.key,
        not set(names) <= set(part.key),
        bool(nullable & set(names)),
        not direct,
        names,
    )
