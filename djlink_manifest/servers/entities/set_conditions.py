"""Which entities are wanted, allowed and barred, as conditions on the source server (design: "Wanted")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.servers.entities.set_terms import SetId, SetTerms, SourceLinks, Term
from djlink_manifest.servers.query.references import reference_holds
from djlink_manifest.servers.query.tables import outbound_table, restricted
from djlink_manifest.servers.sql import Sql, and_, columns, exists_in, or_, sql, table

NameOf = Callable[[SetId, int], Sql]
"""The table of a set, by how often a statement has named it, this time included."""


class Conditions:
    """The conditions of one statement, in terms of sets. A table that it names twice has a copy (MySQL)."""

    def __init__(self, source_links: SourceLinks, terms: SetTerms, name_of: NameOf) -> None:
        self.source_links = source_links
        self.terms = terms
        self._name_of = name_of
        self._named = Counter[SetId]()

    def is_wanted(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """The condition that the entity whose key the named columns hold is wanted; None where all are."""
        return self._all_of(address, self.terms.wanted(address), alias, names)

    def is_allowed(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """The condition that `where` and the linked parents allow the entity; None where they allow all."""
        return self._all_of(address, self.terms.allowed(address), alias, names)

    def is_blocked_by_request(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """The condition that a request or approval stands on the entity or an ancestor; None for none."""
        terms = self.terms.blocked_by_request(address)
        return self._any_of(address, terms, alias, names) if terms else None

    def is_blocked_above(self, address: str, alias: str, names: Sequence[str]) -> Sql | None:
        """As `is_blocked_by_request`, without the requests and approvals of the entity itself."""
        own = {SetId("requested", address), SetId("approved", address)}
        terms = [t for t in self.terms.blocked_by_request(address) if t.of not in own]
        return self._any_of(address, terms, alias, names) if terms else None

    def pullable(self, link: Link, alias: str, names: Sequence[str]) -> list[Sql]:
        """The conditions under which the entity whose key the named columns hold is pullable."""
        wanted = self.is_wanted(link.address, alias, names)
        blocked_by_request = self.is_blocked_by_request(link.address, alias, names)
        return [
            *([wanted] if wanted is not None else []),
            *([sql("NOT {}", blocked_by_request)] if blocked_by_request is not None else []),
        ]

    def parent_conditions(self, link: Link, alias: str) -> list[tuple[Reference, Sql]]:
        """For each reference to a restricted parent, the condition that a source row's parent is allowed."""
        restricting = self.terms.restricting(link.address)
        return [(r, self.holds(link, r, terms, alias)) for r, terms in restricting]

    def holds(self, link: Link, reference: Reference, terms: Sequence[Term], alias: str) -> Sql:
        """The condition that the parent that a source row refers to meets all the terms."""
        parent = self.source_links.links[reference.parent]

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
        return sql("({})", and_([self.test(address, t, alias, names) for t in terms]))

    def _any_of(self, address: str, terms: Sequence[Term], alias: str, names: Sequence[str]) -> Sql:
        return or_([self.test(address, t, alias, names) for t in terms])

    def test(self, address: str, term: Term, alias: str, names: Sequence[str]) -> Sql:
        """The condition that the key of `address` in the named columns is in the set of a term."""
        if term.of.kind == "none":
            return Sql("FALSE")
        places = dict(zip(self.source_links.links[address].key, names, strict=True))
        key = self.source_links.links[term.of.address].key
        return exists_in(self._members(term.of), key, alias, [places[name] for name in term.columns])

    def _members(self, of: SetId) -> Sql:
        link = self.source_links.links[of.address]
        match of.kind:
            case "held":
                return outbound_table(link)
            case "requested":
                return table(link.outbound_schema, link.requested_table)
            case "approved":
                return table(link.outbound_schema, link.approved_table)
        if self.terms.is_expression(of):
            return self._expression(link)
        self._named[of] += 1
        return self._name_of(of, self._named[of])

    def _expression(self, link: Link) -> Sql:
        conditions = [holds for _, holds in self.parent_conditions(link, "m")]
        rows = restricted(link, link.where)
        return sql("(SELECT {} FROM {} m WHERE {})", columns("m", link.key), rows, and_(conditions))
