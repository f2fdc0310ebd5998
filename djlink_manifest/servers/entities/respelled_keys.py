"""Count rows that refer to a key which is spelled otherwise, where the local collation tells the two apart.

A source whose collation ignores case lets 'CLEO' refer to 'cleo'; a foreign key of local tables would not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition
from djlink_manifest.servers.entities.merged_values import as_local, concerned
from djlink_manifest.servers.entities.set_terms import SourceLinks
from djlink_manifest.servers.keys.predicates import ROWS_AT_ONCE, in_pieces
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.checked_values import an_optional_flag
from djlink_manifest.servers.session.session import RawRow, Session, first_values
from djlink_manifest.servers.sql import Sql, and_, column, equal, joined, or_, sql, table


@dataclass(frozen=True, slots=True)
class _TextKey:
    """A foreign key that the local table has, over text, as the source has it."""

    source_table: TableDefinition
    local_table: TableDefinition
    key: ForeignKey
    pairs: tuple[tuple[Column, str], ...]  # the child's text columns with the parent's


def count_respelled(
    source: Session, local: Session, source_links: SourceLinks, link: Link
) -> list[tuple[str, int]]:
    """By local table, how many rows of wanted or held entities refer so."""
    found = []
    for each in _text_keys(link):
        count = sum(_unequal(local, each, _respelled(source, source_links, link, each)))
        if count:
            found.append((f"{each.local_table.schema}.{each.local_table.name}", count))
    return found


def _text_keys(link: Link) -> Iterator[_TextKey]:
    for source_table, local_table in link.tables:
        kept = {frozenset(zip(k.columns, k.parent_columns, strict=True)) for k in local_table.foreign_keys}
        for key in source_table.foreign_keys:
            pairs = frozenset(zip(key.columns, key.parent_columns, strict=True))
            texts = [(source_table.column(a), b) for a, b in sorted(pairs) if source_table.column(a).is_text]
            if texts and pairs in kept:
                yield _TextKey(source_table, local_table, key, tuple(texts))


def _respelled(source: Session, source_links: SourceLinks, link: Link, of: _TextKey) -> Iterator[RawRow]:
    """The texts of a row and of the row that it refers to, in turns, where they are not the same bytes."""
    child = table(of.source_table.schema, of.source_table.name)
    parent = table(of.key.parent_schema, of.key.parent_table)
    owner = link.definition.entity_columns(of.source_table)
    differ = [
        sql("CAST({} AS BINARY) <> CAST({} AS BINARY)", column("t", a.name), column("p", b))
        for a, b in of.pairs
    ]
    return source.stream(
        sql(
            "SELECT {}, {} FROM {} t JOIN {} p ON {} WHERE {}",
            reading([a for a, _ in of.pairs], "t"),
            joined(", ", [column("p", b) for _, b in of.pairs]),
            child,
            parent,
            equal("t", of.key.columns, "p", of.key.parent_columns),
            and_([concerned(source, source_links, link, owner), or_(differ)]),
        )
    )


def _unequal(local: Session, of: _TextKey, rows: Iterator[RawRow]) -> Iterator[int]:
    """Of some rows at a time, how many the local server does not take for equal."""
    columns = [of.local_table.column(a.name) for a, _ in of.pairs]
    while page := list(islice(rows, ROWS_AT_ONCE)):
        for some in in_pieces(local, page):
            selects = [sql("SELECT {}", _are_equal(columns, row)) for row in some]
            answers: Sequence[object] = first_values(
                local.rows(joined(" UNION ALL ", selects), an_optional_flag)
            )
            yield sum(not answer for answer in answers)


def _are_equal(columns: Sequence[Column], row: RawRow) -> Sql:
    child, parent = row[: len(columns)], row[len(columns) :]
    return and_(
        [
            sql("{} = {}", *(as_local(of, sql("{}", (value or b"").decode())) for value in pair))
            for of, pair in zip(columns, zip(child, parent, strict=True), strict=True)
        ]
    )
