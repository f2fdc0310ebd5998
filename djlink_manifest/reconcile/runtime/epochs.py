"""The epochs of one apply: moved on before anything is written, and looked at again before each turn."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from djlink_manifest.errors import DjlinkError, ServerError
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.epochs import EpochState, next_epoch
from djlink_manifest.retry import Retry
from djlink_manifest.servers.ownership import epochs, marks
from djlink_manifest.servers.session.errors import is_transient_in_session
from djlink_manifest.servers.session.session import Session, Writer

# the rows of all links of a schema lie side by side in one table: writing them may deadlock
AGAIN = Retry(5, lambda failures: 0.1 * 2**failures, is_transient_in_session)

Opened: TypeAlias = AbstractContextManager[Writer]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class MarkPlace:
    """Where a link's two marks are, and what they said when the plan was made.

    `going`: the link is taken out, and its marks with it.
    """

    address: str
    source: str
    outbound_schema: str
    local_schema: str
    link_id: str
    state: EpochState
    going: bool = False


def place_of(link: Link, link_id: str, state: EpochState) -> MarkPlace:
    """Where the marks of a link of the manifest are."""
    return MarkPlace(
        *(link.address, link.source, link.outbound_schema, link.local.schema), link_id=link_id, state=state
    )


class OtherServer(DjlinkError):
    """Another apply has worked on a link since the plan was made, or a mark was restored."""


class Epochs:
    """The epoch of one apply, which every link that it works on gets. Links move it in threads of their own.

    `holder` says who applies.
    """

    def __init__(self, states: Iterable[EpochState], holder: str) -> None:
        self.epoch = next_epoch(e for s in states for e in (s.source, s.local, s.announced))
        self._holder = holder
        self._moved = set[str]()
        self._guard = threading.Lock()

    def begin(
        self, places: Collection[MarkPlace], source: Callable[[str], Opened], local: Callable[[], Opened]
    ) -> None:
        """Move the epochs of the links whose marks stand: a statement for each schema and step.

        What a server refuses, and marks that are not as expected, are left to the turns of their links.
        """
        by_schema = defaultdict[tuple[str, str], list[MarkPlace]](list)
        for each in places:
            if each.state.moves:
                by_schema[each.source, each.outbound_schema].append(each)
        for (name, schema), found in by_schema.items():
            try:
                with source(name) as source_writer, local() as local_writer:
                    self._move(schema, found, source_writer, local_writer)
            except ServerError:
                continue

    def check(self, place: MarkPlace, source: Writer, local: Writer) -> None:
        """Move the epoch of a link, or make sure that no other server has since; say who applies.

        The link's locks are held. Raises OtherServer, with nothing done.
        """
        state, moved = place.state, self._has_moved(place)
        if "source" in state.lacks and not moved:
            if state.marked:
                marks.write_holder(source, place.outbound_schema, [place.link_id], self._holder)
            return
        if not (state.marked or state.source or moved):
            return  # there is no mark at the source yet
        found, holder = epochs.read_epoch(source, place.outbound_schema, place.link_id)
        if state.moves and not moved:
            if found == state.source:
                self._move(place.outbound_schema, [place], source, local)
                if self._has_moved(place):
                    return
                raise _other(place)
            if found == self.epoch:  # the answer was lost
                self._settle([place], local)
                moved = True
        if found is None and moved and place.going:
            return
        if found != (self.epoch if moved else state.source):
            raise _other(place)
        if holder != self._holder:
            marks.write_holder(source, place.outbound_schema, [place.link_id], self._holder)

    def join(self, place: MarkPlace, source: Writer, local: Writer) -> None:
        """Give a link its first epoch, once both of its marks stand and have columns for it."""
        if place.state.is_confirmed and not self._has_moved(place):
            self._move(place.outbound_schema, [place], source, local)
            if not self._has_moved(place):
                raise _other(place)

    def _has_moved(self, place: MarkPlace) -> bool:
        with self._guard:
            return place.address in self._moved

    def _move(self, schema: str, places: Collection[MarkPlace], source: Writer, local: Writer) -> None:
        """Announce the epoch in local marks, write it at the source, then let the local marks have it."""
        announced = dict[str, MarkPlace]()
        for local_schema, found in _by_local_schema(places).items():
            moves = _moves(found)
            ids = _again(partial(epochs.announce, local, local_schema, moves, self.epoch))
            announced |= {p.link_id: p for p in found if p.link_id in ids}
        if announced:
            moves = _moves(announced.values())
            ids = _again(partial(epochs.take, source, schema, moves, self.epoch, holder=self._holder))
            self._settle([p for link_id, p in announced.items() if link_id in ids], local)

    def _settle(self, places: Collection[MarkPlace], local: Writer) -> None:
        with self._guard:
            self._moved.update(p.address for p in places)
        for schema, found in _by_local_schema(places).items():
            _again(partial(epochs.settle, local, schema, list(_moves(found)), self.epoch))


def verify(place: MarkPlace, source: Session) -> None:
    """Make sure that the source's mark has the epoch that the plan saw. Raises OtherServer."""
    if "source" not in place.state.lacks and (place.state.marked or place.state.source):
        found, _ = epochs.read_epoch(source, place.outbound_schema, place.link_id)
        if found != place.state.source:
            raise _other(place)


def _by_local_schema(places: Iterable[MarkPlace]) -> Mapping[str, list[MarkPlace]]:
    found = defaultdict[str, list[MarkPlace]](list)
    for each in places:
        found[each.local_schema].append(each)
    return found


def _moves(places: Iterable[MarkPlace]) -> dict[str, EpochState]:
    return {p.link_id: p.state for p in places}


def _again(step: Callable[[], _T]) -> _T:
    return AGAIN.run(step)


def _other(place: MarkPlace) -> OtherServer:
    return OtherServer(
        "another apply has worked on this link since the plan was made, from here or from another local "
        "server, or its marks were restored; nothing was done",
        link=place.address,
        server=place.source,
        hint="run `djlink plan` again: it says where another local server is concerned",
    )
