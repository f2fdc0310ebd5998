"""Random small pipelines: tables with keys of every sort, rows, rules, and what is asked back."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tests.support.wanted.model import ForeignKey, Model, Rule, Table, Value, folded, literal

WIDEST_KEY = 13  # MySQL takes 16 columns
ATTEMPTS = 7  # rows that are tried per table; some meet no parent, or a key that is there
TEXT = "varchar(8) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"  # both vendors have it


def random_pipeline(rnd: random.Random, *, deep: bool = False) -> Model:
    """Tables of two schemas with parts and foreign keys of every sort, and their first rows.

    They are three to six, or eight to ten that refer to more of the others, some twice to one (`deep`).
    """
    model = Model({}, {})
    chain = not deep and rnd.random() < 0.15  # each table under the one before, so that keys grow
    few = (8, 10) if deep else (5, 8) if chain else (3, 6)
    for number in range(rnd.randint(*few)):
        for table in _random_tables(rnd, model, number, chain=chain, deep=deep):
            model.tables[table.name] = table
    for name in masters(model):
        if rnd.random() < 0.85 or not model.rules:
            model.rules[name] = Rule()
    random_rules(rnd, model)
    random_rows(rnd, model)
    return model


def link_more(rnd: random.Random, model: Model) -> list[str]:
    """Link some of the tables that were not, and give every table a new rule; those linked now."""
    late = [name for name in masters(model) if name not in model.rules and rnd.random() < 0.7]
    rules = {name: Rule() for name in masters(model) if name in model.rules or name in late}
    model.rules.clear()
    model.rules.update(rules)
    random_rules(rnd, model)
    return late


def ask_and_approve(
    rnd: random.Random, model: Model, names: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """Random requests, and approvals of entities that are not held: master, table's ending, values."""
    for name in names:
        table = model.tables[name]
        for entity in sorted(model.entities(name), key=repr):
            chance = rnd.random()
            values = f"({', '.join(table.key)}) VALUES ({', '.join(literal(v) for v in entity[1])})"
            if chance < 0.1:
                model.requested.add(entity)
                yield name, "_deletion_requested", values
            elif chance < 0.15 and entity not in model.held:
                model.approved.add(entity)
                yield name, "_deletion_approved", values


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


def _random_tables(
    rnd: random.Random, model: Model, number: int, *, chain: bool, deep: bool
) -> Iterator[Table]:
    table = Table(f"t{number}", rnd.choice(["lab", "lab", "other"]))
    earlier = list(model.tables.values())
    own = f"k{number}"
    inherited = rnd.sample(earlier, min(len(earlier), rnd.choice([0, 1, 1, 2])))
    if chain:
        inherited = [t for t in earlier if t.master is None][-1:]
    for parent in inherited:
        if len(table.key) + len(parent.key) < WIDEST_KEY:
            _refer(rnd, table, parent, primary=True)
    if not table.key or rnd.random() < 0.5:
        table.types[own] = TEXT if number % 3 == 1 else "int"
        table.key.append(own)
    rnd.shuffle(table.key)
    others = rnd.sample(earlier, min(len(earlier), rnd.choice([0, 0, 1, 2])))
    if deep and earlier:
        others += rnd.choices([*earlier[-3:], rnd.choice(earlier)], k=rnd.choice([1, 2, 3]))
        others += rnd.choices(inherited, k=rnd.choice([0, 0, 1])) if inherited else []
    for parent in others:
        _refer(rnd, table, parent, primary=False)
    if rnd.random() < 0.2:
        _refer(rnd, table, table, primary=False)
    table.types["v"] = "int"
    table.nullable.add("v")
    yield table
    parts: list[Table] = []
    for letter in "ab"[: rnd.choice([0, 0, 1, 2])]:
        parts.append(_random_part(rnd, table, letter, earlier, parts))
        yield parts[-1]


def _random_part(
    rnd: random.Random, master: Table, letter: str, earlier: list[Table], siblings: list[Table]
) -> Table:
    part = Table(f"{master.name}__{letter}", master.schema, master.name, [*master.key, "n"])
    part.types = {**{c: master.types[c] for c in master.key}, "n": "smallint"}
    part.foreign_keys.append(ForeignKey(tuple(master.key), master.name, tuple(master.key)))
    if earlier and rnd.random() < 0.6:
        _refer(rnd, part, rnd.choice(earlier), primary=False)
    if siblings and rnd.random() < 0.5:
        _refer(rnd, part, rnd.choice(siblings), primary=False)
    if rnd.random() < 0.1:
        _refer(rnd, part, master, primary=False)
    return part


def _refer(rnd: random.Random, table: Table, parent: Table, *, primary: bool) -> None:
    """Add a foreign key: under the parent's names, which may be there already, or renamed."""
    same, nullable = rnd.random() < 0.6, not primary and rnd.random() < 0.5
    if parent is table or parent.name == table.master:
        same, nullable = False, True
    columns = []
    for name in list(parent.key):
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
            if all(folded(row.get(c, p[k])) == folded(p[k]) for c, k in pairs)
        ]
        if not parents:
            return None
        chosen = rnd.choice(parents)
        row.update({c: _spelled(rnd, chosen[k]) for c, k in pairs if c not in row})
    for column, type_ in table.types.items():
        if column == "v":
            row["v"] = rnd.choice([None, 0, 1, 2, 3])
        elif column not in row:
            value = rnd.randint(0, 5)
            row[column] = _spelled(rnd, f"x{value}") if type_.startswith("varchar") else value
    ordered = {c: row[c] for c in table.types}
    if any(table.key_of(ordered) == table.key_of(r) for r in table.rows):
        return None
    table.rows.append(ordered)
    return ordered


def _spelled(rnd: random.Random, value: Value) -> Value:
    """A text in capitals or not, which its collation takes for the same."""
    return rnd.choice([value.lower(), value.upper()]) if isinstance(value, str) else value
