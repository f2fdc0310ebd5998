"""Which entities are wanted, allowed and barred, as SQL on the source server (design: "Wanted").

Sets of keys are temporary tables of a session, made link by link in the order of the graph, each from those
of its parents or children. Servers expand a common table expression wherever it is named, so statements that
hold the sets of ancestors grow with the graph until the server refuses them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from djlink_manifest.errors import ServerError
from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.servers.ddl.tables import key_columns
from djlink_manifest.servers.entities.set_terms import Scene, SetId, SetTerms, Term
from djlink_manifest.servers.keys.key_table import create_temporary, drop_temporary
from djlink_manifest.servers.query.references import (
    child_master_columns,
    child_table,
    parent_join,
    reference_holds,
)
from djlink_manifest.servers.query.tables import outbound_table, restricted, source_table
from djlink_manifest.servers.session.error_numbers import NOT_EVALUATED
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, among, both, column, columns, either, equal, idents, sql, table

CONDITIONS_AT_ONCE = 4  # references that one statement tests: optimizers take long to order many joins


class Sets:
    """The sets that one statement uses. A table that the statement names twice has a copy (MySQL).

    Composing a condition makes the tables that it names, so it has to be done outside of a transaction, or
    after `prepare`.
    """

    def __init__(self, session: Session, scene: Scene) -> None:
        self.scene = scene
        self._tables = _Tables.of(session, scene)
        self._terms = self._tables.terms
        self._named = Counter[SetId]()

    def is_wanted(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """The condition that the entity whose key the named columns hold is wanted; None where all are."""
        return self._all_of(address, self._terms.wanted(address), alias, names)

    def is_allowed(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """The condition that `where` and the linked parents allow the entity; None where they allow all."""
        return self._all_of(address, self._terms.allowed(address), alias, names)

    def is_barred(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """The condition that a request or approval stands on the entity or an ancestor; None for none."""
        terms = self._terms.barred(address)
        return self._any_of(address, terms, alias, names) if terms else None

    def is_barred_above(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """As `is_barred`, without the requests and approvals of the entity itself."""
        own = {SetId("requested", address), SetId("approved", address)}
        terms = [t for t in self._terms.barred(address) if t.of not in own]
        return self._any_of(address, terms, alias, names) if terms else None

    def pullable(self, link: Link, alias: str, names: Sequence[str]) -> list[Sql]:
        """The conditions under which the entity whose key the named columns hold is pullable."""
        wanted = self.is_wanted(link.address, alias, names)
        barred = self.is_barred(link.address, alias, names)
        return [
            *([wanted] if wanted is not None else []),
            *([sql("NOT {}", barred)] if barred is not None else []),
        ]

    def parent_conditions(self, link: Link, alias: str) -> list[tuple[Reference, Sql]]:
        """For each reference to a restricted parent, the condition that a source row's parent is allowed."""
        restricting = self._terms.restricting(link.address)
        return [(r, self._holds(link, r, terms, alias)) for r, terms in restricting]

    def _holds(self, link: Link, reference: Reference, terms: Sequence[Term], alias: str) -> Sql:
        parent = self.scene.links[reference.parent]

        def test(of: str, names: Sequence[str]) -> Sql:
            condition = self._all_of(parent.address, terms, of, names)
            assert condition is not None, "a parent without terms restricts nothing"
            return condition

        return reference_holds(parent, link, reference, alias, test)

    def _all_of(
        self, address: str, terms: Sequence[Term] | None, alias: str, names: Sequence[str]
    ) -> Sql | None:
        if terms is None:
            return None
        return sql("({})", both([self._test(address, t, alias, names) for t in terms]))

    def _any_of(self, address: str, terms: Sequence[Term], alias: str, names: Sequence[str]) -> Sql:
        return either([self._test(address, t, alias, names) for t in terms])

    def _test(self, address: str, term: Term, alias: str, names: Sequence[str]) -> Sql:
        """The condition that the key of `address` in the named columns is in the set of a term."""
        if term.of.kind == "none":
            return Sql("FALSE")
        places = dict(zip(self.scene.links[address].key, names, strict=True))
        key = self.scene.links[term.of.address].key
        return among(self._members(term.of), key, alias, [places[name] for name in term.columns])

    def _members(self, of: SetId) -> Sql:
        link = self.scene.links[of.address]
        match of.kind:
            case "held":
                return outbound_table(link)
            case "requested":
                return table(link.outbound_schema, link.requested_table)
            case "approved":
                return table(link.outbound_schema, link.approved_table)
        if self._terms.is_expression(of):
            return self._expression(link)
        self._named[of] += 1
        return self._tables.name(of, self._named[of])

    def _expression(self, link: Link) -> Sql:
        conditions = [holds for _, holds in self.parent_conditions(link, "m")]
        rows = restricted(link, link.where)
        return sql("(SELECT {} FROM {} m WHERE {})", columns("m", link.key), rows, both(conditions))

    # how the sets of one link are made, for `_Tables`

    def _fill_allowed(self, into: Sql, link: Link) -> Iterator[Sql]:
        """The statements that fill a set of what is allowed, each with a few of the link's references."""
        rest = list(self._terms.restricting(link.address))
        first = self._few(link, rest)
        rows = restricted(link, link.where)
        keys = columns("m", link.key)
        yield sql(
            "INSERT INTO {} ({}) SELECT {} FROM {} m WHERE {}", into, idents(link.key), keys, rows, first
        )
        while rest:
            match = equal("m", link.key, into.text, link.key)
            holds = self._few(link, rest)
            # no alias for what is deleted from: MySQL would look for it in a default schema
            yield sql(
                "DELETE {} FROM {} JOIN {} m ON {} WHERE NOT ({})",
                into,
                into,
                source_table(link),
                match,
                holds,
            )

    def _few(self, link: Link, rest: list[tuple[Reference, tuple[Term, ...]]]) -> Sql:
        """Take some references, of which no two ask the same set, and give their conditions on `m`."""
        self._named.clear()
        taken, sets = list[Sql](), set[SetId]()
        for each in list(rest):
            reference, terms = each
            mine = {t.of for t in terms if t.of.is_made}
            if len(taken) < CONDITIONS_AT_ONCE and not sets & mine:
                taken.append(self._holds(link, reference, terms, "m"))
                sets |= mine
                rest.remove(each)
        return both(taken)

    def _fill_wanted(self, into: Sql, link: Link) -> Iterator[Sql]:
        """The statements that fill the set of a `needed` link: what wanted or held entities refer to."""
        for address, reference in self.scene.children.get(link.address, ()):
            child = self.scene.links[address]
            mine = child_master_columns(child, reference)
            join, alias, key = parent_join(link, reference, "c")
            named = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            self._named.clear()
            wanted = self.is_wanted(address, "c", mine)
            holders = [[] if wanted is None else [wanted]]
            if wanted is not None and address in self.scene.held and child.pull != "none":
                holders.append([among(outbound_table(child), child.key, "c", mine)])
            for number, holds in enumerate(holders):
                tests = [*named, *holds]
                # what a wanted entity refers to is allowed, by the definition of what is wanted
                if number or child.pull == "none":
                    self._named.clear()
                    allowed = self.is_allowed(link.address, alias, key)
                    tests += [allowed] if allowed is not None else []
                select = sql(
                    "SELECT DISTINCT {} FROM {} c {} WHERE {}",
                    columns(alias, key),
                    child_table(child, reference),
                    join,
                    both(tests),
                )
                yield _insert(into, link, select)

    def _fill_barred(self, into: Sql, link: Link) -> Iterator[Sql]:
        """The statements that fill a set of what is barred, one for each set above."""
        for reference, term in self._terms.bars(link.address):
            self._named.clear()
            if reference is None:
                test = self._test(link.address, term, "m", link.key)
                keys = columns("m", link.key)
                yield _insert(into, link, sql("SELECT {} FROM {} m WHERE {}", keys, source_table(link), test))
                continue
            join, alias, key = parent_join(self.scene.links[reference.parent], reference, "c")
            # a NULL in any of its columns: the reference names nobody, whatever the others hold
            tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            tests.append(self._test(reference.parent, term, alias, key))
            select = sql(
                "SELECT DISTINCT {} FROM {} c {} WHERE {}",
                columns("c", child_master_columns(link, reference)),
                child_table(link, reference),
                join,
                both(tests),
            )
            yield _insert(into, link, select)


