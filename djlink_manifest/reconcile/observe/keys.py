"""The keys by which the two sides of a link differ, into temporary tables. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.state.snapshot import Unparented
from djlink_manifest.servers.compare import entity_diff, key_diff, row_diff
from djlink_manifest.servers.compare.key_diff import SideDigests
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys import predicates
from djlink_manifest.servers.keys.key_table import KeyTable, key_table
from djlink_manifest.servers.keys.packed_keys import PackedKeys
from djlink_manifest.servers.outbound import registrations
from djlink_manifest.servers.session.session import RawRow, Session


@contextmanager
def differing_keys(
    link: Link,
    has_outbound: bool,
    has_local: bool,
    source: Session,
    local: Session,
    seen: SideDigests | None = None,
) -> Iterator[tuple[KeyTable | None, KeyTable | None]]:
    """The keys that outbound alone has, and those that the local table alone has; None for none.

    `seen` are the digests of both sides of a moment ago, where they were asked already.
    """
    if has_outbound and has_local:
        seen = seen or key_diff.side_digests(local, source, link)
    if not (has_outbound or has_local) or (seen is not None and seen.agree):
        yield None, None
        return
    with key_table(source, link, "missing") as missing, key_table(source, link, "extra") as extra:
        if has_outbound and has_local:
            key_diff.compare_keys(local, source, link, missing, extra=extra, known=seen)
        elif has_local:
            extra.add(key_diff.all_local_keys(local, link))
        else:
            missing.add_from(registrations.all_keys(link))
        yield missing, extra


@contextmanager
def changed_entities(
    link: Link,
    source: Session,
    local: Session,
    links: Mapping[str, Link],
    besides: Sequence[RawRow] = (),
    *,
    requested: bool = False,
) -> Iterator[ChangedEntities]:
    """The held and present entities whose rows differ on the two servers, without those asked back.

    `links` are those of the source whose outbound tables stand; `besides` the keys of entities that are to be
    looked at as if their rows did; `requested`: those asked back too, whose requests may be withdrawn.
    """
    with key_table(source, link, "changed") as changed, key_table(source, link, "refill") as found:
        row_diff.find_changed(local, source, link, changed)
        if besides:
            row_diff.add_others(source, link, changed, besides)
        if changed.count:
            registrations.add_refillable(links, link, changed, found, requested=requested)
        yield ChangedEntities(link, links, changed, found, requested)


@dataclass(frozen=True, slots=True)
class ChangedEntities:
    """Held entities whose rows differ: all of them, and those that can be refilled."""

    link: Link
    links: Mapping[str, Link]
    every: KeyTable
    refillable: KeyTable
    requested: bool

    def unparented(self) -> Unparented:
        """The others that are not asked back, whose source rows now refer to rows that are not held."""
        if self.every.count == self.refillable.count:
            return Unparented()
        session, of = self.every.session, self.every
        found = registrations.without_parents(session, self.links, self.link, of, requested=self.requested)
        return Unparented(*found)


def equal_unprotected(
    link: Link,
    source_links: SourceLinks,
    extra: KeyTable | None,
    source: Session,
    local: Session,
    different: PackedKeys | None = None,
) -> Iterator[list[RawRow]]:
    """Batches of keys of unprotected entities, not requested nor approved, that equal the source's.

    `different` gets the other keys.
    """
    for first, last in extra.pages(predicates.ROWS_AT_ONCE) if extra else ():
        keys = extra.keys(first, last) if extra else []
        if link.address in source_links.requests:
            requested = registrations.requested_or_approved(source, link, keys)
            keys = [key for key in keys if key not in requested]
        if keys:
            equal = entity_diff.equal_entities(local, source, link, keys)
            if different is not None:
                same = set(equal)
                different.add(key for key in keys if key not in same)
            yield equal
