"""Which entities are wanted, allowed and barred, as SQL on the source server (design: "Wanted").

Each set is a common table expression over keys. A set that would hold every row is None, so that an
unrestricted link costs nothing.

MySQL expands an expression anew wherever it is named, and refuses a statement of some five hundred: down a
chain of diamonds no set may name its parents' sets. So what restricts an ancestor is asked of the ancestor's
key, which every primary key that inherits it holds, however many tables lie between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from djlink_manifest.model.link import Link, Reference
from djlink_manifest.servers.query import outbound_table, restricted, source_table
from djlink_manifest.servers.referring import (
    KeyTest,
    child_master_columns,
    child_table,
    member,
    named_key,
    parent_join,
    reference_holds,
)
from djlink_manifest.servers.sql import (
    Sql,
    among,
    both,
    column,
    columns,
    comma,
    either,
    idents,
    joined,
    not_among,
    sql,
    table,
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What the SQL of one source server is made from.

    `links` are all links of the server, targeted or not; `children` the references that point at each link,
    as (child address, reference); `held` the links whose outbound tables exist; `barring` those with at least
    one deletion request or approval.
    """

    links: Mapping[str, Link]
    children: Mapping[str, tuple[tuple[str, Reference], ...]]
    held: frozenset[str]
    barring: frozenset[str]

    @staticmethod
    def of(links: Mapping[str, Link], held: frozenset[str], barring: frozenset[str]) -> Scene:
        """The scene of one server's links."""
        children: dict[str, list[tuple[str, Reference]]] = {}
        for address, link in links.items():
            for reference in link.references:
                children.setdefault(reference.parent, []).append((address, reference))
        return Scene(links, {a: tuple(c) for a, c in children.items()}, held, barring)


_Kind = Literal["allowed", "barred"]


