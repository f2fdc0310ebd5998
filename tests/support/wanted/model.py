"""What is wanted of a small pipeline: the sentences of the definition in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Value = int | str | None
Key = tuple[Value, ...]
Entity = tuple[str, Key]  # the master table, and its key


@dataclass(slots=True)
class ForeignKey:
    """Columns that name the primary key of `parent`, a master or a part."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(slots=True)
class Table:
    """A master, or a part of `master`, in a schema; `types` holds the columns in their order."""

    name: str
    schema: str
    master: str | None = None
    key: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    nullable: set[str] = field(default_factory=set)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    rows: list[dict[str, Value]] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The table in a statement for `Rig.run`."""
        return f"{{{self.schema}}}.{self.name}"

    def key_of(self, row: Mapping[str, Value], columns: Sequence[str] | None = None) -> Key:
        return tuple(folded(row[c]) for c in columns or self.key)

    def ddl(self, parents: Mapping[str, Table]) -> str:
        lines = [f"`{c}` {t} {'NULL' if c in self.nullable else 'NOT NULL'}" for c, t in self.types.items()]
        lines.append(f"PRIMARY KEY ({', '.join(self.key)})")
        lines += [
            f"FOREIGN KEY ({', '.join(k.columns)})"
            f" REFERENCES {parents[k.parent].place} ({', '.join(k.parent_columns)})"
            for k in self.foreign_keys
        ]
        return f"CREATE TABLE {self.place} ({', '.join(lines)})"

    def insert(self, rows: list[dict[str, Value]]) -> str:
        values = ", ".join(f"({', '.join(literal(row[c]) for c in self.types)})" for row in rows)
        return f"INSERT INTO {self.place} ({', '.join(self.types)}) VALUES {values}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What the manifest says of one table: `where` as it stands there, and what it means."""

    pull: str = "all"
    where: Any = None

    def written(self) -> dict[str, Any]:
        return {"pull": self.pull, **({"where": self.where} if self.where is not None else {})}

    def meets(self, row: Mapping[str, Value]) -> bool:
        """Whether a row of the master meets `where`. The forms are those of `random_where`."""
        v = row["v"]
        match self.where:
            case None:
                return True
            case str() as text:
                return v is not None and int(v) < int(text.rpartition(" ")[2])
            case {"v": list() as values}:
                return v in values
            case {"v": value}:
                return bool(v == value)
            case [{"v": value}, str() as text]:
                return bool(v == value) or (v is not None and int(v) > int(text.rpartition(" ")[2]))
            case _:
                raise AssertionError(self.where)


@dataclass(slots=True)
class Model:
    """A pipeline with its rules, and who holds, asks and approved what: sets of entities."""

    tables: dict[str, Table]
    rules: dict[str, Rule]  # the linked masters
    held: set[Entity] = field(default_factory=set)
    requested: set[Entity] = field(default_factory=set)
    approved: set[Entity] = field(default_factory=set)

    def entities(self, name: str) -> set[Entity]:
        return {(name, self.tables[name].key_of(row)) for row in self.tables[name].rows}

    def parts(self, name: str) -> list[Table]:
        return [t for t in self.tables.values() if t.master == name]

    def part_rows(self, part: Table, entities: set[Entity]) -> int:
        master = self.tables[part.master or ""]
        return sum((master.name, part.key_of(row, master.key)) in entities for row in part.rows)

    def references(
        self, entity: Entity, only: tuple[str, tuple[str, ...], str] | None = None
    ) -> Iterator[Entity]:
        """The linked entities that the master row and the part rows of an entity name; a NULL names nothing.

        `only` is one foreign key: the referring table, its columns and the table that they refer to.
        """
        name, key = entity
        master = self.tables[name]
        for table in (master, *self.parts(name)):
            for row in table.rows:
                if table.key_of(row, master.key) != key:
                    continue
                for foreign_key in table.foreign_keys:
                    if only not in (None, (table.name, foreign_key.columns, foreign_key.parent)):
                        continue
                    target = self._target(row, foreign_key)
                    if target is not None and target[0] != name and target[0] in self.rules:
                        yield target

    def _target(self, row: Mapping[str, Value], foreign_key: ForeignKey) -> Entity | None:
        values = [row[c] for c in foreign_key.columns]
        if None in values:
            return None
        parent = self.tables[foreign_key.parent]
        named = dict(zip(foreign_key.parent_columns, values, strict=True))
        if parent.master is None:
            return parent.name, parent.key_of(named)
        found = next(r for r in parent.rows if all(folded(r[c]) == folded(v) for c, v in named.items()))
        return parent.master, parent.key_of(found, self.tables[parent.master].key)

    def allowed(self) -> dict[str, set[Entity]]:
        """By link, what `where` and the linked parents allow; a table stands behind those it refers to."""
        found: dict[str, set[Entity]] = {}
        for name, rule in self.rules.items():
            if rule.pull == "none":
                found[name] = {e for e in self.held if e[0] == name}
                continue
            table = self.tables[name]
            meeting = {(name, table.key_of(row)) for row in table.rows if rule.meets(row)}
            found[name] = {e for e in meeting if all(p in found[p[0]] for p in self.references(e))}
        return found

    def wanted(self) -> dict[str, set[Entity]]:
        """By link, what the manifest asks for."""
        allowed, found = self.allowed(), dict[str, set[Entity]]()
        for name in reversed(self.rules):
            found[name] = allowed[name]
            if self.rules[name].pull == "needed":
                users = {e for wanted in found.values() for e in wanted if e[0] != name} | self.held
                found[name] = allowed[name] & {p for e in users for p in self.references(e)}
        return found

    def blocked_by_request(self) -> set[Entity]:
        """What is asked back or approved, and all that refers to it."""
        found = self.requested | self.approved
        for name in self.rules:
            found |= {e for e in self.entities(name) if any(p in found for p in self.references(e))}
        return found

    def apply(self) -> None:
        """Hold what an apply pulls."""
        wanted, barred = self.wanted(), self.blocked_by_request()
        for name in self.rules:
            self.held |= wanted[name] - barred

    def parentless(self, name: str, late: Collection[str]) -> Counter[str]:
        """By foreign key to one of the links `late`, the rows of held entities whose parent is not held."""
        found, master = dict[str, int](), self.tables[name]
        for table in (master, *self.parts(name)):
            for key in table.foreign_keys:
                named = self.tables[key.parent].master or key.parent
                if named in late and named != name:
                    rows = [r for r in table.rows if (name, table.key_of(r, master.key)) in self.held]
                    targets = [self._target(row, key) for row in rows]
                    # of two foreign keys that say the same the local table has one
                    found[f"{table.name} {key.columns} {key.parent} {key.parent_columns}"] = sum(
                        target is not None and target not in self.held for target in targets
                    )
        return +Counter(found)


def literal(value: Value) -> str:
    return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def folded(value: Value) -> Value:
    """A text as its collation takes it, which tells no case apart."""
    return value.lower() if isinstance(value, str) else value
