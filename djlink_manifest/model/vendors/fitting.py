"""A source's definition as another server can hold it: what its vendor lacks is mapped, said, or refused.

Nothing that tells values or keys apart is given up: a collation that the target lacks becomes one that merges
nothing. On the same vendor collations can be missing, and what an older version has not yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from djlink_manifest.model.server.catalog import Catalog, Version
from djlink_manifest.model.tables.definition import (
    PAST_TIMESTAMP,
    TEXTS_AND_BLOBS,
    Check,
    Column,
    Index,
    TableDefinition,
)
from djlink_manifest.model.vendors.collations import bytewise, holds_characters, known, safe
from djlink_manifest.model.vendors.versions import calls_newer, ends_in_2038, has_type
from djlink_manifest.model.vendors.wellformed import is_contained, is_type, unknown_words
from djlink_manifest.model.vendors.widths import longer, too_wide

_VENDOR_ONLY = {
    "mysql": {"vector"},
    "mariadb": {"uuid", "inet4", "inet6", "vector", "xmltype"},
}
_RENAMED = {
    "mysql": {"geometrycollection": "geomcollection"},
    "mariadb": {"geomcollection": "geometrycollection"},
}
_COMPRESSED = " COMPRESSED"
_MOST_DECIMALS = {"mysql": 30, "mariadb": 38}
_MOST_KEY_COLUMNS = {"mysql": 16, "mariadb": 32}
_DECIMAL = re.compile(r"decimal\(\d+,(\d+)\)")
_CALLED = re.compile(r"([a-z_][a-z0-9_]*)\s*\(", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)
# time_zone, default_week_format or lc_time_names decide what these give
_OF_SESSION = {"week", "dayname", "monthname", "date_format", "from_unixtime", "unix_timestamp"}
# strings and names as wholes, so that what looks like an introducer inside of one stays
_INTRODUCED = re.compile(
    rf"(?:_(?:utf8mb4|utf8mb3|latin1|ascii|binary))?({_QUOTED.pattern}|`[^`]*`)", re.DOTALL
)
# what both vendors call alike in a default
_COMMON = frozenset(
    {"uuid", "user", "current_user", "curdate", "curtime", "now", "current_timestamp", "utc_timestamp"}
    | {"concat", "lower", "upper", "lcase", "ucase", "hex", "unhex", "rand", "floor", "round", "date", "year"}
    | {"coalesce", "unix_timestamp", "json_array", "json_object"}
)
# and in a check, beside these; what is not named here may mean something else there, as REGEXP does
_IN_CHECKS = _COMMON | frozenset(
    {"and", "or", "not", "is", "null", "in", "between", "like", "true", "false", "div", "mod", "abs"}
    | {"length", "char_length", "octet_length", "trim", "ceiling", "month", "day"}
)
_NAMED = re.compile(r"`((?:[^`]|``)+)`")
_WORD = re.compile(r"[a-z_]\w*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A source table with its parts as the target can hold it.

    `notes` say in words what is otherwise there than at the source; `problems` what cannot be held.
    """

    table: TableDefinition
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Fitting:
    """One table and its parts being fitted; what is found on the way."""

    source: Version
    target: Catalog
    chosen: str | None = None
    notes: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def version(self) -> Version:
        return self.target.identity.version

    @property
    def vendor(self) -> str:
        return self.version.vendor

    @property
    def crosses(self) -> bool:
        """Whether the two servers are of different vendors."""
        return self.source.vendor != self.vendor

    def note(self, words: str, where: str) -> None:
        self.notes.setdefault(words, []).append(where)


def fitted(table: TableDefinition, source: Version, target: Catalog, chosen: str | None = None) -> Fitted:
    """The table with its parts for the target; unchanged where the target has all that it needs.

    `chosen` is a collation of the target that all text columns take.
    """
    fitting = _Fitting(source, target, chosen)
    master, *parts = (_table(fitting, each) for each in table.tables)
    notes = tuple(f"{', '.join(dict.fromkeys(where))}: {words}" for words, where in fitting.notes.items())
    return Fitted(replace(master, parts=tuple(parts)), notes, tuple(fitting.problems))


def _table(fitting: _Fitting, table: TableDefinition) -> TableDefinition:
    collation = table.collation
    if collation is not None:
        collation = fitting.chosen or known(fitting.source, fitting.target, collation) or safe(fitting.target)
    made = replace(
        table,
        columns=tuple(_column(fitting, table, c) for c in table.columns),
        indexes=tuple(_indexes(fitting, table)),
        collation=collation,
        parts=(),
    )
    made = replace(made, checks=tuple(_checks(fitting, table, made)))
    if any(c.charset != made.column(c.name).charset for c in table.columns if c.is_text):
        fitting.problems += [f"as the local `{table.name}`, {words}" for words in too_wide(made)]
    most = _MOST_KEY_COLUMNS[fitting.vendor]
    if len(made.key) > most:
        fitting.problems.append(
            f"`{table.name}` has a key of {len(made.key)} columns; the server allows {most}"
        )
    return made


