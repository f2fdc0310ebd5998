"""Whole manifests, right in structure, with changes at any depth that a person or an attacker could make."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

from hypothesis import strategies as st


@dataclass
class Map:
    """A mapping as it is written: the same key may stand in it twice. Keys are YAML text."""

    pairs: list[tuple[str, Any]] = field(default_factory=list)


@dataclass
class Named:
    """A value with an anchor."""

    anchor: str
    value: Any


# a node is a Map, a Named, a list of nodes, or a str: the YAML text of a scalar or an alias
Node: TypeAlias = Any
Place: TypeAlias = tuple[Callable[[], Node], Callable[[Node], None]]

INJECTION = "x`; DROP TABLE victim; -- '\"%s"
SCALARS = (
    *("null", "~", "true", "0", "-1", "3306", "65536", "99999999999999999999999", "1" * 300, "0.1"),
    *(".nan", "-.inf", "1e999", "0x7f", "0o17", "1_000", "12:30:45", "2026-01-01", "yes", "=", "5%", "900%"),
    *("!!binary aGk=", "!!python/object/apply:os.system ['x']", "!!int x", "!!float nan", "!!str 5", "!x y"),
    *(
        "''",
        '" "',
        '"\\ud800"',
        '"\\0"',
        '"\\x1b[31m"',
        '"a\\nb"',
        '"\\u202e"',
        '"\\uffff"',
        '"\\x7f"',
        '"é"',
    ),
    *(
        "'${env:HOME}'",
        "'${env:}'",
        "'${env:NOT_SET_ANYWHERE}'",
        "'${file:/etc/hostname}'",
        "'$${x}'",
        "'${'",
    ),
    *("'*'", "'[ab'", "'[!a]?*'", "'a.b.C'", "'lab_a.lab.T'", "'lab_a.lab.*'", "'a.b.c.d'", "'.'", "'..'"),
    *(
        "'sha256:xyz'",
        "'{source}'",
        "'{nothing}'",
        "'{}'",
        "'{source!r}'",
        "'%s'",
        "inline",
        "'~djlink'",
        "local",
    ),
    *(
        "'a > 1'",
        "'a = 1; DROP TABLE victim'",
        "'a = (SELECT 1)'",
        "'1=1) OR (1=1'",
        "'a -- b'",
        "'SLEEP(9)'",
    ),
    *("*anchor", "*nosuch", "needed", "all", "none", "drop", "keep", "auto", "review", "release", "mend"),
    *(json.dumps(INJECTION), json.dumps("x" * 300), json.dumps("\\'; DROP TABLE victim; --"), "'host:3306'"),
)
KEYS = (
    *("manifest", "name", "contact", "local", "defaults", "sources", "removed", "approvals", "x-a", "host"),
    *(
        "port",
        "user",
        "password",
        "tls",
        "outbound",
        "schemas",
        "tables",
        "exclude",
        "where",
        "pull",
        "stores",
    ),
    *(
        "store_settings",
        "depends_on",
        "schema_name",
        "outbound_table",
        "deletions",
        "max_deletions",
        "unwanted",
    ),
    *(
        "changed",
        "link",
        "keys",
        "ca",
        "lab",
        "T",
        "'*'",
        "'T*'",
        "<<",
        "nonsense",
        "1",
        "null",
        "''",
        "true",
    ),
    *(
        "? [a, b]\n",
        '"\\x1b[2J"',
        json.dumps(INJECTION),
        json.dumps("k" * 300),
        "*anchor",
        "'a.b'",
        "__t",
        "'#t'",
    ),
)


def whole(fill: dict[str, str] | None = None) -> Node:
    """A manifest without a fault that uses every key. `fill` gives other texts for some of its scalars."""
    given = fill or {}

    def text(name: str, usual: str) -> str:
        return given.get(name, usual)

    def server(host: str, **more: Node) -> Map:
        return _map(host=text("host", host), port=text(f"port_{host}", "3306"), tls="false", **more)

    options = {"pull": "all", "deletions": "review", "max_deletions": "'5%'", "unwanted": "keep"}
    tables = _map(
        T=_map(where="'a > 1'", unwanted="release"),
        Other=_map(pull="needed"),
        Session=_map(where=_map(a=["1", "2"], b="null"), depends_on=[f"lab_a.{text('lab', 'lab')}.T"]),
    )
    tables.pairs.append(("'*'", _map(pull="none", stores=_map(raw="inline"))))
    schemas = Map([(text("lab", "lab"), _map(tables=tables, exclude=["'*Debug*'"]))])
    lab_a = server(
        "a.example",
        user=text("link", "link"),
        password="'${env:LINK_PASS}'",
        outbound=text("outbound", "out"),
        store_settings=_map(raw=_map(protocol="file", location="'/nowhere'")),
        schemas=schemas,
    )
    local = server("l.example", user=text("user", "me"), password="'${env:DJ_PASS}'")
    return _map(
        manifest="1",
        name=text("name", "atlas"),
        contact="c@x.example",
        local=local,
        defaults=_map(schema_name=text("schema_name", "'our_{source}_{schema}'"), **options),
        sources=_map(lab_a=lab_a),
        removed=Map([("lab_a.gone.Old", _map(table="keep"))]),
        approvals=[
            _map(
                link="lab_a.lab.T",
                keys="'sha256:0123456789abcdef'",
                count="1",
                until="2026-11-20T09:00:00Z",
                by="a",
                date="2026-11-20",
            )
        ],
    )


def mutated(root: Node, chance: Random, changes: int) -> Node:
    """The manifest with so many changes, each at a place by chance."""
    root = copy.deepcopy(root)
    for _ in range(changes):
        chance.choice(CHANGES)(root, chance)
    return root


def written(node: Node) -> str:
    """The manifest as YAML, in flow style."""
    match node:
        case Map(pairs=pairs):
            return "{" + ", ".join(f"{key}: {written(value)}" for key, value in pairs) + "}"
        case list():
            return "[" + ", ".join(map(written, node)) + "]"
        case Named(anchor=anchor, value=value):
            return f"&{anchor} {written(value)}"
        case _:
            return str(node)


def mutants(fill: dict[str, str] | None = None) -> st.SearchStrategy[str]:
    """The texts of manifests with one to four changes."""
    return st.builds(
        # a seed, for hypothesis takes long to draw so many small choices
        lambda seed, changes: written(mutated(whole(fill), Random(seed), changes)) + "\n",
        st.integers(0, 1 << 32),
        st.integers(1, 4),
    )


def _map(**entries: Node) -> Map:
    return Map(list(entries.items()))


def _maps(node: Node) -> Iterator[Map]:
    match node:
        case Map(pairs=pairs):
            yield node
            for _, value in pairs:
                yield from _maps(value)
        case list():
            for each in node:
                yield from _maps(each)
        case Named(value=value):
            yield from _maps(value)


def _places(node: Node) -> Iterator[Place]:
    """Every value below a node, as what reads it and what puts another in its place."""
    if isinstance(node, Map):
        for n, (_, value) in enumerate(node.pairs):
            yield (
                lambda n=n: node.pairs[n][1],  # type: ignore[misc]  # n is of this turn of the loop
                lambda new, n=n: node.pairs.__setitem__(n, (node.pairs[n][0], new)),  # type: ignore[misc]
            )
            yield from _places(value)
    elif isinstance(node, list):
        for n, value in enumerate(node):
            yield (
                lambda n=n: node[n],  # type: ignore[misc]
                lambda new, n=n: node.__setitem__(n, new),  # type: ignore[misc]
            )
            yield from _places(value)
    elif isinstance(node, Named):
        yield from _places(node.value)


def _value(root: Node, chance: Random) -> Place:
    return chance.choice(list(_places(root)))


def _replace(root: Node, chance: Random) -> None:
    _value(root, chance)[1](chance.choice(SCALARS))


def _wrap(root: Node, chance: Random) -> None:
    get, put = _value(root, chance)
    times = chance.choice((1, 1, 2, 120))
    node = get()
    for _ in range(times):
        node = [node] if chance.random() < 0.5 else Map([(chance.choice(KEYS), node)])
    put(node)


def _empty(root: Node, chance: Random) -> None:
    _value(root, chance)[1](chance.choice(([], Map(), "")))


def _elsewhere(root: Node, chance: Random) -> None:
    node = copy.deepcopy(_value(root, chance)[0]())
    _value(root, chance)[1](node)


def _insert(root: Node, chance: Random) -> None:
    into = chance.choice(list(_maps(root)))
    value: Node = chance.choice((*SCALARS, Map(), []))
    into.pairs.insert(chance.randint(0, len(into.pairs)), (chance.choice(KEYS), value))


def _drop(root: Node, chance: Random) -> None:
    into = chance.choice([each for each in _maps(root) if each.pairs] or [Map([("a", "b")])])
    into.pairs.pop(chance.randrange(len(into.pairs)))


def _rename(root: Node, chance: Random) -> None:
    into = chance.choice([each for each in _maps(root) if each.pairs] or [Map([("a", "b")])])
    at = chance.randrange(len(into.pairs))
    into.pairs[at] = (chance.choice(KEYS), into.pairs[at][1])


def _twice(root: Node, chance: Random) -> None:
    into = chance.choice([each for each in _maps(root) if each.pairs] or [Map([("a", "b")])])
    into.pairs.append(copy.deepcopy(chance.choice(into.pairs)))


def _alias(root: Node, chance: Random) -> None:
    """One value gets an anchor, and another is that value, or takes its keys in, or is within it."""
    get, put = _value(root, chance)
    put(Named("anchor", get()))
    if chance.random() < 0.5:
        _value(root, chance)[1]("*anchor")
    else:
        chance.choice(list(_maps(root))).pairs.append(
            ("<<", chance.choice(("*anchor", "[*anchor, *anchor]")))
        )


def _many(root: Node, chance: Random) -> None:
    get, put = _value(root, chance)
    put([copy.deepcopy(get()) for _ in range(30)])


CHANGES: Sequence[Callable[[Node, Random], None]] = (
    *(_replace, _replace, _replace, _wrap, _empty, _elsewhere, _insert, _insert, _drop, _rename, _twice),
    *(_alias, _many),
)
