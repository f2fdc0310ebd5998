"""Which entities are wanted, allowed and barred, as SQL on the source server (design: "Wanted").

Each set is a common table expression over keys. A set that would hold every row is None, so that an
unrestricted link costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from djlink_manifest.model.link import Link, Reference
from djlink_manifest.model.selection import AllOf, AnyOf, Condition, Equals
from djlink_manifest.model.selection import Sql as SqlText
from djlink_manifest.servers.sql import (
    Sql,
    both,
    column,
    columns,
    comma,
    either,
    equal,
    ident,
    idents,
    joined,
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


@dataclass(slots=True)
class Sets:
    """The common table expressions that one statement needs, each named once and behind those it uses.

    Each has the key columns of its link, under their names at the source.
    """

    scene: Scene
    bodies: dict[str, tuple[tuple[str, ...], Sql]] = field(default_factory=dict)
    _names: dict[tuple[str, str], Sql | None] = field(default_factory=dict)

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
            if link.address not in self.scene.held:
                return sql("SELECT {} FROM {} WHERE FALSE", idents(link.key), source_table(link))
            return sql("SELECT {} FROM {}", idents(link.key), outbound_table(link))
        conditions = [c for _, c in self.parent_conditions(link, "m")]
        if link.where is None and not conditions:
            return None
        rows = restricted(link, link.where)
        return sql("SELECT {} FROM {} m WHERE {}", columns("m", link.key), rows, both(conditions))

    def parent_conditions(self, link: Link, alias: str) -> list[tuple[Reference, Sql]]:
        """For each reference to a restricted parent, the condition that the parent's row is allowed."""
        found = []
        for reference in link.references:
            allowed = self.allowed(reference.parent)
            if allowed is not None:
                found.append((reference, reference_holds(self.scene, link, reference, alias, allowed)))
        return found

    def _needed(self, link: Link) -> Sql:
        allowed = self.allowed(link.address)
        rows = allowed if allowed is not None else source_table(link)
        users = [self._users(link, child, ref) for child, ref in self.scene.children.get(link.address, ())]
        if not users:
            return sql("SELECT {} FROM {} m WHERE FALSE", columns("m", link.key), rows)
        name = f"users_{len(self._names)}_{len(self.bodies)}"
        self.bodies[name] = (link.key, joined(" UNION ", users))
        match = equal("u", link.key, "m", link.key)
        return sql(
            "SELECT {} FROM {} m WHERE EXISTS (SELECT 1 FROM {} u WHERE {})",
            columns("m", link.key),
            rows,
            Sql(name),
            match,
        )

    def _users(self, parent: Link, child_address: str, reference: Reference) -> Sql:
        """The parent's keys that wanted or held entities of a child refer to."""
        child = self.scene.links[child_address]
        wanted = self.wanted(child_address)
        member = child_master_columns(child, reference)
        tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
        if wanted is not None:
            holders = [wanted, *([outbound_table(child)] if child_address in self.scene.held else [])]
            tests.append(
                either(
                    [
                        sql("EXISTS (SELECT 1 FROM {} h WHERE {})", h, equal("h", child.key, "c", member))
                        for h in holders
                    ]
                )
            )
        rows, key = _referred(parent, reference, "c")
        return sql("SELECT {} FROM {} c {} WHERE {}", key, _child_table(child, reference), rows, both(tests))

    def _barred(self, link: Link) -> Sql | None:
        members = []
        if link.address in self.scene.barring:
            for name in (link.requested_table, link.approved_table):
                members.append(sql("SELECT {} FROM {}", idents(link.key), table(link.outbound_schema, name)))
        for reference in link.references:
            barred = self.barred(reference.parent)
            if barred is not None:
                parent = self.scene.links[reference.parent]
                rows, _ = _referred(parent, reference, "c")
                alias = "pp" if rows.text else "c"
                key = _parent_key(parent, reference)
                match = equal("b", parent.key, alias, key)
                mine = columns("c", child_master_columns(link, reference))
                members.append(
                    sql(
                        "SELECT {} FROM {} c {} JOIN {} b ON {}",
                        mine,
                        _child_table(link, reference),
                        rows,
                        barred,
                        match,
                    )
                )
        return joined(" UNION ", members) if members else None


