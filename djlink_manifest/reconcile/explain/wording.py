"""Conditions and references as an explanation words them."""

from __future__ import annotations

from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, SqlCondition


def spelt(where: Condition) -> str:
    """A condition as a person reads it."""
    match where:
        case SqlCondition(text=text):
            return text
        case Equals(column=name, values=values):
            shown = ["NULL" if v is None else str(v) for v in values]
            return f"{name} = {shown[0]}" if len(shown) == 1 else f"{name} in ({', '.join(shown)})"
        case AllOf(terms=terms):
            return " and ".join(_bracketed(t) for t in terms) or "every row"
        case AnyOf(terms=terms):
            return " or ".join(_bracketed(t) for t in terms) or "no row"


def _bracketed(term: Condition) -> str:
    return spelt(term) if isinstance(term, Equals) else f"({spelt(term)})"


def by_columns(link: Link, reference: Reference) -> str:
    """A reference by its columns, and by its part where it is a part's."""
    where = "" if reference.child_table == link.definition.name else f" of part {reference.child_table}"
    return f"({', '.join(reference.columns)}){where}"


def rows_naming(count: int) -> str:
    """How many rows name an entity."""
    return f"{count:,} row refers to it" if count == 1 else f"{count:,} rows refer to it"
