"""Which rows of one table a manifest asks for, as a tree of conditions. No SQL is made here.

`servers.query` renders the tree; the only SQL text in it is what a person wrote in `where`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """A condition in SQL over the table's own columns, already checked.

    `composed`: made by DataJoint from a restriction in Python, so that it may have subqueries.
    """

    text: str
    composed: bool = False


@dataclass(frozen=True, slots=True)
class Equals:
    """The column equals any of the values; None means NULL."""

    column: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every term holds; no terms: every row."""

    terms: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one term holds; no terms: no row."""

    terms: tuple[Condition, ...]


Condition: TypeAlias = SqlCondition | Equals | AllOf | AnyOf
NOTHING = AnyOf(())


def is_textual(condition: Condition) -> bool:
    """Whether any part of the condition is SQL text, which only the server can judge."""
    match condition:
        case SqlCondition():
            return True
        case AllOf(terms=terms) | AnyOf(terms=terms):
            return any(is_textual(term) for term in terms)
        case Equals():
            return False