def restricted(link: Link, where: Condition | None) -> Sql:
    """The source's rows that meet a condition, as a derived table in which the condition stands alone."""
    if where is None:
        return source_table(link)
    return sql(
        "(SELECT {} FROM {} WHERE {})",
        idents(link.definition.column_names),  # `*` leaves out invisible columns
        source_table(link),
        condition(where),
    )


def condition(tree: Condition) -> Sql:
    """A tree of conditions as SQL over a table's own columns; values are bound."""
    match tree:
        case SqlText(text=text):
            return sql("({})", Sql(text))
        case AllOf(terms=terms):
            return sql("({})", both([condition(t) for t in terms]))
        case AnyOf(terms=terms):
            return either([condition(t) for t in terms])
        case Equals(column=name, values=values):
            tests = [sql("{} IS NULL", ident(name))] if None in values else []
            given = [sql("{}", v) for v in values if v is not None]
            if given:
                tests.append(sql("{} IN ({})", ident(name), comma(given)))
            return either(tests)


def source_table(link: Link) -> Sql:
    """The link's source table."""
    return table(link.definition.schema, link.definition.name)


def outbound_table(link: Link) -> Sql:
    """The link's outbound table."""
    return table(link.outbound_schema, link.outbound_table)


def reference_holds(scene: Scene, link: Link, reference: Reference, alias: str, members: Sql) -> Sql:
    """The condition on a master row that every row of this reference names an entity among `members`.

    `members` has the parent link's key columns. A reference from a part holds when each of the entity's part
    rows meets it; NULL restricts nothing.
    """
    parent = scene.links[reference.parent]
    if reference.child_table == link.definition.name:
        nulls = [sql("{} IS NULL", column(alias, name)) for name in reference.nullable]
        return either([*nulls, _names_member(parent, reference, alias, members)])
    mine = child_master_columns(link, reference)
    tests = [equal("p", mine, alias, link.key)]
    tests += [sql("{} IS NOT NULL", column("p", name)) for name in reference.nullable]
    tests.append(sql("NOT {}", _names_member(parent, reference, "p", members)))
    return sql("NOT EXISTS (SELECT 1 FROM {} p WHERE {})", _child_table(link, reference), both(tests))


def child_master_columns(child: Link, reference: Reference) -> Sequence[str]:
    """The columns of the referring table that hold the child link's own key."""
    if reference.child_table == child.definition.name:
        return child.key
    part = next(p for p in child.definition.parts if p.name == reference.child_table)
    held = child.definition.master_columns(part)
    assert held is not None, "a link whose part does not refer to its master is refused when it is resolved"
    return held


def _names_member(parent: Link, reference: Reference, alias: str, members: Sql) -> Sql:
    rows, _ = _referred(parent, reference, alias)
    if rows.text:
        part_table = _parent_table(parent, reference)
        on_part = equal("pp", reference.parent_columns, alias, reference.columns)
        match = equal("x", parent.key, "pp", _parent_key(parent, reference))
        return sql(
            "EXISTS (SELECT 1 FROM {} pp JOIN {} x ON {} WHERE {})", part_table, members, match, on_part
        )
    match = equal("x", parent.key, alias, _parent_key(parent, reference))
    return sql("EXISTS (SELECT 1 FROM {} x WHERE {})", members, match)


def _referred(parent: Link, reference: Reference, alias: str) -> tuple[Sql, Sql]:
    """A join to the parent's part, empty where the reference names its master; and the parent's key."""
    key = _parent_key(parent, reference)
    if reference.parent_table == parent.definition.name:
        return Sql(""), columns(alias, key)
    match = equal("pp", reference.parent_columns, alias, reference.columns)
    return sql("JOIN {} pp ON {}", _parent_table(parent, reference), match), columns("pp", key)


def _parent_key(parent: Link, reference: Reference) -> Sequence[str]:
    """The columns that hold the parent's key: of the child, or of the parent's part that it names."""
    if reference.parent_table == parent.definition.name:
        pairs = dict(zip(reference.parent_columns, reference.columns, strict=True))
        return [pairs[name] for name in parent.key]
    part = next(p for p in parent.definition.parts if p.name == reference.parent_table)
    held = parent.definition.master_columns(part)
    assert held is not None, "a link whose part does not refer to its master is refused when it is resolved"
    return held


def _parent_table(parent: Link, reference: Reference) -> Sql:
    return table(parent.definition.schema, reference.parent_table)


def _child_table(child: Link, reference: Reference) -> Sql:
    return table(child.definition.schema, reference.child_table)
