"""Ask the servers why an entity is wanted or not, and what keeps it from coming."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from djlink_manifest.manifest.models.where import spelt
from djlink_manifest.model.links.entity import Presence
from djlink_manifest.model.links.explanation import Reason
from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.model.links.local_rules import Leftover, LocalRule, leftover
from djlink_manifest.model.links.unique import uniques
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.reconcile.explain.explained import BlockedBy, Explained
from djlink_manifest.reconcile.explain.wording import by_columns, rows_naming
from djlink_manifest.reconcile.state.snapshot import LinkTables
from djlink_manifest.servers.entities import one_entity
from djlink_manifest.servers.entities.local_rules import breaking
from djlink_manifest.servers.entities.obstacles import STALE, Coming, find_obstacles, obstacle
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.predicates import keys_in
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql as SqlText
from djlink_manifest.servers.sql import table

SHOWN = 3  # entities of a parent that are named for one reason
LOOKED_AT = 50  # entities of a parent that are looked at for one reference

Place: TypeAlias = "tuple[str, RawRow]"  # a link's address and the raw key of one of its entities
_T = TypeVar("_T")

# what asks for other entities as it goes, and is sent each of them explained
Question: TypeAlias = Generator[Place, Explained, _T]


@dataclass(frozen=True, slots=True)
class Sides:
    """What an explanation asks with: the scene of a source's links and a session to each server.

    `link_tables` are those of the links of which rows may come, `source_catalog` and `local_catalog` the
    catalogues of both servers.
    """

    source_links: SourceLinks
    link_tables: Mapping[str, LinkTables]
    source_catalog: Catalog
    local_catalog: Catalog
    source: Session
    local: Session

    def has_local(self, link: Link) -> bool:
        """Whether the link's local table is there, with its key."""
        # not by the footing, which a link that is refused has not
        found = self.local_catalog.tables.get((link.local.schema, link.local.name))
        return found is not None and set(link.key) <= set(found.column_names)

    def is_comparable(self, link: Link) -> bool:
        """Whether the local tables have a place for every row of the source."""
        link_tables = self.link_tables.get(link.address)
        return link_tables is not None and link_tables.is_comparable(link)


