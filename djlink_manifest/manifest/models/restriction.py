"""The restriction that a person types on the command line, as a condition."""

from __future__ import annotations

from collections.abc import Sequence

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.conditions.check import check
from djlink_manifest.manifest.conditions.tokens import Refused
from djlink_manifest.manifest.models.names import identifier_fault
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, Scalar, SqlCondition


def restriction(pairs: Sequence[str], texts: Sequence[str]) -> Condition | None:
    """The condition of `COLUMN=VALUE` words and of SQL texts, all of which must hold; None for neither.

    A column that comes several times may have any of the values; `COLUMN=` means empty text and the word
    NULL means NULL. SQL is checked like a `where`. Raises UsageError.
    """
    values: dict[str, list[Scalar]] = {}
    for pair in pairs:
        column, equals, value = pair.partition("=")
        if not equals or identifier_fault(column):
            raise UsageError(
                f"{pair}: not COLUMN=VALUE",
                hint="write SQL as --where 'contrast > 0.5', in quotes",
            )
        values.setdefault(column, []).append(None if value == "NULL" else value)
    terms: list[Condition] = [Equals(column, tuple(each)) for column, each in values.items()]
    for text in texts:
        _check(text)
        terms.append(SqlCondition(text.strip()))
    if not terms:
        return None
    return terms[0] if len(terms) == 1 else AllOf(tuple(terms))


def check_steady(where: Condition) -> None:
    """Raise UsageError where a condition changes by itself, as that of an `unwanted: release` must not."""
    match where:
        case SqlCondition(text=text):
            _check(text, steady=True)
        case AllOf(terms=terms) | AnyOf(terms=terms):
            for term in terms:
                check_steady(term)
        case Equals():
            pass


def _check(text: str, *, steady: bool = False) -> None:
    try:
        check(text, steady=steady)
    except Refused as refused:
        near = " ".join(text[refused.at : refused.at + 20].split())
        shown = f", at `{near}`" if near and "\0" not in near else ""
        raise UsageError(
            f"--where is refused: {refused.message}{shown}" if text.strip() else "--where is empty",
            hint="write one SQL condition on the table's own columns; what it may hold is listed in "
            "docs/manifest.md, under `where`",
        ) from None