@dataclass(frozen=True, slots=True)
class _Term:
    """A set of its own of the link `root`, and the columns of a descendant's key that hold the root's key."""

    root: str
    columns: tuple[str, ...]

    def among(self, names: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
        """The term's columns where the descendant's key `names` stand in other `columns`."""
        places = dict(zip(names, columns, strict=True))
        return tuple(places[name] for name in self.columns)


@dataclass(slots=True)
class Sets:
    """The common table expressions that one statement needs, each named once and behind those it uses.

    Each has the key columns of its link, under their names at the source.
    """

    scene: Scene
    bodies: dict[str, tuple[tuple[str, ...], Sql]] = field(default_factory=dict)
    _names: dict[tuple[str, str], Sql | None] = field(default_factory=dict)
    _known_terms: dict[tuple[str, str], tuple[_Term, ...]] = field(default_factory=dict)

    def head(self) -> Sql:
        """The WITH clause, empty where no set is needed."""
        if not self.bodies:
            return Sql("")
        parts = [
            sql("{} ({}) AS ({})", Sql(name), idents(key), body) for name, (key, body) in self.bodies.items()
        ]
        return sql("WITH {} ", comma(parts))

    def allowed(self, address: str) -> Sql | None:
        """The entities that `where` and the linked parents allow, or None for all."""
        return self._set("allowed", address, self._allowed)

    def wanted(self, address: str) -> Sql | None:
        """The entities that the manifest asks for, or None for all."""
        if self.scene.links[address].pull != "needed":
            return self.allowed(address)
        return self._set("wanted", address, self._needed)

    def barred(self, address: str) -> Sql | None:
        """The entities with a request or approval on them or on an ancestor, or None for none."""
        return self._set("barred", address, self._barred)

    def bars_itself(self, address: str) -> bool:
        """Whether no ancestor bars an entity of the link, but its own requests and approvals alone do."""
        references = self.scene.links[address].references
        return address in self.scene.barring and not any(
            self._terms("barred", reference.parent) for reference in references
        )

    def pullable(self, link: Link, alias: str, names: Sequence[str]) -> list[Sql]:
        """The conditions under which the entity that the named columns hold is pullable; none for all."""
        wanted, barred = self.wanted(link.address), self.barred(link.address)
        tests = [among(wanted, link.key, alias, names)] if wanted is not None else []
        return [*tests, *([not_among(barred, link.key, alias, names)] if barred is not None else [])]

    def _set(self, kind: str, address: str, make: Callable[[Link], Sql | None]) -> Sql | None:
        if (kind, address) not in self._names:
            link = self.scene.links[address]
            body = make(link)
            name = Sql(f"{kind}_{len(self._names)}") if body is not None else None
            if name is not None and body is not None:
                self.bodies[name.text] = (link.key, body)
            self._names[kind, address] = name
        return self._names[kind, address]

    def _allowed(self, link: Link) -> Sql | None:
        if link.pull == "none":
            of = outbound_table(link) if link.address in self.scene.held else source_table(link)
            test = Sql(str(link.address in self.scene.held))
            return sql("SELECT {} FROM {} WHERE {}", idents(link.key), of, test)
        return _those_of(link, [c for _, c in self.parent_conditions(link, "m")])

    def parent_conditions(self, link: Link, alias: str) -> list[tuple[Reference, Sql]]:
        """For each reference to a restricted parent, the condition that the parent's row is allowed."""
        found = []
        for reference in link.references:
            terms = self._terms("allowed", reference.parent)
            if terms:
                found.append((reference, self._holds(link, reference, alias, terms)))
        return found

    def _holds(self, link: Link, reference: Reference, alias: str, terms: Sequence[_Term]) -> Sql:
        parent = self.scene.links[reference.parent]

        def all_terms(of: str, key: Sequence[str]) -> Sql:
            return both([self._test("allowed", t.root)(of, t.among(parent.key, key)) for t in terms])

        return reference_holds(parent, link, reference, alias, all_terms)

    def _test(self, kind: _Kind, root: str) -> KeyTest:
        own = self._own(kind, root)
        assert own is not None, "only a link with a set of its own is a root"
        return member(self.scene.links[root], own)

    def _terms(self, kind: _Kind, address: str) -> tuple[_Term, ...]:
        """The own sets of the link and its ancestors that decide about an entity by its key alone."""
        if (kind, address) not in self._known_terms:
            link = self.scene.links[address]
            inherited, _ = self._divided(kind, link)
            own = [_Term(address, link.key)] if self._own(kind, address) is not None else []
            self._known_terms[kind, address] = tuple(dict.fromkeys([*inherited, *own]))
        return self._known_terms[kind, address]

    def _divided(self, kind: _Kind, link: Link) -> tuple[list[_Term], list[tuple[Reference, _Term]]]:
        """What the parents' terms ask of the link's key, and what its other columns and its parts decide."""
        inherited, others = list[_Term](), list[tuple[Reference, _Term]]()
        if kind == "allowed" and link.pull == "none":
            return inherited, others
        for reference in link.references:
            parent = self.scene.links[reference.parent]
            key = named_key(parent, reference)
            from_key = reference.child_table == link.definition.name and not reference.nullable
            for term in self._terms(kind, reference.parent):
                names = term.among(parent.key, key) if from_key and key is not None else ()
                if names and set(names) <= set(link.key):
                    inherited.append(_Term(term.root, tuple(names)))
                else:
                    others.append((reference, term))
        return inherited, others

    def _own(self, kind: _Kind, address: str) -> Sql | None:
        """The link's set without what it inherits by its key; None where there is nothing more."""
        inherited, others = self._divided(kind, self.scene.links[address])
        if not inherited:
            return self.allowed(address) if kind == "allowed" else self.barred(address)
        if kind == "barred":
            return self._set("own_barred", address, lambda link: self._bars(link, others))
        tests = [
            (reference, [t for r, t in others if r is reference])
            for reference in dict.fromkeys(r for r, _ in others)
        ]
        return self._set(
            "own_allowed",
            address,
            lambda link: _those_of(link, [self._holds(link, r, "m", terms) for r, terms in tests]),
        )

    def _needed(self, link: Link) -> Sql:
        allowed = self.allowed(link.address)
        rows = allowed if allowed is not None else source_table(link)
        users = [self._users(link, child, ref) for child, ref in self.scene.children.get(link.address, ())]
        if not users:
            return sql("SELECT {} FROM {} m WHERE FALSE", columns("m", link.key), rows)
        name = f"users_{len(self._names)}_{len(self.bodies)}"
        self.bodies[name] = (link.key, joined(" UNION ", users))
        used = among(Sql(name), link.key, "m", link.key)
        return sql("SELECT {} FROM {} m WHERE {}", columns("m", link.key), rows, used)

    def _users(self, parent: Link, child_address: str, reference: Reference) -> Sql:
        """The parent's keys that wanted or held entities of a child refer to."""
        child = self.scene.links[child_address]
        wanted = self.wanted(child_address)
        mine = child_master_columns(child, reference)
        tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
        if wanted is not None:
            holders = [wanted, *([outbound_table(child)] if child_address in self.scene.held else [])]
            tests.append(either([among(each, child.key, "c", mine) for each in holders]))
        join, alias, key = parent_join(parent, reference, "c")
        rows = child_table(child, reference)
        return sql("SELECT {} FROM {} c {} WHERE {}", columns(alias, key), rows, join, both(tests))

    def _barred(self, link: Link) -> Sql | None:
        return self._bars(link, [(r, t) for r in link.references for t in self._terms("barred", r.parent)])

    def _bars(self, link: Link, terms: Sequence[tuple[Reference, _Term]]) -> Sql | None:
        """The entities asked back or approved, and those that refer to one of the terms, each once."""
        found = []
        if link.address in self.scene.barring:
            for name in (link.requested_table, link.approved_table):
                found.append(sql("SELECT {} FROM {}", idents(link.key), table(link.outbound_schema, name)))
        for reference, term in terms:
            parent = self.scene.links[reference.parent]
            join, alias, key = parent_join(parent, reference, "c")
            # a NULL in any of its columns: the reference names nobody, whatever the others hold
            tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            tests.append(self._test("barred", term.root)(alias, term.among(parent.key, key)))
            found.append(
                sql(
                    "SELECT DISTINCT {} FROM {} c {} WHERE {}",
                    columns("c", child_master_columns(link, reference)),
                    child_table(link, reference),
                    join,
                    both(tests),
                )
            )
        return joined(" UNION ", found) if found else None


def _those_of(link: Link, conditions: Sequence[Sql]) -> Sql | None:
    """The keys of the rows that meet the link's `where` and the conditions on `m`; None for all."""
    if link.where is None and not conditions:
        return None
    rows = restricted(link, link.where)
    return sql("SELECT {} FROM {} m WHERE {}", columns("m", link.key), rows, both(conditions))