def prepare(session: Session, scene: Scene, link: Link) -> None:
    """Make the tables that statements about the link name, which no transaction may do."""
    Sets(session, scene).pullable(link, "s", link.key)
    sets = Sets(session, scene)
    sets.parent_conditions(link, "s")
    sets.is_wanted(link.address, "s", link.key)


@contextmanager
def made_anew(session: Session, scene: Scene) -> Iterator[Scene]:
    """The scene at a moment of its own, of which sets are made in the block and dropped at its end.

    Those of the scene's own moment stay. On an error the session is closed, and all of them with it.
    """
    kept, now = _Tables.of(session, scene), replace(scene, moment=object())
    session.kept[_Tables] = fresh = _Tables(session, now, kept.number)
    yield now
    fresh.drop()
    session.kept[_Tables] = kept


class _Tables:
    """The temporary tables of one session that hold sets. They end with it, or with the scene's moment.

    `number` is that of the latest one, which its name has.
    """

    def __init__(self, session: Session, scene: Scene, number: int = 0) -> None:
        self._session = session
        self.scene = scene
        self.terms = SetTerms(scene)
        self._made = dict[tuple[SetId, int], Sql]()
        self.number = number

    @staticmethod
    def of(session: Session, scene: Scene) -> _Tables:
        """The session's tables, without those that the scene makes obsolete."""
        found: _Tables | None = session.kept.get(_Tables)
        if found is None:
            found = session.kept[_Tables] = _Tables(session, scene)
        elif found.scene is not scene:
            found._turn_to(scene)
        return found

    def name(self, of: SetId, which: int) -> Sql:
        """The table of a set; a copy for a statement's second mention (`which` = 2), where it needs one."""
        if not self._session.dialect.ONE_MENTION:
            which = 1
        self._make(of)
        if (of, which) not in self._made:
            link = self.scene.links[of.address]
            copy, keys = self._create(of, which), idents(link.key)
            select = sql("SELECT {} FROM {}", keys, self._made[of, 1])
            self._session.scratch(sql("INSERT INTO {} ({}) {}", copy, keys, select))
        return self._made[of, which]

    def _make(self, of: SetId) -> None:
        """Make a set and those that it is made from, not by recursion, since chains are long."""
        stack, begun = [of], set[SetId]()
        while stack:
            each = stack[-1]
            if not each.is_made or (each, 1) in self._made:
                stack.pop()
            elif each in begun:
                stack.pop()
                if not self.terms.is_expression(each):
                    self._fill(each)
            else:
                begun.add(each)
                stack += [r for r in self.terms.requires(each) if r not in begun]

    def _fill(self, of: SetId) -> None:
        link = self.scene.links[of.address]
        into = self._create(of, 1)
        sets = Sets(self._session, self.scene)
        fill = {"allowed": sets._fill_allowed, "wanted": sets._fill_wanted, "barred": sets._fill_barred}
        try:
            for statement in fill[of.kind](into, link):
                self._session.scratch(statement)
        except ServerError as error:
            if of.kind != "allowed" or link.where is None or error.code not in NOT_EVALUATED:
                raise
            # the server's own words quote a value of some row
            raise ServerError(
                f"`where` of {link.address} cannot be evaluated for all rows: the server cannot convert one "
                f"of the values (error {error.code})",
                code=error.code,
                server=self._session.name,
                link=link.address,
                hint=f"compare values of the same type in `where` of {link.address}: text with quoted text, "
                "numbers with numbers",
            ) from None

    def _create(self, of: SetId, which: int) -> Sql:
        link = self.scene.links[of.address]
        self.number += 1
        name = table(link.outbound_schema, f"~djlink_set_{self.number}")
        keys = idents(link.key).text
        create_temporary(self._session, name, f"{key_columns(link.definition)}, PRIMARY KEY ({keys})")
        self._made[of, which] = name
        return name

    def drop(self) -> None:
        """Drop all of them."""
        for name in self._made.values():
            drop_temporary(self._session, name)
        self._made.clear()

    def _turn_to(self, scene: Scene) -> None:
        same, barring = scene.moment is self.scene.moment, scene.barring == self.scene.barring
        for key in [k for k in self._made if not same or (k[0].kind == "barred" and not barring)]:
            drop_temporary(self._session, self._made.pop(key))
        self.scene, self.terms = scene, SetTerms(scene)


def _insert(into: Sql, link: Link, select: Sql) -> Sql:
    """The INSERT of the keys of a SELECT, each once."""
    first = idents(link.key[:1])
    return sql(
        "INSERT INTO {} ({}) {} ON DUPLICATE KEY UPDATE {} = {}.{}",
        into,
        idents(link.key),
        select,
        first,
        into,
        first,
    )