@dataclass(frozen=True, slots=True)
class Reasons:
    """The reasons for one entity of a link, by its raw key."""

    sides: Sides
    link: Link
    raw: RawRow

    def rules(self, verdict: one_entity.Verdict, held: bool) -> Question[list[Reason]]:
        """Whether the manifest wants the entity: `where`, its references, and who needs it."""
        link = self.link
        if link.pull == "none":
            # a link that is refused is looked at as if nothing new were wanted of it
            why = "`pull: none`" if link.address in self.sides.link_tables else "the link is blocked"
            words = f"{why}: held rows stay wanted, new rows are not"
            return [Reason("pull", held, words, place=str(link.location))]
        found = list[Reason]()
        if link.where is not None:
            state = {
                True: "is met",
                False: "is not met",
                None: "is NULL for this row, which counts as not met",
            }
            words = f"`where` {state[verdict.meets]}: {spelt(link.where)}"
            found.append(Reason("where", bool(verdict.meets), words, place=str(link.location)))
        holding = dict(verdict.holds)
        for reference in link.references:
            found.append((yield from self._reference(reference, holding.get(reference))))
        if link.pull == "needed":
            found += self._needed()
        return found

    def request_reasons(self, verdict: one_entity.Verdict, presence: Presence) -> Question[list[Reason]]:
        """The requests and approvals that bar it, its own or an ancestor's."""
        found = list[Reason]()
        if presence.requested:
            found.append(Reason("request", False, "its deletion is requested"))
        if presence.approved:
            found.append(Reason("request", False, "its deletion was approved: it is not pulled again"))
        if not verdict.blocked_by_request or found:
            return found
        for reference in self.link.references:
            for each in self._parents(reference, "barred"):
                above = (yield reference.parent, each).explanation
                because = tuple(r for r in above.reasons if r.rule == "request")
                words = "the deletion of an entity that it refers to is requested"
                found.append(
                    Reason("request", False, words, reference.parent, key=above.key, because=because)
                )
        return found

    def takers(self, into: BlockedBy) -> Iterator[Reason]:
        """The local rows that have a unique value of the entity's rows."""
        sides, link = self.sides, self.link
        if not sides.is_comparable(link):
            return
        for number, unique in enumerate(uniques(link), STALE):
            for owner in one_entity.takers(sides.source, sides.local, link, unique, self.raw):
                held = link.address in sides.source_links.held and one_entity.is_in(
                    sides.source, outbound_table(link), link.key_columns, owner
                )
                why = obstacle(link, sides.source_links, number)
                if not held:
                    into.taken.append(unique)
                elif why is not None:
                    into.obstacles.append(why)
                whose = "another entity of this link" if held else "a local row of your own"
                words = f"its value of {unique.words} is used by {whose}"
                yield Reason("unique key", False, words, link.address, one_entity.key_text(link, owner))

    def obstacles(self, into: BlockedBy) -> Iterator[Reason]:
        """The references to rows that the source does not have, or that are not here yet."""
        sides, link = self.sides, self.link

        def this(alias: str, names: Sequence[str]) -> list[SqlText]:
            return [keys_in(one_entity.renamed(link.key_columns, names), [self.raw], alias)]

        links = sides.source_links.links
        comparable = {a for a in sides.link_tables if a in links and sides.is_comparable(links[a])}
        coming = Coming(sides.source, sides.local, sides.source_links, link, this)
        for number, _ in find_obstacles(coming, comparable):
            found = obstacle(link, sides.source_links, number)
            assert found is not None, "it is a number of `unmet`"
            into.obstacles.append(found)
            reference = link.references[number % STALE]
            yield Reason("foreign key", False, found.words, reference.parent)

    def blocked_by_parent(self, into: BlockedBy) -> Question[list[Reason]]:
        """The references to entities that cannot come themselves."""
        found = list[Reason]()
        for reference in self.link.references:
            for each in self._parents(reference, "unheld", LOOKED_AT):
                above = yield reference.parent, each
                if above.blocked:
                    into.parents.append(reference.parent)
                    because = tuple(r for r in above.explanation.reasons if not r.holds)
                    words = f"{by_columns(self.link, reference)} refers to an entity that is blocked"
                    key = above.explanation.key
                    found.append(
                        Reason("foreign key", False, words, reference.parent, key=key, because=because)
                    )
                    break
        return found

    def broken(self, into: BlockedBy) -> Iterator[Reason]:
        """The rules of the local tables that the entity's rows at the source break."""
        text = one_entity.key_text(self.link, self.raw)
        for rule in self._broken():
            into.broken.append(rule)
            yield Reason("local rule", False, rule.words, self.link.address, text)

    def _broken(self) -> list[LocalRule]:
        sides, link, raw = self.sides, self.link, self.raw
        left = leftover(link)
        if left is not None and isinstance(left.of, Leftover) and sides.is_comparable(link):
            for part in left.of.parts:
                columns = [part.column(n) for n in link.local.entity_columns(part)]
                if one_entity.is_in(sides.local, table(part.schema, part.name), columns, raw):
                    return [left]
        found, link_tables = list[LocalRule](), sides.link_tables.get(link.address)
        for rule in link_tables.rules if link_tables is not None else ():
            own_rows = [keys_in([rule.source_table.column(n) for n in rule.owner], [raw], "t")]
            if list(breaking(rule, sides.source, own_rows, sides.local)):
                found.append(rule)
        return found

    def _reference(self, reference: Reference, holds: bool | None) -> Question[Reason]:
        parent = self.sides.source_links.links[reference.parent]
        by = by_columns(self.link, reference)
        if holds is not False:
            named = self._parents(reference, "all")
            if not named:
                return Reason(
                    "foreign key", True, f"{by} refers to no row of {parent.address}", parent.address
                )
            what = "allowed" if holds else "no rule restricts this link"
            key = one_entity.key_text(parent, named[0])
            return Reason("foreign key", True, f"{by}: {what}", parent.address, key)
        out = self._parents(reference, "left out")
        above = list[Explained]()
        for each in out:
            above.append((yield parent.address, each))
        because = tuple(r for each in above for r in each.explanation.reasons if not r.holds)
        key = one_entity.key_text(parent, out[0]) if out else ()
        words = f"{by} refers to a row that is not wanted"
        return Reason("foreign key", False, words, parent.address, key=key, because=because)

    def _needed(self) -> Iterator[Reason]:
        source_links = self.sides.source_links
        children = source_links.children.get(self.link.address, ())
        if not children:
            words = "`pull: needed`, but no link refers to it"
            yield Reason("needed by", False, words, place=str(self.link.location))
        for child, reference in children:
            rows, wanted = one_entity.users(self.sides.source, source_links, child, reference, self.raw)
            words = f"{by_columns(source_links.links[child], reference)}: {rows_naming(rows)}"
            words += f", {wanted:,} of them in wanted or held entities" if rows else ""
            yield Reason("needed by", wanted > 0, words, child)

    def _parents(self, reference: Reference, which: one_entity.Which, limit: int = SHOWN) -> list[RawRow]:
        sides = self.sides
        return one_entity.parents_named(
            sides.source, sides.source_links, self.link, reference, self.raw, which=which, limit=limit
        )
