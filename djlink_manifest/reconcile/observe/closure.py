"""What would go with entities that are deleted here, counted on the local server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from djlink_manifest.model.links.referrers import Dependents, lab_line
from djlink_manifest.reconcile.state.deletion_requests import Closure, LabRows
from djlink_manifest.reconcile.state.plan_keys import NO_KEYS, ClosureKeys, KeyDigests
from djlink_manifest.servers.outbound.deletion_set import DeletionSet, deletion_set
from djlink_manifest.servers.session.session import Session


@contextmanager
def closures(local: Session, dependents: Dependents, address: str) -> Iterator[DeletionSet]:
    """Empty sets for a link and all that hang on it."""
    with deletion_set(local, dependents, dependents.below(address)) as sets:
        yield sets


def measured(sets: DeletionSet, address: str) -> Closure:
    """The closure of the entities in the link's set, which are here; the other sets are empty."""
    total = sets.count(address)
    if not total:
        return Closure()
    sets.spread()
    whole = _along(sets, address)
    lab = tuple(_lab_rows(sets, address))
    if lab:
        sets.hold_back()
        sets.clear(address)
        sets.spread()
    entities = sets.count(address)
    along = _along(sets, address) if lab else whole
    return Closure(entities, along, tuple(sets.rows()), total - entities, lab=lab, whole=whole)


def keys_of(sets: DeletionSet, address: str) -> ClosureKeys:
    """The keys of a closure that was measured."""
    digests = {other: KeyDigests(sets.keys(other)) for other in sets.counts()}
    return ClosureKeys(digests.pop(address, NO_KEYS), digests)


def _along(sets: DeletionSet, address: str) -> tuple[tuple[str, int], ...]:
    return tuple((other, count) for other, count in sets.counts().items() if other != address)


def _lab_rows(sets: DeletionSet, root: str) -> Iterator[LabRows]:
    for address, referrer, count in sets.lab_rows():
        held = referrer.holder is not None
        line = None if held else lab_line(sets.dependents, root, address, referrer)
        yield LabRows(referrer.name, count, line, outbound=held)