def _column(fitting: _Fitting, table: TableDefinition, column: Column) -> Column:
    place = f"{table.name}.{column.name}"
    if column.collation is not None:
        column = _collated(fitting, place, column)
    if not is_type(column.type):
        fitting.problems.append(
            f"column `{place}` is of the type {column.type}, which djlink does not support"
        )
    for text in (column.generated, column.default if column.default_is_expression else None):
        if text is not None and not is_contained(text):
            fitting.problems.append(f"column `{place}` has an expression that is not well-formed: {text}")
    if column.generated is not None and (
        fitting.crosses
        or (fitting.chosen is not None and _reads_text(table, column))
        or (column.stored and _of_session(table, column))
        or not _runs(fitting, column.generated)
    ):
        fitting.note("a plain local column with the values that the source computes", place)
        column = replace(column, generated=None, stored=False)
    column = _with_default_in_time(fitting, place, column)
    if not fitting.crosses:
        if not has_type(fitting.version, column.base_type):
            fitting.problems.append(_no_type(place, column))
        return _with_known_default(fitting, place, column)
    if column.srid is not None:
        fitting.note(f"locally, values of any spatial reference system, not only {column.srid}", place)
        column = replace(column, srid=None)
    if column.type.endswith(_COMPRESSED):
        fitting.note("not compressed locally", place)
        column = replace(column, type=column.type.removesuffix(_COMPRESSED))
    base = column.base_type
    if base in _VENDOR_ONLY[fitting.source.vendor]:
        fitting.problems.append(_no_type(place, column))
    decimals = _DECIMAL.match(column.type)
    if decimals and int(decimals[1]) > _MOST_DECIMALS[fitting.vendor]:
        fitting.problems.append(
            f"column `{place}` is of the type {column.type}, which has too many decimals for the server"
        )
    renamed = _RENAMED[fitting.vendor].get(base)
    if renamed:
        column = replace(column, type=renamed)
    if column.default_is_expression and column.default is not None:
        column = _with_default(fitting, place, column)
    if fitting.vendor == "mariadb" and column.invisible and not column.nullable and column.default is None:
        fitting.note("a visible column locally", place)
        column = replace(column, invisible=False)
    return column


def _no_type(place: str, column: Column) -> str:
    return f"column `{place}` is of the type {column.type}, which the server does not have"


def _reads_text(table: TableDefinition, column: Column) -> bool:
    """Whether a generated column reads text, which another collation may compare otherwise."""
    text = _QUOTED.sub("''", column.generated or "")
    read = {name.lower().replace("``", "`") for name in _NAMED.findall(text)}
    return any(c.is_text for c in table.columns if c.name.lower() in read)


def _of_session(table: TableDefinition, column: Column) -> bool:
    """Whether the settings of the session that writes a row may decide a generated column's value.

    A TIMESTAMP is read in its time zone.
    """
    text = _QUOTED.sub("''", column.generated or "")
    read = {name.lower().replace("``", "`") for name in _NAMED.findall(text)} - {column.name.lower()}
    return not _OF_SESSION.isdisjoint(name.lower() for name in _CALLED.findall(text)) or any(
        c.base_type == "timestamp" or (c.generated is not None and _of_session(table, c))
        for c in table.columns
        if c.name.lower() in read
    )


def _collated(fitting: _Fitting, place: str, column: Column) -> Column:
    assert column.collation is not None, "asked of text alone"
    if fitting.chosen is not None:
        charset = fitting.target.collations[fitting.chosen]
        if not holds_characters(column.charset or charset, charset):
            fitting.problems.append(
                f"column `{place}` has the character set {column.charset}, and `collation: {fitting.chosen}` "
                f"has {charset}, which lacks characters of it"
            )
        type_ = longer(column.type, column.charset or charset, charset)
        return replace(column, type=type_, collation=fitting.chosen, charset=charset)
    found = known(fitting.source, fitting.target, column.collation)
    if found is None:
        found = bytewise(fitting.source, fitting.target, column) or safe(fitting.target)
        lacks = (
            "whose name means another collation on the local server"
            if column.collation in fitting.target.collations
            else "which the local server does not have"
        )
        fitting.note(
            f"{found} locally for {column.collation}, {lacks}; all values stay distinct, and comparisons are "
            "sensitive to case and accents",
            place,
        )
    charset = fitting.target.collations[found]
    type_ = longer(column.type, column.charset or charset, charset)
    if type_ != column.type:
        fitting.note(f"{type_} locally, so that every {column.type} value fits in {charset}", place)
    return replace(column, type=type_, collation=found, charset=charset)


