"""Sets of entities of a source, for its owner: temporary tables of keys in one of the owner's own schemas.

They are the session's, and go with it. A statement may name each of them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from djlink_manifest.errors import MissingPrivilege
from djlink_manifest.model.links.dependents import Tie
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.server.rights import grant
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.servers.keys.temporary_table import EntityKeys
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, columns, equal, idents, sql, table


class KeySet(EntityKeys):
    """A set of primary keys of one table; `count` of them."""

    def __init__(self, session: Session, of: TableDefinition, schema: str, label: str) -> None:
        super().__init__(session, of, schema, label)
        self.of = of
        self.count = 0

    def add_new(self, select: Sql) -> int:
        """Add the keys that a SELECT gives; how many are new."""
        # of one type with the table's key, so that nothing but a key twice can be ignored
        new = self.session.temporary.insert(self.name, self.of.key, select, ignore=True)
        self.count += new
        return new


class KeySets:
    """Sets by table, made when they are first asked for; all of them are dropped at the end."""

    def __init__(self, session: Session, schema: str, masters: Mapping[TableName, TableDefinition]) -> None:
        self._session = session
        self._schema = schema
        self._masters = masters
        self._made: dict[tuple[str, TableName], KeySet] = {}
        self._stack = ExitStack()

    def of(self, place: TableName, purpose: str = "all") -> KeySet:
        """The table's set for a purpose."""
        found = self._made.get((purpose, place))
        if found is None:
            label = f"{purpose}_{len(self._made)}"
            found = KeySet(self._session, self._masters[place], self._schema, label)
            try:
                self._stack.enter_context(found)
            except MissingPrivilege as error:
                rights = grant(("CREATE TEMPORARY TABLES",), self._schema, self._session.identity)
                raise MissingPrivilege(
                    f"the account cannot create temporary tables in `{self._schema}`, which are needed for "
                    "sets of rows",
                    code=error.code,
                    server=self._session.name,
                    hint=rights,
                ) from error
            self._made[purpose, place] = found
        return found

    def filled(self, purpose: str = "all") -> list[TableName]:
        """The tables whose set for the purpose has keys."""
        return [place for (why, place), each in self._made.items() if why == purpose and each.count]

    def close(self) -> None:
        """Drop all sets."""
        self._stack.close()

    def spread(self, along: Sequence[Tie], purpose: str = "all") -> None:
        """Add all entities that hang on those in the sets, near and far."""
        new = set(self.filled(purpose))
        while new:
            grown = set[TableName]()
            for tie in along:
                if tie.parent in new and self._down(tie, purpose):
                    grown.add(tie.child)
            new = grown

    def climb(self, along: Sequence[Tie], purpose: str) -> None:
        """Add all entities on which those in the sets hang, near and far."""
        new = set(self.filled(purpose))
        while new:
            grown = set[TableName]()
            for tie in along:
                if tie.child in new and self._up(tie, purpose):
                    grown.add(tie.parent)
            new = grown

    def _down(self, tie: Tie, purpose: str) -> int:
        members = self.of(tie.parent, purpose)
        direct = tie.direct
        if direct is not None:
            joined = sql("JOIN {} k ON {}", members.name, equal("k", members.of.key, "c", direct))
        else:
            joined = sql("{} JOIN {} k ON {}", _named(tie), members.name, _of_named(tie, members))
        select = sql("SELECT DISTINCT {} FROM {} c {}", columns("c", tie.own), _table(tie.table), joined)
        return self._add(tie.child, tie.parent, purpose, select)

    def _up(self, tie: Tie, purpose: str) -> int:
        members = self.of(tie.child, purpose)
        joined = sql("JOIN {} k ON {}", members.name, equal("k", members.of.key, "c", tie.own))
        # by the named row also where the child has the parent's key: a NULL names nothing
        select = sql(
            "SELECT DISTINCT {} FROM {} c {} {}",
            columns("q", tie.parent_own),
            _table(tie.table),
            joined,
            _named(tie),
        )
        return self._add(tie.parent, tie.child, purpose, select)

    def _add(self, to: TableName, source: TableName, purpose: str, select: Sql) -> int:
        if to != source:
            return self.of(to, purpose).add_new(select)
        # a statement cannot read the set that it fills
        fresh = self.of(to, "step")
        fresh.add_new(select)
        return self.of(to, purpose).add_new(sql("SELECT {} FROM {}", idents(fresh.of.key), fresh.name))


@contextmanager
def key_sets(
    session: Session, schema: str, masters: Mapping[TableName, TableDefinition]
) -> Iterator[KeySets]:
    """Sets in this schema for the time of the block; after an error the session is to be closed."""
    sets = KeySets(session, schema, masters)
    yield sets
    sets.close()


def _table(of: TableDefinition) -> Sql:
    return table(of.schema, of.name)


def _named(tie: Tie) -> Sql:
    return sql("JOIN {} q ON {}", _table(tie.named), equal("q", tie.key.parent_columns, "c", tie.key.columns))


def _of_named(tie: Tie, members: KeySet) -> Sql:
    return equal("k", members.of.key, "q", tie.parent_own)
