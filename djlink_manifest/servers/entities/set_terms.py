"""The links of one source as its SQL sees them, and which sets of keys each of them needs. Pure.

A set is made from the sets of the link's parents or children, one link at a time (`key_sets.py` here), so the
size of a statement depends on the foreign keys of one link and never on the depth of the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.model.links.selection import is_textual
from djlink_manifest.servers.query.references import named_key

# sets that decide about one link by its key; where there are more, the link gets a set of its own
MOST_TERMS, MOST_REQUEST_TERMS = 4, 8


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """The deletion requests and approvals of a link: how many, and the time of the latest request."""

    requests: int
    approvals: int
    latest: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceLinks:
    """What the SQL of one source server is made from.

    `links` are all links of the server, targeted or not; `children` the references that point at each link,
    as (child address, reference); `held` the links whose outbound tables exist; `requests` those with at
    least one deletion request or approval. Scenes of one `moment` share what is allowed and wanted: a plan
    has one moment, an apply another.
    """

    links: Mapping[str, Link]
    children: Mapping[str, tuple[tuple[str, Reference], ...]]
    held: frozenset[str]
    requests: Mapping[str, RequestCounts]
    moment: object = field(default_factory=object, compare=False)

    @staticmethod
    def of(
        links: Mapping[str, Link], held: frozenset[str], requests: Mapping[str, RequestCounts]
    ) -> SourceLinks:
        """The scene of one server's links."""
        children: dict[str, list[tuple[str, Reference]]] = {}
        for address, link in links.items():
            for reference in link.references:
                children.setdefault(reference.parent, []).append((address, reference))
        return SourceLinks(links, {a: tuple(c) for a, c in children.items()}, held, requests)

    @property
    def standing(self) -> Mapping[str, Link]:
        """The links whose outbound tables exist."""
        return {address: link for address, link in self.links.items() if address in self.held}

    def at(self, held: frozenset[str], requests: Mapping[str, RequestCounts]) -> SourceLinks:
        """The scene at a later time of the same moment."""
        return replace(self, held=held, requests=requests)


Kind = Literal["allowed", "wanted", "barred", "held", "requested", "approved", "none"]


@dataclass(frozen=True, slots=True)
class SetId:
    """A set of keys of a link.

    What is allowed, wanted or barred has to be made; what is held, requested or approved stands in the
    outbound schema; `none` is the empty set.
    """

    kind: Kind
    address: str

    @property
    def is_made(self) -> bool:
        """Whether the set has to be made before a statement can use it."""
        return self.kind in ("allowed", "wanted", "barred")


