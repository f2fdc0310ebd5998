"""The owner's desk: one session, the tables that the account sees, and the links that hold rows of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

from djlink_manifest.errors import ServerError, UsageError
from djlink_manifest.manifest.models.match import nearest
from djlink_manifest.model.links.dependents import below, children_first, entities, ties
from djlink_manifest.model.links.holding import OwnedLink, Standing, TableStanding, Unreadable
from djlink_manifest.model.links.selection import AllOf, Condition, Equals
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import MARKS, class_name
from djlink_manifest.owner.gathered import Gathered
from djlink_manifest.reconcile.resolve.where import where_problems
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.ddl import detach_script
from djlink_manifest.servers.owner import statements
from djlink_manifest.servers.owner.key_sets import KeySet, KeySets, key_sets
from djlink_manifest.servers.session.session import Writer, open_session

_WHOLE = re.compile(r"[+-]?[0-9]+")
SYSTEM = frozenset({"information_schema", "mysql", "performance_schema", "sys"})


class Desk:
    """What an owner's account sees of its server.

    `masters` are the tables with their parts, `links` all links on them, `unreadable` the schemas and links
    that tell nothing now.
    """

    def __init__(self, session: Writer) -> None:
        self.session = session
        found, dumb = list[OwnedLink](), list[Unreadable]()
        schemas = statements.owner_schemas(session)
        for schema in schemas:
            links = statements.read_links(session, schema)
            if isinstance(links, Unreadable):
                dumb.append(links)
            else:
                found += links
        everything = statements.all_schemas(session) - SYSTEM
        catalog = read_catalog(session, everything - {link.outbound for link in found})
        # a schema with djlink's marks holds its own tables, outbound or local: none of a source
        marked = {schema for schema, name in catalog.tables if name == MARKS}
        self.masters: Mapping[TableName, TableDefinition] = entities(
            catalog, everything - marked - set(schemas)
        )
        self.ties = ties(self.masters)
        self.links: dict[TableName, list[OwnedLink]] = defaultdict(list)
        for link in sorted(found):
            if link.source in self.masters:
                self.links[link.source].append(link)
        self.unreadable = dumb

    def table(self, words: str) -> TableName:
        """The table that a person names: `schema.Table`, or `Table` where no other schema has one.

        Raises UsageError.
        """
        schema, _, name = words.rpartition(".")
        named = [
            place
            for place in self.masters
            if name in (place[1], class_name(place[1])) and schema in ("", place[0])
        ]
        if len(named) == 1:
            return named[0]
        if named:
            places = ", ".join(self.words(place) for place in named)
            raise UsageError(f"{words}: there are several such tables", hint=f"name one of {places}")
        known = sorted({n for place in self.masters for n in (self.words(place), class_name(place[1]))})
        close = nearest(words, known)
        raise UsageError(
            f"{words}: the account sees no such table with rows of its own",
            hint=f"did you mean `{close}`?" if close else "write schema.Table; parts go with their master",
            server=self.session.name,
        )

    def words(self, place: TableName) -> str:
        """A table as people name it: `ephys.Recording`."""
        schema, name = place
        twice = sum(1 for s, n in self.masters if s == schema and class_name(n) == class_name(name)) > 1
        return f"{schema}.{name if twice else class_name(name)}"

    def board(self) -> tuple[TableStanding, ...]:
        """Every linked table with what each link has of it, what hangs on others first."""
        return tuple(
            TableStanding(place, self.words(place), None, self.standings(place, None))
            for place in children_first(self.links.keys(), self.ties)
        )

    def standings(self, place: TableName, members: KeySet | None) -> tuple[Standing, ...]:
        """What each link has of the members, or of all.

        One that tells nothing is noted as unreadable and is no link any more.
        """
        found = list[Standing]()
        for link in tuple(self.links.get(place, ())):
            try:
                found.append(statements.standing(self.session, link, self.masters[place], members))
            except ServerError as error:
                dumb = statements.unreadable(self.session, f"{link.schema} ({link.base})", error)
                self.unreadable.append(dumb)
                self.links[place].remove(link)
        return tuple(found)

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
                f"no link of the manifest `{manifest}` on these tables",
                hint=f"did you mean `{close}`?" if close else f"labs here: {', '.join(known) or 'none'}",
            )
        return detach_script.way_out(chosen, {link: self.masters[link.source] for link in chosen})

    @contextmanager
    def gathered(
        self, place: TableName, where: Condition | None, *, dependents: bool = True, asked: bool = False
    ) -> Iterator[Gathered]:
        """The table's entities that meet a condition, and all that hang on them, for the time of the block.

        `asked`: only those that were requested or approved; of a table that no lab links, none. Raises
        UsageError for a condition that does not fit the table.
        """
        of = self.masters[place]
        for words, hint in () if where is None else where_problems(where, of):
            raise UsageError(words.replace("`where`", "the restriction"), hint=hint)
        near = below(place, self.ties)
        along = [t for t in self.ties if t.parent in near and t.child in near]
        where = where and _fitted(where, of)
        with key_sets(self.session, place[0], self.masters) as sets:
            self._choose(sets, place, where, asked=asked)
            if dependents:
                sets.spread(along)
            yield Gathered(self, sets, place, along)

    def _choose(self, sets: KeySets, place: TableName, where: Condition | None, *, asked: bool) -> None:
        of, all_ = self.masters[place], sets.of(place)
        if not asked:
            all_.add(statements.chosen(of, where))
            return
        wanted, meant = sets.of(place, "asked"), sets.of(place, "meant")
        for link in self.links.get(place, ()):
            statements.add_asked(link, of, wanted)
        meant.add(statements.chosen(of, where))
        all_.add(statements.in_both(wanted, meant))


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
