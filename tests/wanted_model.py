"""Random small pipelines, and what is wanted of them: the sentences of the definition in plain Python."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = int | str | None
Key = tuple[Value, ...]
Entity = tuple[str, Key]  # the master table, and its key

ATTEMPTS = 7  # rows that are tried per table; some meet no parent, or a key that is there


@dataclass(slots=True)
class ForeignKey:
    """Columns that name the primary key of `parent`, a master or a part."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(slots=True)
class Table:
    """A master, or a part of `master`; `types` holds the columns in their order."""

    name: str
    master: str | None = None
    key: list[str] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    nullable: set[str] = field(default_factory=set)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    rows: list[dict[str, Value]] = field(default_factory=list)

    def key_of(self, row: Mapping[str, Value], columns: list[str] | None = None) -> Key:
        return tuple(row[c] for c in columns or self.key)

    def ddl(self, schema: str) -> str:
        lines = [f"`{c}` {t} {'NULL' if c in self.nullable else 'NOT NULL'}" for c, t in self.types.items()]
        lines.append(f"PRIMARY KEY ({', '.join(self.key)})")
        lines += [
            f"FOREIGN KEY ({', '.join(k.columns)})"
            f" REFERENCES {schema}.{k.parent} ({', '.join(k.parent_columns)})"
            for k in self.foreign_keys
        ]
        return f"CREATE TABLE {schema}.{self.name} ({', '.join(lines)})"

    def insert(self, schema: str, rows: list[dict[str, Value]]) -> str:
        values = ", ".join(f"({', '.join(literal(row[c]) for c in self.types)})" for row in rows)
        return f"INSERT INTO {schema}.{self.name} ({', '.join(self.types)}) VALUES {values}"


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
        found = next(r for r in parent.rows if all(r[c] == v for c, v in named.items()))
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

    def barred(self) -> set[Entity]:
        """What is asked back or approved, and all that refers to it."""
        found = self.requested | self.approved
        for name in self.rules:
            found |= {e for e in self.entities(name) if any(p in found for p in self.references(e))}
        return found


def literal(value: Value) -> str:
    return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def random_pipeline(rnd: random.Random) -> Model:
    """Three to six tables with parts and foreign keys of every sort, and their first rows."""
    model = Model({}, {})
    for number in range(rnd.randint(3, 6)):
        for table in _random_tables(rnd, model, number):
            model.tables[table.name] = table
    for name in masters(model):
        if rnd.random() < 0.88 or not model.rules:
            model.rules[name] = Rule()
    random_rules(rnd, model)
    random_rows(rnd, model)
    return model


def masters(model: Model) -> list[str]:
    return [t.name for t in model.tables.values() if t.master is None]


def random_rules(rnd: random.Random, model: Model) -> None:
    """New rules for the linked tables."""
    for name in model.rules:
        pull = rnd.choice(["all", "all", "all", "needed", "needed", "none"])
        where = random_where(rnd) if pull == "all" and rnd.random() < 0.5 else None
        model.rules[name] = Rule(pull, where)
    if all(rule.pull == "needed" for rule in model.rules.values()):
        model.rules[name] = Rule()  # a manifest in which nothing is wanted is refused


def random_where(rnd: random.Random) -> Any:
    number = rnd.randint(0, 3)
    return rnd.choice(
        [
            {"v": number},
            {"v": [number, None, 2]},
            f"v < {number + 1}",
            f"NOT v >= {number + 1}",
            [{"v": number}, f"v > {number}"],
        ]
    )


def random_rows(rnd: random.Random, model: Model) -> dict[str, list[dict[str, Value]]]:
    """Add rows to every table; the new ones by table."""
    added: dict[str, list[dict[str, Value]]] = {}
    for name in masters(model):
        table = model.tables[name]
        new = [row for _ in range(ATTEMPTS) if (row := _random_row(rnd, model, table, {})) is not None]
        added[name] = new
        for part in model.parts(name):
            added[part.name] = []
            for row in new:
                for number in range(rnd.choice([0, 1, 2, 2])):
                    given = {**{c: row[c] for c in table.key}, "n": number}
                    found = _random_row(rnd, model, part, given)
                    added[part.name] += [found] if found else []
    return added