@dataclass(frozen=True, slots=True)
class Term:
    """A set, and the columns of a link's key that hold the key of the set's link."""

    of: SetId
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found of one link. `request_terms` is what its set of barred entities is made from.

    The reference is None for what the link's own key holds.
    """

    allowed: tuple[Term, ...] | None
    blocked_by_request: tuple[Term, ...]
    restricting: tuple[tuple[Reference, tuple[Term, ...]], ...]
    request_terms: tuple[tuple[Reference | None, Term], ...]


class SetTerms:
    """What decides about the entities of each link, as few sets of keys.

    `allowed` and `wanted` hold where all of their terms do, and are None for all entities;
    `blocked_by_request` holds where any of its terms does. What restricts an ancestor is asked of the
    ancestor's key where the primary key inherits it, and costs no set of its own.
    """

    def __init__(self, source_links: SourceLinks) -> None:
        self.source_links = source_links
        self._known = dict[str, _Found]()

    def allowed(self, address: str) -> tuple[Term, ...] | None:
        """The terms of the entities that `where` and the linked parents allow."""
        return self._found(address).allowed

    def wanted(self, address: str) -> tuple[Term, ...] | None:
        """The terms of the entities that the manifest asks for."""
        link = self.source_links.links[address]
        if link.pull != "needed":
            return self.allowed(address)
        kind: Kind = "wanted" if self.source_links.children.get(address) else "none"
        return (Term(SetId(kind, address), link.key),)

    def blocked_by_request(self, address: str) -> tuple[Term, ...]:
        """The terms of the entities with a request or approval on them or on an ancestor."""
        return self._found(address).blocked_by_request

    def restricting(self, address: str) -> tuple[tuple[Reference, tuple[Term, ...]], ...]:
        """The references to restricted parents, each with the terms of its parent."""
        return self._found(address).restricting

    def request_terms(self, address: str) -> tuple[tuple[Reference | None, Term], ...]:
        """What the link's set of barred entities is made from: terms of its key, and of its references."""
        return self._found(address).request_terms

    def requires(self, of: SetId) -> Iterator[SetId]:
        """The sets from which another one is made."""
        match of.kind:
            case "barred":
                yield from (t.of for _, t in self.request_terms(of.address))
            case "allowed":
                yield from (t.of for _, terms in self.restricting(of.address) for t in terms)
            case "wanted":
                yield from (t.of for t in self.allowed(of.address) or ())
                for child, _ in self.source_links.children.get(of.address, ()):
                    yield from (t.of for t in self.wanted(child) or ())

    def is_expression(self, of: SetId) -> bool:
        """Whether the set is evaluated where it is used, instead of made.

        So it is for a link without children, from whose set no other one of what is allowed is made. SQL text
        is evaluated in an INSERT: there a strict server refuses values that it only warns of in a SELECT,
        and the plan shall meet what the apply would.
        """
        if of.kind != "allowed" or self.source_links.children.get(of.address):
            return False
        where = self.source_links.links[of.address].where
        if where is not None and is_textual(where):
            return False
        return len(self.restricting(of.address)) <= MOST_TERMS

    def _found(self, address: str) -> _Found:
        """Find what decides about a link and all those that it refers to, parents first."""
        if address not in self._known:
            for each in upstream(self.source_links.links, address, self._known):
                self._known[each] = self._find(self.source_links.links[each])
        return self._known[address]

    def _find(self, link: Link) -> _Found:
        above = [(r, self._known[r.parent]) for r in link.references if r.parent in self._known]
        restricting = (
            [] if link.pull == "none" else [(r, f.allowed) for r, f in above if f.allowed is not None]
        )
        inherited, others = self._divided(link, restricting)
        allowed: tuple[Term, ...] | None = None
        if link.pull == "none":
            kind: Kind = "held" if link.address in self.source_links.held else "none"
            allowed = (Term(SetId(kind, link.address), link.key),)
        elif link.where is not None or others or not _fit(inherited, MOST_TERMS):
            allowed = (Term(SetId("allowed", link.address), link.key),)
        elif inherited:
            allowed = tuple(inherited)
        own = [Term(SetId(kind, link.address), link.key) for kind in self._own_request_terms(link)]
        by_key, others = self._divided(link, [(r, f.blocked_by_request) for r, f in above])
        short = _fit(by_key, MOST_REQUEST_TERMS)
        request_terms = [*([] if short else [(None, t) for t in by_key]), *others]
        made = [Term(SetId("barred", link.address), link.key)] if request_terms else []
        blocked_by_request = (*own, *(by_key if short else []), *made)
        return _Found(allowed, blocked_by_request, tuple(restricting), tuple(request_terms))

    def _own_request_terms(self, link: Link) -> Iterator[Kind]:
        request_terms = self.source_links.requests.get(link.address)
        if request_terms is not None and request_terms.requests:
            yield "requested"
        if request_terms is not None and request_terms.approvals:
            yield "approved"

    def _divided(
        self, link: Link, above: Sequence[tuple[Reference, tuple[Term, ...]]]
    ) -> tuple[list[Term], list[tuple[Reference, Term]]]:
        """What the parents' terms ask of the link's key, and what its other columns and its parts decide."""
        inherited, others = dict[Term, None](), list[tuple[Reference, Term]]()
        for reference, terms in above:
            parent = self.source_links.links[reference.parent]
            key = named_key(parent, reference)
            from_key = reference.child_table == link.definition.name and not reference.nullable
            places = dict(zip(parent.key, key, strict=True)) if from_key and key is not None else {}
            for term in terms:
                names = tuple(places.get(name, "") for name in term.columns)
                if set(names) <= set(link.key):
                    inherited[Term(term.of, names)] = None
                else:
                    others.append((reference, term))
        return list(inherited), others


def _fit(terms: Sequence[Term], most: int) -> bool:
    """Whether one statement may have all of these terms: they are few, and none has a made set twice."""
    made = [t.of for t in terms if t.of.is_made]
    return len(terms) <= most and len(made) == len(set(made))


def upstream(links: Mapping[str, Link], address: str, known: Collection[str] = ()) -> Iterator[str]:
    """The link and all those that it refers to, near or far, parents first, without those `known`.

    Not by recursion, since chains are long. A reference that closes a circle is left out.
    """
    begun, ended, stack = set[str](), set[str](), [address]
    while stack:
        each = stack[-1]
        if each not in begun:
            begun.add(each)
            parents = (r.parent for r in links[each].references)
            stack += [p for p in parents if p not in begun and p not in known]
            continue
        stack.pop()
        if each not in ended:
            ended.add(each)
            yield each


def all_is_pullable(source_links: SourceLinks, link: Link) -> bool:
    """Whether every entity of the source is wanted and none is barred."""
    terms = SetTerms(source_links)
    return terms.wanted(link.address) is None and not terms.blocked_by_request(link.address)