def _with_default_in_time(fitting: _Fitting, place: str, column: Column) -> Column:
    """The column without the default of a TIMESTAMP that lies beyond the server's."""
    late = column.base_type == "timestamp" and not column.default_is_expression
    if (
        not late
        or (column.default or "") < PAST_TIMESTAMP
        or not ends_in_2038(fitting.target.identity.version)
    ):
        return column
    fitting.note(f"without the source's default {column.default}", place)
    return replace(column, default=None)


def _with_default(fitting: _Fitting, place: str, column: Column) -> Column:
    """The column with a default that the other vendor reads alike, or without one."""
    text = _INTRODUCED.sub(r"\1", column.default or "")
    called = {name.lower() for name in _CALLED.findall(_QUOTED.sub("''", text))}
    if called <= _COMMON and _known_words(text):
        return replace(column, default=text)
    fitting.note(f"without the source's default {column.default}", place)
    return replace(column, default=None, default_is_expression=False)


def _with_known_default(fitting: _Fitting, place: str, column: Column) -> Column:
    """The column without a default that calls what djlink does not know to be harmless here."""
    if not column.default_is_expression or column.default is None or _runs(fitting, column.default):
        return column
    fitting.note(f"without the source's default {column.default}", place)
    return replace(column, default=None, default_is_expression=False)


def _runs(fitting: _Fitting, expression: str) -> bool:
    """Whether the target, of the source's vendor, has all that the expression calls."""
    return _known_words(expression) and not calls_newer(fitting.version, expression)


def _known_words(expression: str) -> bool:
    """Whether the expression may run on the local server. What is not well-formed is refused elsewhere."""
    return not is_contained(expression) or not unknown_words(expression)


def _indexes(fitting: _Fitting, table: TableDefinition) -> Iterator[Index]:
    whole_texts = {c.name for c in table.columns if c.base_type in TEXTS_AND_BLOBS}
    documents = {c.name for c in table.columns if c.base_type == "json"}
    for index in table.indexes:
        place = f"{table.name}.{index.name}"
        unlimited = {p.column for p in index.parts if p.length is None} & whole_texts
        if fitting.vendor == "mariadb" and any(part.column is None for part in index.parts):
            fitting.note("an index on an expression, which MariaDB does not support: omitted", place)
        elif not all(_may_index(fitting, part.expression) for part in index.parts):
            fitting.note("an index on an expression that djlink does not support: omitted", place)
        elif fitting.vendor == "mysql" and documents & {p.column for p in index.parts}:
            fitting.note("an index on JSON, which MySQL does not support: omitted", place)
        elif fitting.vendor == "mysql" and unlimited and index.kind != "FULLTEXT":
            fitting.note("an index on whole text columns, which MySQL does not support: omitted", place)
        elif fitting.vendor == "mysql" and index.kind == "HASH":
            fitting.note("a unique hash index, longer than MySQL allows: omitted", place)
        elif len(index.parts) > _MOST_KEY_COLUMNS[fitting.vendor]:
            fitting.note("an index on more columns than MySQL allows: omitted", place)
        else:
            yield index


def _may_index(fitting: _Fitting, expression: str | None) -> bool:
    return expression is None or (is_contained(expression) and _runs(fitting, expression))


def _checks(fitting: _Fitting, table: TableDefinition, made: TableDefinition) -> Iterator[Check]:
    """Those that let the same rows pass there: where a collation was mapped, text may compare otherwise."""
    unfit = {c.name.lower() for c in table.columns if c.collation != made.column(c.name).collation}
    for check in table.checks:
        text = _INTRODUCED.sub(r"\1", check.expression) if fitting.crosses else check.expression
        bare = _QUOTED.sub("''", text)
        words = {word.lower() for word in _WORD.findall(_NAMED.sub("", bare))}
        alike = not fitting.crosses or (check.enforced and words <= _IN_CHECKS)
        named = {name.replace("``", "`").lower() for name in _NAMED.findall(bare)}
        newer = calls_newer(fitting.version, text)
        if alike and is_contained(text) and not unknown_words(text) and not newer and not unfit & named:
            yield replace(check, expression=text)
        else:
            fitting.note(f"without the source's check ({check.expression})", f"{table.name}.{check.name}")
