"""What a change of an option means for rows, in words, and whether it may cost rows or hold them back."""

from __future__ import annotations

from typing import Literal

from djlink_manifest.manifest.models.options import Options
from djlink_manifest.model.links.link import Limit
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, Scalar, SqlCondition

Meaning = tuple[str, bool]
Extent = Literal["narrower", "wider", "other"]

OPTIONS = (
    "pull",
    "where",
    "deletions",
    "unwanted",
    "changed",
    "max_deletions",
    "stores",
    "collation",
    "schema_name",
    "outbound_table",
    "depends_on",
)


def meaning(option: str, before: Options, after: Options) -> Meaning:
    """Return what follows from a change of this option, and whether it is risky."""
    match option:
        case "where":
            return _where(before.where, after)
        case "pull":
            return _pull(before, after)
        case "deletions":
            if after.deletions == "auto":
                most = shown_limit(after.max_deletions)
                words = "deletions that the source requests are carried out without approval"
                return f"{words}, up to {most} in 24 hours", True
            return "deletions that the source requests wait for an approval", False
        case "unwanted":
            if after.unwanted == "release":
                words = (
                    "rows that are pulled and no longer wanted, those kept so far too, are deleted locally "
                    f"and released at the source, up to {shown_limit(after.max_deletions)} in 24 hours"
                )
                return words, True
            return "rows that are pulled and no longer wanted stay, and stay protected at the source", False
        case "changed":
            if after.changed == "mend":
                return "`--verify` replaces local values that differ by those of the source", True
            return "`--verify` reports rows that differ and changes none", False
        case "max_deletions":
            words = (
                f"{shown_limit(after.max_deletions)} of a link may be deleted without approval in 24 hours"
            )
            return words, _is_more(before.max_deletions, after.max_deletions)
        case "stores":
            words = (
                "external objects of rows pulled from now on go to the new stores; those that are here stay"
            )
            return words, False
        case "collation":
            words = (
                "local text columns off the keys are changed in place; keys keep theirs, and a link is "
                "blocked where two keys or values would become one"
            )
            return words, True
        case "schema_name":
            words = (
                "the local tables of a link that exists stay where they are: it is blocked, unless `moved` "
                "says that the local schema has another name"
            )
            return words, True
        case "outbound_table":
            words = "a link that exists is blocked until the former name of its outbound tables is restored"
            return words, True
        case _:
            return "the order of the links changes, and no rows", False


def shown(option: str, options: Options) -> str | None:
    """Return the value of an option as a person reads it; None where it is not set."""
    value = getattr(options, option)
    match option:
        case "where":
            return None if value is None else condition_text(value)
        case "max_deletions":
            return _limit(value)
        case "stores":
            return ", ".join(f"{one}: {other}" for one, other in value) or None
        case "depends_on":
            return ", ".join(value) or None
        case _:
            return None if value is None else str(value)


def shown_limit(limit: Limit) -> str:
    """Return a limit with what it counts: `20 rows`, `5% of the rows`."""
    return f"{_limit(limit)} of the rows" if limit.percent else f"{_limit(limit)} rows"


def condition_text(condition: Condition) -> str:
    """Return a condition as text, the way that SQL would put it."""
    match condition:
        case SqlCondition(text=text):
            return text
        case Equals(column=column, values=(value,)):
            return f"{column} IS NULL" if value is None else f"{column} = {_value(value)}"
        case Equals(column=column, values=values):
            return f"{column} IN ({', '.join(map(_value, values))})"
        case AllOf(terms=terms):
            return " AND ".join(map(_nested, terms))
        case AnyOf(terms=terms):
            return " OR ".join(map(_nested, terms))


def extent(before: Condition | None, after: Condition | None) -> Extent:
    """Return whether a condition surely admits fewer rows than before, or more; else `other`."""
    if _implies(after, before):
        return "narrower"
    return "wider" if _implies(before, after) else "other"


def _where(before: Condition | None, after: Options) -> Meaning:
    left = (
        "are deleted locally and released at the source, up to "
        f"{shown_limit(after.max_deletions)} in 24 hours (`unwanted: release`)"
        if after.unwanted == "release"
        else "stay, and stay protected at the source (`unwanted: keep`)"
    )
    goes, comes = after.unwanted == "release", "those that it adds are pulled"
    if after.pull == "none":
        comes = "none is pulled (`pull: none`)"
    match extent(before, after.where):
        case "narrower":
            return f"fewer rows are wanted; pulled ones that no longer match {left}", goes
        case "wider":
            return f"more rows are wanted; {comes}", False
        case "other":
            words = f"other rows are wanted; {comes}; pulled ones that no longer match {left}"
            return words, goes


def _pull(before: Options, after: Options) -> Meaning:
    goes = after.unwanted == "release"
    left = "are deleted and released (`unwanted: release`)" if goes else "stay (`unwanted: keep`)"
    match after.pull:
        case "none":
            return "nothing new is pulled; what is held stays, and is what is wanted", False
        case "needed":
            words = "only rows that wanted or held rows of linked children refer to are wanted"
            return f"{words}; pulled ones that nothing needs {left}", goes
        case _:
            also = " that `where` admits" if after.where is not None else ""
            return f"all rows{also} are wanted, and those not yet here are pulled", False


def _implies(one: Condition | None, other: Condition | None) -> bool:
    """Whether every row that `one` admits is surely admitted by `other`; None admits all rows."""
    if other is None or one == other:
        return True
    if isinstance(one, AnyOf):
        return all(_implies(term, other) for term in one.terms)
    if isinstance(other, AllOf):
        return all(_implies(one, term) for term in other.terms)
    if isinstance(one, Equals) and isinstance(other, Equals) and one.column == other.column:
        return _is_within(one.values, other.values)
    if isinstance(other, AnyOf) and any(_implies(one, term) for term in other.terms):
        return True
    return isinstance(one, AllOf) and any(_implies(term, other) for term in one.terms)


def _is_within(some: tuple[Scalar, ...], values: tuple[Scalar, ...]) -> bool:
    every = {(type(value), value) for value in values}
    return all((type(value), value) in every for value in some)


def _nested(condition: Condition) -> str:
    text = condition_text(condition)
    return text if isinstance(condition, Equals) else f"({text})"


def _value(value: Scalar) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "true", False: "false"}[value]
    return str(value)


def _limit(limit: Limit) -> str:
    return f"{limit.value:g}%" if limit.percent else f"{limit.value:,.0f}"


def _is_more(before: Limit, after: Limit) -> bool:
    """Whether more may go; of a number and a percentage nobody can tell, so that it counts as more."""
    return before.percent != after.percent or after.value > before.value
