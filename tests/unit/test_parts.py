"""Which tables are a master's parts, in what order, and which of their columns hold its key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from djlink_manifest.model.server.catalog import Catalog, ServerIdentity, Version
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition, unprotectable
from djlink_manifest.model.tables.derive import LinkedTable, circle_notes, local_definition
from djlink_manifest.model.tables.parts import parents_first, parts_among

IDENTITY = ServerIdentity(Version("mysql", "9", (9,)), "a@b", "h", 1, "/", 1)


def table(name: str, columns: str, key: str, *keys: str) -> TableDefinition:
    """`keys`: `its columns > parent its columns`; a column with `?` may be NULL."""
    made = tuple(Column(c.rstrip("?"), "int", nullable=c.endswith("?")) for c in columns.split())
    foreign = []
    for number, text in enumerate(keys):
        own, _, named = text.partition(" > ")
        parent, *source_rows = named.split()
        foreign.append(ForeignKey(f"k{number}", tuple(own.split()), "s", parent, tuple(source_rows)))
    return TableDefinition("s", name, made, tuple(key.split()), foreign_keys=tuple(foreign))


def masters(*tables: TableDefinition) -> dict[str, TableDefinition]:
    places = {(t.schema, t.name): t for t in tables}
    catalog = Catalog("x", IDENTITY, frozenset({"s"}), places, {}, {}, (), {})
    return {t.name: t for t in catalog.masters("s")}


def held(master: TableDefinition, part: str) -> tuple[str, ...] | None:
    return master.master_columns(next(p for p in master.parts if p.name == part))


M = table("m", "a b", "b a")
TRIAL = table("m__trial", "x y t", "x y t", "x y > m a b")


@pytest.mark.parametrize(
    ("part", "columns"),
    [
        ("p q r > m__trial y x t", ("p", "q")),
        # two keys may name two entities: what has the master's names counts, then the direct one
        ("p q r > m__trial y x t; c d > m b a", ("c", "d")),
        ("p q r > m__trial y x t; b a > m b a", ("b", "a")),
        # both ways to one entity
        ("p q r > m__trial y x t; p q > m b a", ("p", "q")),
        # not within its own key, or maybe NULL: after what is
        ("n o r > m__trial y x t; p q > m b a", ("p", "q")),
        ("n o r > m__trial y x t", ("n", "o")),
    ],
)
def test_a_part_holds_its_masters_key_over_any_chain(part: str, columns: tuple[str, ...]) -> None:
    stim = table("m__stim", "p q r c d b a n? o?", "p q r c d b a", *part.split("; "))
    found = masters(stim, TRIAL, M)
    assert list(found) == ["m"]
    assert [p.name for p in found["m"].parts] == ["m__trial", "m__stim"]
    assert held(found["m"], "m__stim") == columns
    assert unprotectable(found["m"]) is None


def test_a_chain_that_loses_the_key_is_told() -> None:
    trial = table("m__trial", "t x y", "t", "x y > m a b")
    stim = table("m__stim", "t s", "t s", "t > m__trial t")
    found = masters(M, trial, stim)["m"]
    assert held(found, "m__stim") is None
    assert "`m__stim` refers to `m__trial` by columns that do not contain" in str(unprotectable(found))


def test_only_what_reaches_the_master_in_its_own_schema_is_a_part() -> None:
    elsewhere = replace(TRIAL.foreign_keys[0], parent_schema="other")
    other = replace(table("m__other", "x y t", "t"), foreign_keys=(elsewhere,))
    island = (
        table("m__i", "t u", "t", "u > m__j t"),
        table("m__j", "t u", "t", "u > m__i t"),
        table("m__k", "t u", "t", "u > m__k t"),
    )
    assert set(masters(M, TRIAL, other, *island)) == {"m", "m__other", "m__i", "m__j", "m__k"}
    # another master's part lends no way
    foreign = table("n__p", "x y t", "t", "x y t > m__trial x y t")
    assert set(masters(M, TRIAL, table("n", "id", "id"), foreign)) == {"m", "n", "n__p"}


def test_what_refers_to_a_part_that_is_not_seen_belongs_to_the_master_and_is_told() -> None:
    stim = table("m__stim", "x y t", "x y t", "x y t > m__trial x y t")
    found = masters(M, stim)
    assert list(found) == ["m"]
    assert "`m__trial`, a part that does not exist or is not visible" in str(unprotectable(found["m"]))
    assert parts_among(["m__stim"], [("m__stim", "m__trial")]) == {}, "without its master"


def test_a_circle_of_parts_is_opened_where_a_key_may_be_null() -> None:
    one = table("m__a", "a b i j", "a b i", "a b > m a b", "a b j > m__b a b j")
    two = table("m__b", "a b j i?", "a b j", "a b i > m__a a b i", "a b > m a b")
    master = masters(M, one, two)["m"]
    assert [p.name for p in master.parts] == ["m__b", "m__a"]
    assert parents_first(master.parts)[1] == {("m__b", "k0")}
    [note] = circle_notes(master)
    assert note.startswith("m__b.a, b, i: plain columns locally")
    linked = {("s", t.name): LinkedTable("x", t.key, "here", t.name) for t in master.tables}
    local, plain = local_definition(master, "here", linked)
    named = {t.name: {k.parent_table for k in t.foreign_keys} for t in local.parts}
    assert named["m__a"] == {"m", "m__b"}
    assert named["m__b"] == {"m"}
    assert plain == ()


def test_a_part_whose_keys_all_become_plain_gets_one_to_its_master() -> None:
    trial = table("m__trial", "a b t u", "a b t", "a b > m a b")
    stim = table("m__stim", "x y u s", "x y u s", "x y u > m__trial a b u")  # a unique key of the part
    master = masters(M, trial, stim)["m"]
    linked = {("s", t.name): LinkedTable("x", t.key, "here", t.name) for t in master.tables}
    [key] = next(
        p for p in local_definition(master, "here", linked)[0].parts if p.name == "m__stim"
    ).foreign_keys
    assert (key.columns, key.parent_table, key.parent_columns) == (("y", "x"), "m", ("b", "a"))


def test_many_layers_of_parts_take_no_time_to_speak_of() -> None:
    parts = [table("m__p0", "a b", "a b", "a b > m a b"), table("m__q0", "a b", "a b", "a b > m a b")]
    for n in range(1, 30):
        up = (f"a b > m__p{n - 1} a b", f"b a > m__q{n - 1} a b")
        parts += [table(f"m__p{n}", "a b", "a b", *up), table(f"m__q{n}", "a b", "a b", *up)]
    master = masters(M, *parts)["m"]
    assert len(master.parts) == 60
    assert all(held(master, p.name) is not None for p in master.parts)


def test_the_part_that_djlink_keeps_beside_a_local_table_is_no_part_for_those_who_link_it() -> None:
    """Its form tells, also where its schema was renamed; one that is only called so is a part."""
    source = TableDefinition("lab", "session", (Column("s", "int"),), ("s",))
    local, _ = local_definition(source, "ours", {})
    [own] = local.parts
    renamed = replace(own, schema="b", foreign_keys=(replace(own.foreign_keys[0], parent_schema="b"),))
    named = replace(renamed, foreign_keys=(replace(renamed.foreign_keys[0], name="session__x_ibfk_1"),))
    for part, expected in ((renamed, []), (named, [own.name])):
        tables = {(t.schema, t.name): t for t in (replace(local, schema="b", parts=()), part)}
        catalog = Catalog("b", IDENTITY, frozenset("b"), tables, {}, {}, (), {})
        [master] = catalog.masters("b")
        assert [p.name for p in master.parts] == expected
