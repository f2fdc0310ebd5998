"""The owner's desk: what an owner asks and does in one session, over all tables that the account sees."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from djlink_manifest.errors import ServerError, UsageError
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.dependents import below, children_first
from djlink_manifest.model.links.holding import TableHolding
from djlink_manifest.model.links.selection import AllOf, Condition, Equals
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.owner.directory import Directory
from djlink_manifest.owner.gathered import Gathered, unknown_rows
from djlink_manifest.reconcile.resolve.where import where_problems
from djlink_manifest.servers.ddl import detach_script
from djlink_manifest.servers.owner import statements
from djlink_manifest.servers.owner.key_sets import KeySets, key_sets
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Writer

_WHOLE = re.compile(r"[+-]?[0-9]+")


class Desk(Directory):
    """A directory, and what its owner does with the entities in it."""

    def board(self) -> tuple[TableHolding, ...]:
        """Every linked table with what each link has of it, what hangs on others first."""
        return tuple(
            TableHolding(place, self.words(place), None, self.holdings(place, None))
            for place in children_first(self.links.keys(), self.ties)
        )

    def way_out(self, manifest: str, places: Collection[TableName]) -> str:
        """The SQL by which an administrator takes the links of a lab apart, of these tables or of all.

        Raises UsageError where the lab has none of them.
        """
        everywhere = [link for each in self.links.values() for link in each]
        chosen = [
            link
            for link in sorted(everywhere)
            if link.manifest == manifest and (not places or link.source in places)
        ]
        if not chosen:
            known = sorted({link.manifest for link in everywhere})
            close = nearest(manifest, known)
            raise UsageError(
                f"the manifest `{manifest}` has no link on these tables",
                hint=f"did you mean `{close}`?"
                if close
                else f"known manifests: {', '.join(known) or 'none'}",
            )
        return detach_script.way_out(chosen, {link: self.masters[link.source] for link in chosen})

    @contextmanager
    def gathered(
        self,
        place: TableName,
        where: Condition | None,
        *,
        dependents: bool = True,
        requested: bool = False,
        relay: bool = False,
    ) -> Iterator[Gathered]:
        """The table's entities that meet a condition, and all that hang on them, for the time of the block.

        `requested`: only those that were requested or approved; of a table that no lab links, none. `relay`:
        only those whose deletion the source of the table requests, which is a local table of djlink. Raises
        UsageError for a condition that does not fit the table, and for `relay` of a table that is none, and
        DjlinkError where the views of a link do not say what was requested.
        """
        of = self.masters[place]
        vendor = self.session.identity.version.vendor
        for words, hint in () if where is None else where_problems(where, of, vendor):
            raise UsageError(words.replace("`where`", "the restriction"), hint=hint)
        near = below(place, self.ties)
        along = [t for t in self.ties if t.parent in near and t.child in near]
        where = where and _fitted(where, of)
        with key_sets(self.session, place[0], self.masters) as sets:
            self._choose(sets, place, where, requested=requested, relay=relay)
            if dependents:
                sets.spread(along)
            yield Gathered(self, sets, place, along)

    def _choose(
        self, sets: KeySets, place: TableName, where: Condition | None, *, requested: bool, relay: bool
    ) -> None:
        of, all_ = self.masters[place], sets.of(place)
        if not requested and not relay:
            all_.add_new(statements.chosen(of, where))
            return
        wanted, meant = sets.of(place, "asked"), sets.of(place, "meant")
        if relay:
            wanted.add_new(statements.relayed(of, self._relayed(place)))
        for link in self.links.get(place, ()) if requested else ():
            try:
                statements.add_requested(link, of, wanted)
            except ServerError as error:
                raise unknown_rows(self, link, "whose deletion was requested", error) from error
        meant.add_new(statements.chosen(of, where))
        all_.add_new(statements.in_both(wanted, meant))

    def _relayed(self, place: TableName) -> TableName:
        """The table of the requests of a local table's source."""
        found = self.relayed.get(place)
        if found is None:
            known = sorted(self.words(each) for each in self.relayed if self.links.get(each))
            raise UsageError(
                f"{self.words(place)} is not a local table of djlink, so no source requests rows of it",
                hint=f"--relay is for {', '.join(known)}" if known else "select rows without --relay",
                server=self.session.name,
            )
        return found


@contextmanager
def open_desk(address: ServerAddress) -> Iterator[Desk]:
    """A desk at a server, with the owner's account. Raises Unreachable."""
    session = open_session(address, Writer)
    try:
        yield Desk(session)
    finally:
        with suppress(ServerError):
            session.close()


def _fitted(where: Condition, of: TableDefinition) -> Condition:
    """The condition with digits as numbers in number columns: a long number as text compares inexactly."""
    match where:
        case AllOf(terms=terms):
            return AllOf(tuple(_fitted(term, of) for term in terms))
        case Equals(column=name, values=values) if of.column(name).is_number:
            numbers = (int(v) if isinstance(v, str) and _WHOLE.fullmatch(v) else v for v in values)
            return Equals(name, tuple(numbers))
    return where