def _random_tables(rnd: random.Random, model: Model, number: int) -> Iterator[Table]:
    table = Table(f"t{number}")
    earlier = list(model.tables.values())
    own = f"k{number}"
    inherited = rnd.sample(earlier, min(len(earlier), rnd.choice([0, 1, 1, 2])))
    for parent in inherited:
        _refer(rnd, table, parent, primary=True)
    if not inherited or rnd.random() < 0.5:
        table.types[own] = "varchar(8)" if number % 3 == 1 else "int"
        table.key.append(own)
    rnd.shuffle(table.key)
    for parent in rnd.sample(earlier, min(len(earlier), rnd.choice([0, 0, 1, 2]))):
        _refer(rnd, table, parent, primary=False)
    table.types["v"] = "int"
    table.nullable.add("v")
    yield table
    for letter in "ab"[: rnd.choice([0, 0, 1, 2])]:
        part = Table(f"t{number}__{letter}", table.name, [*table.key, "n"])
        part.types = {**{c: table.types[c] for c in table.key}, "n": "smallint"}
        part.foreign_keys.append(ForeignKey(tuple(table.key), table.name, tuple(table.key)))
        if earlier and rnd.random() < 0.6:
            _refer(rnd, part, rnd.choice(earlier), primary=False)
        yield part


def _refer(rnd: random.Random, table: Table, parent: Table, *, primary: bool) -> None:
    """Add a foreign key: under the parent's names, which may be there already, or renamed."""
    same, nullable = rnd.random() < 0.6, not primary and rnd.random() < 0.5
    columns = []
    for name in parent.key:
        fresh = f"{parent.name}_{name}_{len(table.foreign_keys)}"
        column = name if same and name != "n" else fresh
        columns.append(column)
        if column in table.types:
            continue
        table.types[column] = parent.types[name]
        if primary:
            table.key.append(column)
        elif nullable:
            table.nullable.add(column)
    pairs = list(zip(columns, parent.key, strict=True))
    table.foreign_keys.append(ForeignKey(tuple(c for c, _ in pairs), parent.name, tuple(k for _, k in pairs)))


def _random_row(
    rnd: random.Random, model: Model, table: Table, given: Mapping[str, Value]
) -> dict[str, Value] | None:
    """A new row of the table, which no key forbids; None where this try finds none."""
    row = dict(given)
    for foreign_key in table.foreign_keys:
        pairs = list(zip(foreign_key.columns, foreign_key.parent_columns, strict=True))
        empty = [c for c in foreign_key.columns if c in table.nullable and row.get(c) is None]
        if empty and rnd.random() < 0.4:
            row[rnd.choice(empty)] = None
        if any(c in row and row[c] is None for c in foreign_key.columns):
            for column, _ in pairs:
                row.setdefault(column, None if column in table.nullable else rnd.randint(0, 3))
            continue
        parents = [
            p
            for p in model.tables[foreign_key.parent].rows
            if all(row.get(c, p[k]) == p[k] for c, k in pairs)
        ]
        if not parents:
            return None
        chosen = rnd.choice(parents)
        row.update({c: chosen[k] for c, k in pairs})
    for column, type_ in table.types.items():
        if column == "v":
            row["v"] = rnd.choice([None, 0, 1, 2, 3])
        elif column not in row:
            value = rnd.randint(0, 5)
            row[column] = f"x{value}" if type_.startswith("varchar") else value
    ordered = {c: row[c] for c in table.types}
    if any(table.key_of(ordered) == table.key_of(r) for r in table.rows):
        return None
    table.rows.append(ordered)
    return ordered
