"""SQL text with bound values, composed without string formatting of values.

`sql("… {} …", part, …)` puts `Sql` parts in as they are and binds every other value. A bound value's place is
held by a NUL, which no identifier and no checked condition can contain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from djlink_manifest.errors import ServerError

_ARG = "\0"
_ESCAPED = re.compile(r"\\(.)|''", re.DOTALL)
_MEANT = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "b": "\b"}
_WORD = re.compile(r"[A-Za-z0-9_]+")

Bindable: TypeAlias = str | int | float | bool | bytes | datetime | None


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL: `text` with one NUL per value of `args`."""

    text: str
    args: tuple[Bindable, ...] = ()

    def formatted(self) -> tuple[str, tuple[Bindable, ...]]:
        """The statement as the driver takes it: a format with one `%s` per value, and the values."""
        pieces = self.text.split(_ARG)
        if len(pieces) != len(self.args) + 1:
            raise ValueError("a NUL in SQL text: it stands for bound values only")
        return "%s".join(piece.replace("%", "%%") for piece in pieces), self.args


def sql(template: str, *parts: Sql | Bindable) -> Sql:
    """The template with each `{}` replaced by a part: Sql goes in as it is, all else is bound."""
    pieces = template.split("{}")
    if len(pieces) != len(parts) + 1:
        raise ValueError(f"{len(pieces) - 1} places for {len(parts)} parts: {template}")
    text, args = [pieces[0]], list[Bindable]()
    for part, piece in zip(parts, pieces[1:], strict=True):
        if isinstance(part, Sql):
            text.append(part.text)
            args.extend(part.args)
        else:
            text.append(_ARG)
            args.append(part)
        text.append(piece)
    return Sql("".join(text), tuple(args))


def ident(name: str) -> Sql:
    """A quoted identifier. MySQL and MariaDB quote alike: backticks, doubled inside."""
    if _ARG in name:
        raise ValueError("a NUL in an identifier")
    return Sql("`" + name.replace("`", "``") + "`")


def word(name: str) -> Sql:
    """The name of a character set or collation, which is not quoted. ServerError for what is no such name."""
    if not _WORD.fullmatch(name):
        raise ServerError(f"not a character set or collation: {name!r}")
    return Sql(name)


def unescaped(inner: str) -> str:
    """What stands between the quotes of a string literal, as the value that it means."""
    return _ESCAPED.sub(lambda m: _MEANT.get(m[1], m[1]) if m[1] else "'", inner)


def table(schema: str, name: str) -> Sql:
    """A table with its schema."""
    return sql("{}.{}", ident(schema), ident(name))


def column(alias: str, name: str) -> Sql:
    """A column of an aliased table; the alias is ours and needs no quotes."""
    return sql("{}.{}", Sql(alias), ident(name))


def columns(alias: str, names: Iterable[str]) -> Sql:
    """Columns of an aliased table, separated by commas."""
    return comma([column(alias, name) for name in names])


def idents(names: Iterable[str]) -> Sql:
    """Quoted identifiers, separated by commas."""
    return comma([ident(name) for name in names])


def joined(separator: str, parts: Sequence[Sql]) -> Sql:
    """The parts with the separator between them."""
    return Sql(separator.join(p.text for p in parts), tuple(a for p in parts for a in p.args))


def comma(parts: Sequence[Sql]) -> Sql:
    """The parts, separated by commas."""
    return joined(", ", parts)


def and_(parts: Sequence[Sql]) -> Sql:
    """All of the conditions; TRUE where there are none."""
    return joined(" AND ", parts) if parts else Sql("TRUE")


def or_(parts: Sequence[Sql]) -> Sql:
    """Any of the conditions, in parentheses; FALSE where there are none."""
    return sql("({})", joined(" OR ", parts)) if parts else Sql("FALSE")


def equal(left: str, left_names: Sequence[str], right: str, right_names: Sequence[str]) -> Sql:
    """The columns of two aliased tables are equal, pair by pair."""
    pairs = zip(left_names, right_names, strict=True)
    return and_([sql("{} = {}", column(left, a), column(right, b)) for a, b in pairs])


def exists_in(members: Sql, key: Sequence[str], alias: str, names: Sequence[str]) -> Sql:
    """The named columns of an aliased table are among the `key` columns of `members`, a table or a set."""
    return sql("EXISTS (SELECT 1 FROM {} x WHERE {})", members, equal("x", key, alias, names))


def joined_row(left: str, left_names: Sequence[str], right: str, right_names: Sequence[str]) -> Sql:
    """The condition that an outer join of two aliased tables on these columns found a row.

    It holds in a select list and in WHERE alike. `IS NULL` of a joined column cannot tell: in WHERE both
    vendors take it for `= 0` where the column is a DATE or DATETIME that is NOT NULL, so that a row with
    '0000-00-00' would count as none.
    """
    return sql("(({} = {}) IS TRUE)", column(left, left_names[0]), column(right, right_names[0]))


def not_exists_in(members: Sql, key: Sequence[str], alias: str, names: Sequence[str]) -> Sql:
    """They are not among them."""
    return sql("NOT {}", exists_in(members, key, alias, names))
