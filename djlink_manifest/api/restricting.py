"""DataJoint's restrictions as a condition on the source: what `source & restriction` shows is what is pulled.

DataJoint itself writes the condition, over the source table on the source's own connection. What it cannot
write across servers, an expression on another connection, becomes the keys that the expression holds.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.conditions.check import check
from djlink_manifest.manifest.conditions.tokens import Refused
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.selection import AnyOf, Condition, SqlCondition

MOST_KEYS = 10_000


def condition_of(source: Any, restrictions: Sequence[Any]) -> Condition | None:
    """The condition that all restrictions make together on a source table; None where they restrict nothing.

    `source` is the table on the source's connection. Raises UsageError for what is no restriction of it.
    """
    import datajoint as dj

    expression = source
    for each in restrictions:
        restriction = _prepared(source, each)
        try:
            expression = expression & restriction
        except dj.DataJointError as error:
            raise UsageError(f"invalid restriction of {source.class_name}: {error}") from error
    if expression is source or not (expression.restriction or expression._top):
        return None
    _tried(source, expression)
    whole = expression._top is None and expression.support == source.support
    text = expression.where_clause().removeprefix(" WHERE ") if whole else _key_condition(source, expression)
    if text == "(False)":
        return AnyOf(())
    if "\0" in text:
        raise UsageError("a restriction contains a NUL character", hint="restrict by the key instead")
    return SqlCondition(
        text.replace("%%", "%"), composed=True
    )  # DataJoint doubles it for the driver's format


def _prepared(source: Any, restriction: Any) -> Any:
    """The restriction with keys for expressions on other connections; what would be misread is refused."""
    import datajoint as dj
    from datajoint.condition import Not
    from datajoint.expression import QueryExpression

    if inspect.isclass(restriction) and issubclass(restriction, QueryExpression):
        restriction = restriction()
    match restriction:
        case str():
            return _checked(restriction)
        case QueryExpression():
            return restriction if restriction.connection is source.connection else _keys(source, restriction)
        case Not():
            return Not(_prepared(source, restriction.restriction))
        case dj.AndList():
            return dj.AndList(_prepared(source, each) for each in restriction)
        case Mapping():
            _check_names(source, [str(name).split(".", 1)[0] for name in restriction])
            return restriction
        case list() | tuple() | set() | frozenset():
            return [_prepared(source, each) for each in restriction]
    fields = getattr(getattr(restriction, "dtype", None), "names", None)  # of a numpy record or array of them
    names = fields if fields is not None else getattr(restriction, "columns", ())  # of a pandas frame
    _check_names(source, [str(name) for name in names])
    return restriction


def _checked(text: str) -> str:
    """SQL text, held to the rules of `where` in a manifest: one condition over the table's own columns."""
    try:
        check(text)
    except Refused as refused:
        raise UsageError(
            f"the restriction {text!r} is refused: {refused.message}",
            hint="SQL text must be one condition on the source's own columns; to restrict by another "
            "table, pass the table: Other().source & ...",
        ) from None
    return text


def _check_names(source: Any, names: Sequence[str]) -> None:
    """DataJoint takes a mapping that names none of the attributes for no restriction at all."""
    if not names or set(names) & set(source.heading.names):
        return
    close = nearest(names[0], source.heading.names)
    raise UsageError(
        f"the restriction uses {', '.join(f'`{name}`' for name in names)}, but {source.class_name} has no "
        "such attribute",
        hint=f"did you mean `{close}`?" if close else f"it has {', '.join(source.heading.names)}",
    )


def _keys(source: Any, expression: Any) -> list[dict[str, Any]]:
    """The keys of an expression on another server, as far as they are attributes of the source."""
    names = [name for name in expression.primary_key if name in source.heading.names]
    if not names:
        raise UsageError(
            f"the restriction has the key {', '.join(expression.primary_key)}, but {source.class_name} has "
            "none of these attributes"
        )
    found = expression.proj() & _top(MOST_KEYS + 1)
    keys = {tuple(row[name] for name in names) for row in found.to_dicts()}
    if len(found) > MOST_KEYS:
        raise UsageError(
            f"the restriction contains more than {MOST_KEYS:,} keys of another server",
            hint="restrict by a table of the source instead: Other().source & ...",
        )
    return [dict(zip(names, key, strict=True)) for key in sorted(keys, key=repr)]


def _top(limit: int) -> Any:
    import datajoint as dj

    return dj.Top(limit)


def _tried(source: Any, expression: Any) -> None:
    """Let the source's server judge the expression; no row is read."""
    import datajoint as dj

    try:
        source.connection.query(f"SELECT 1 FROM ({expression.make_sql(source.primary_key)}) AS `t` LIMIT 0")
    except dj.DataJointError as error:
        raise UsageError(f"the source rejects the restriction: {error}") from error


def _key_condition(source: Any, expression: Any) -> str:
    """That the key is among those of an expression with a limit, in a derived table of its own."""
    keys = ", ".join(f"`{name}`" for name in source.primary_key)
    return f"({keys}) IN (SELECT {keys} FROM ({expression.make_sql(source.primary_key)}) AS `t`)"
