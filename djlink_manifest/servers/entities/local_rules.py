"""Find the entities to be pulled that the local server would refuse by a rule of its own tables.

A rule is tried where it holds, on the local server: of the entities that would be pulled, the columns that
it is about travel there, and the keys of those that break it travel back; but the bounds of its TIMESTAMP are
tried at the source (`late`). No text of one server ever runs on
the other, and collations are those by which the local server will decide. What travels is at most what the
pull of these entities would send. It is streamed into a temporary table, so memory holds one statement of it.
Most links have no such rule, and then nothing is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from djlink_manifest.errors import ServerError
from djlink_manifest.model.links.local_rules import LastTimestamp, Leftover, LocalRule
from djlink_manifest.model.tables.definition import PAST_TIMESTAMP, Check, Column, ForeignKey, TableDefinition
from djlink_manifest.servers.ddl.tables import column_list
from djlink_manifest.servers.keys.key_table import SEQ
from djlink_manifest.servers.keys.temporary_table import TemporaryTable
from djlink_manifest.servers.query.rows import reading
from djlink_manifest.servers.session.error_words import DENIED
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import (
    Sql,
    and_,
    column,
    columns,
    equal,
    idents,
    not_exists_in,
    or_,
    sql,
    table,
)


def breaking(rule: LocalRule, source: Session, tests: Sequence[Sql], local: Session) -> Iterator[RawRow]:
    """The keys, raw, of the entities whose rows break a rule, of those whose source rows `t` meet `tests`.

    None where the local account may not look at the parent: then the server's refusal tells.
    """
    if isinstance(rule.of, LastTimestamp):
        yield from source.stream(late(rule, tests, reading(_owners(rule), "t")))
        return
    with _tried(rule, source, tests, local) as name, _offenders(rule, name, local) as select:
        try:
            yield from local.stream(select)
        except ServerError as error:
            if error.code not in DENIED:
                raise


def late(rule: LocalRule, tests: Sequence[Sql], what: Sql) -> Sql:
    """The SELECT at the source of the entities with a TIMESTAMP past the local server's, each once.

    Of those whose rows `t` meet `tests`; `what` is the select list.
    """
    past = or_([sql("{} >= {}", column("t", name), PAST_TIMESTAMP) for name in rule.columns])
    of = table(rule.source_table.schema, rule.source_table.name)
    return sql("SELECT DISTINCT {} FROM {} t WHERE {}", what, of, and_([*tests, past]))


def _owners(rule: LocalRule) -> list[Column]:
    return [rule.source_table.column(name) for name in rule.owner]


def left_behind(
    of: Leftover, part: TableDefinition, local: Session, most: int | None = None
) -> Iterator[RawRow]:
    """The keys, raw, of entities of which a local part has rows and the master table none; at most `most`."""
    own_columns, master = of.master.entity_columns(part), table(of.master.schema, of.master.name)
    lacks = not_exists_in(master, of.master.key, "p", own_columns)
    limit = Sql(f" LIMIT {most}" if most is not None else "")
    return local.stream(
        sql(
            "SELECT DISTINCT {} FROM {} p WHERE {}{}",
            reading([part.column(n) for n in own_columns], "p"),
            table(part.schema, part.name),
            lacks,
            limit,
        )
    )


@contextmanager
def _tried(rule: LocalRule, source: Session, tests: Sequence[Sql], local: Session) -> Iterator[Sql]:
    """A temporary table on the local server with the columns that the rule is about."""
    names = tuple(dict.fromkeys((*rule.owner, *rule.columns)))
    source_columns, local_columns = (
        [of.column(n) for n in names] for of in (rule.source_table, rule.local_table)
    )
    number = f"`{SEQ}` bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY"
    place = (rule.local_table.schema, "~djlink_tried")
    with TemporaryTable(local, place, local_columns, f"{number}, {column_list(local_columns)}") as tried:
        select = sql(
            "SELECT {} FROM {} t WHERE {} ORDER BY {}",
            reading(source_columns, "t"),
            table(rule.source_table.schema, rule.source_table.name),
            and_(tests),
            columns("t", rule.source_table.key),
        )
        tried.add(source.stream(select))
        yield tried.name


@contextmanager
def _offenders(rule: LocalRule, tried: Sql, local: Session) -> Iterator[Sql]:
    """The SELECT of the keys of the entities that break the rule, each once."""
    what = reading([rule.local_table.column(n) for n in rule.owner], "x")
    named = [sql("{} IS NOT NULL", column("x", n)) for n in rule.columns]
    match rule.of:
        case ForeignKey() as key:
            parent = table(key.parent_schema, key.parent_table)
            match_ = equal("p", key.parent_columns, "x", key.columns)
            lacks = sql("NOT EXISTS (SELECT 1 FROM {} p WHERE {})", parent, match_)
            yield sql("SELECT DISTINCT {} FROM {} x WHERE {}", what, tried, and_([*named, lacks]))
        case Check(expression=text):
            # the local server's own text, with its own names, on its own values
            yield sql("SELECT DISTINCT {} FROM {} x WHERE ({}) IS FALSE", what, tried, Sql(text))
        case _:
            with _first(rule, tried, local) as first:
                met = sql(
                    "EXISTS (SELECT 1 FROM {} t WHERE {} AND NOT ({}))",
                    table(rule.local_table.schema, rule.local_table.name),
                    equal("t", rule.columns, "x", rule.columns),
                    equal("t", rule.owner, "x", rule.owner),
                )
                same = equal("f", rule.columns, "x", rule.columns)
                later = sql("EXISTS (SELECT 1 FROM {} f WHERE {} AND f.`~seq` < x.`~seq`)", first, same)
                tests = and_([*named, sql("({} OR {})", met, later)])
                yield sql("SELECT DISTINCT {} FROM {} x WHERE {}", what, tried, tests)


@contextmanager
def _first(rule: LocalRule, tried: Sql, local: Session) -> Iterator[Sql]:
    """A temporary table of the values that several of the tried rows have, with the first that has each."""
    local_columns, keys = [rule.local_table.column(n) for n in rule.columns], idents(rule.columns)
    body = f"`{SEQ}` bigint unsigned NOT NULL, {column_list(local_columns)}, KEY ({keys.text})"
    columns_ = (Column(SEQ, "bigint unsigned"), *local_columns)
    with TemporaryTable(local, (rule.local_table.schema, "~djlink_first"), columns_, body) as first:
        first.add_from(
            sql(
                "SELECT MIN({}), {} FROM {} x WHERE {} GROUP BY {} HAVING COUNT(*) > 1",
                idents([SEQ]),
                columns("x", rule.columns),
                tried,
                and_([sql("{} IS NOT NULL", column("x", n)) for n in rule.columns]),
                columns("x", rule.columns),
            )
        )
        yield first.name
