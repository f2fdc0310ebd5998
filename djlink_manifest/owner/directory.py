"""The directory of an owner: the tables that the account sees, and the links that hold rows of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from djlink_manifest.errors import ServerError, UsageError
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.dependents import entities, ties
from djlink_manifest.model.links.holding import LinkHolding, OwnedLink, Unreadable
from djlink_manifest.model.server.catalog import Catalog, TableName
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.derive import is_requested_part, requested_part_name
from djlink_manifest.model.tables.naming import MARKS, class_name
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.owner import statements, views
from djlink_manifest.servers.owner.key_sets import KeySet
from djlink_manifest.servers.session.session import Writer

_WHOLE = re.compile(r"[+-]?[0-9]+")
SYSTEM = frozenset({"information_schema", "mysql", "performance_schema", "sys"})


class Directory:
    """What an owner's account sees of its server.

    `masters` are the tables with their parts, `links` all links on them, `unreadable` the schemas and links
    that tell nothing now. `relayed` are the parts that show what the source of a local table requests, by
    that table.
    """

    def __init__(self, session: Writer) -> None:
        self.session = session
        found, dumb = list[OwnedLink](), list[Unreadable]()
        schemas = views.owner_schemas(session)
        for schema in schemas:
            links = views.read_links(session, schema)
            if isinstance(links, Unreadable):
                dumb.append(links)
            else:
                found += links
        everything = views.all_schemas(session) - SYSTEM
        catalog = read_catalog(session, everything - {link.outbound for link in found})
        # a schema with djlink's marks holds its own tables, outbound or local: none of a source, unless
        # another lab links the local tables
        marked = {schema for schema, name in catalog.tables if name == MARKS}
        marked -= {link.source[0] for link in found}
        self.masters: Mapping[TableName, TableDefinition] = entities(
            catalog, everything - marked - set(schemas)
        )
        self.ties = ties(self.masters)
        self.relayed = dict(_relayed(self.masters, catalog))
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
            raise UsageError(f"{words}: several tables have this name", hint=f"name one of {places}")
        known = sorted({n for place in self.masters for n in (self.words(place), class_name(place[1]))})
        close = nearest(words, known)
        raise UsageError(
            f"{words}: the account can see no such base table",
            hint=f"did you mean `{close}`?"
            if close
            else "write schema.Table; parts are included with their master",
            server=self.session.name,
        )

    def words(self, place: TableName) -> str:
        """A table as people name it: `ephys.Recording`."""
        schema, name = place
        twice = sum(1 for s, n in self.masters if s == schema and class_name(n) == class_name(name)) > 1
        return f"{schema}.{name if twice else class_name(name)}"

    def holdings(self, place: TableName, members: KeySet | None) -> tuple[LinkHolding, ...]:
        """What each link has of the members, or of all.

        One that tells nothing is noted as unreadable and is no link any more.
        """
        found = list[LinkHolding]()
        for link in tuple(self.links.get(place, ())):
            try:
                found.append(statements.holdings(self.session, link, self.masters[place], members))
            except ServerError as error:
                dumb = views.unreadable(self.session, f"{link.schema} ({link.base})", error)
                self.unreadable.append(dumb)
                self.links[place].remove(link)
        return tuple(found)


def _relayed(
    masters: Mapping[TableName, TableDefinition], catalog: Catalog
) -> Iterator[tuple[TableName, TableName]]:
    for (schema, name), master in masters.items():
        part = catalog.tables.get((schema, requested_part_name(name)))
        if part is not None and is_requested_part(part, master):
            yield (schema, name), (part.schema, part.name)
