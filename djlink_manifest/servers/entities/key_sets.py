"""The sets that conditions name, as temporary tables of a session.

They are made link by link in the order of the graph, each from those of its parents or children. Servers
expand a common table expression wherever it is named, so statements that hold the sets of ancestors grow with
the graph until the server refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from djlink_manifest.errors import ServerError
from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.servers.entities.set_conditions import Conditions
from djlink_manifest.servers.entities.set_terms import SetId, SetTerms, SourceLinks, Term
from djlink_manifest.servers.keys.temporary_table import EntityKeys
from djlink_manifest.servers.query.references import child_master_columns, child_table, parent_join
from djlink_manifest.servers.query.tables import outbound_table, restricted, source_table
from djlink_manifest.servers.session.error_words import NOT_EVALUATED
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, and_, column, columns, equal, exists_in, idents, sql

CONDITIONS_AT_ONCE = 4  # references that one statement tests: optimizers take long to order many joins


class Sets(Conditions):
    """The sets that one statement uses.

    Composing a condition makes the tables that it names, so it has to be done outside of a transaction, or
    after `prepare`.
    """

    def __init__(self, session: Session, source_links: SourceLinks) -> None:
        tables = _Tables.of(session, source_links)
        super().__init__(source_links, tables.terms, tables.name)


def prepare(session: Session, source_links: SourceLinks, link: Link) -> None:
    """Make the tables that statements about the link name, which no transaction may do."""
    Sets(session, source_links).pullable(link, "s", link.key)
    sets = Sets(session, source_links)
    sets.parent_conditions(link, "s")
    sets.is_wanted(link.address, "s", link.key)


@contextmanager
def made_anew(session: Session, source_links: SourceLinks) -> Iterator[SourceLinks]:
    """The scene at a moment of its own, of which sets are made in the block and dropped at its end.

    Those of the scene's own moment stay. On an error the session is closed, and all of them with it.
    """
    kept, now = _Tables.of(session, source_links), replace(source_links, moment=object())
    session.kept[_Tables] = fresh = _Tables(session, now, kept.number)
    yield now
    fresh.drop()
    session.kept[_Tables] = kept


class _Tables:
    """The temporary tables of one session that hold sets. They end with it, or with the scene's moment.

    `number` is that of the latest one, which its name has.
    """

    def __init__(self, session: Session, source_links: SourceLinks, number: int = 0) -> None:
        self._session = session
        self.source_links = source_links
        self.terms = SetTerms(source_links)
        self._made = dict[tuple[SetId, int], EntityKeys]()
        self.number = number

    @staticmethod
    def of(session: Session, source_links: SourceLinks) -> _Tables:
        """The session's tables, without those that the scene makes obsolete."""
        found: _Tables | None = session.kept.get(_Tables)
        if found is None:
            found = session.kept[_Tables] = _Tables(session, source_links)
        elif found.source_links is not source_links:
            found._turn_to(source_links)
        return found

    def name(self, of: SetId, which: int) -> Sql:
        """The table of a set; a copy for a statement's second mention (`which` = 2), where it needs one."""
        if not self._session.dialect.ONE_MENTION:
            which = 1
        self._make(of)
        if (of, which) not in self._made:
            keys = idents(self.source_links.links[of.address].key)
            self._create(of, which).add_from(sql("SELECT {} FROM {}", keys, self._made[of, 1].name))
        return self._made[of, which].name

    def drop(self) -> None:
        """Drop all of them."""
        for each in self._made.values():
            each.drop()
        self._made.clear()

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
        link = self.source_links.links[of.address]
        into = self._create(of, 1)
        fill = {"allowed": self._fill_allowed, "wanted": self._fill_wanted, "barred": self._fill_blocked}
        try:
            fill[of.kind](into, link)
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

    def _create(self, of: SetId, which: int) -> EntityKeys:
        link = self.source_links.links[of.address]
        self.number += 1
        found = EntityKeys(self._session, link.definition, link.outbound_schema, f"set_{self.number}")
        found.create()
        self._made[of, which] = found
        return found

    def _turn_to(self, source_links: SourceLinks) -> None:
        same, requests = (
            source_links.moment is self.source_links.moment,
            source_links.requests == self.source_links.requests,
        )
        for key in [k for k in self._made if not same or (k[0].kind == "barred" and not requests)]:
            self._made.pop(key).drop()
        self.source_links, self.terms = source_links, SetTerms(source_links)

    def _statement(self) -> Conditions:
        """The conditions of another statement."""
        return Conditions(self.source_links, self.terms, self.name)

    def _fill_allowed(self, into: EntityKeys, link: Link) -> None:
        """Fill a set of what is allowed, by statements with a few of the link's references each."""
        rest = list(self.terms.restricting(link.address))
        first = self._few(link, rest)
        into.add_from(
            sql("SELECT {} FROM {} m WHERE {}", columns("m", link.key), restricted(link, link.where), first)
        )
        while rest:
            match = equal("m", link.key, into.name.text, link.key)
            holds = self._few(link, rest)
            into.delete_joined(sql("JOIN {} m ON {}", source_table(link), match), sql("NOT ({})", holds))

    def _few(self, link: Link, rest: list[tuple[Reference, tuple[Term, ...]]]) -> Sql:
        """Take some references, of which no two ask the same set, and give their conditions on `m`."""
        conditions = self._statement()
        taken, sets = list[Sql](), set[SetId]()
        for each in list(rest):
            reference, terms = each
            own = {t.of for t in terms if t.of.is_made}
            if len(taken) < CONDITIONS_AT_ONCE and not sets & own:
                taken.append(conditions.holds(link, reference, terms, "m"))
                sets |= own
                rest.remove(each)
        return and_(taken)

    def _fill_wanted(self, into: EntityKeys, link: Link) -> None:
        """Fill the set of a `needed` link: what wanted or held entities refer to."""
        for address, reference in self.source_links.children.get(link.address, ()):
            child = self.source_links.links[address]
            own_columns = child_master_columns(child, reference)
            join, alias, key = parent_join(link, reference, "c")
            named = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            conditions = self._statement()
            wanted = conditions.is_wanted(address, "c", own_columns)
            holders = [[] if wanted is None else [wanted]]
            if wanted is not None and address in self.source_links.held and child.pull != "none":
                holders.append([exists_in(outbound_table(child), child.key, "c", own_columns)])
            for number, holds in enumerate(holders):
                tests = [*named, *holds]
                # what a wanted entity refers to is allowed, by the definition of what is wanted
                if number or child.pull == "none":
                    of = self._statement() if number else conditions
                    allowed = of.is_allowed(link.address, alias, key)
                    tests += [allowed] if allowed is not None else []
                into.add_once(
                    sql(
                        "SELECT DISTINCT {} FROM {} c {} WHERE {}",
                        columns(alias, key),
                        child_table(child, reference),
                        join,
                        and_(tests),
                    )
                )

    def _fill_blocked(self, into: EntityKeys, link: Link) -> None:
        """Fill a set of what is barred, by one statement for each set above."""
        for reference, term in self.terms.request_terms(link.address):
            conditions = self._statement()
            if reference is None:
                test = conditions.test(link.address, term, "m", link.key)
                keys = columns("m", link.key)
                into.add_once(sql("SELECT {} FROM {} m WHERE {}", keys, source_table(link), test))
                continue
            join, alias, key = parent_join(self.source_links.links[reference.parent], reference, "c")
            # a NULL in any of its columns: the reference names nobody, whatever the others hold
            tests = [sql("{} IS NOT NULL", column("c", name)) for name in reference.nullable]
            tests.append(conditions.test(reference.parent, term, alias, key))
            into.add_once(
                sql(
                    "SELECT DISTINCT {} FROM {} c {} WHERE {}",
                    columns("c", child_master_columns(link, reference)),
                    child_table(link, reference),
                    join,
                    and_(tests),
                )
            )
