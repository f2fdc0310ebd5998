"""`where` in its three forms → a tree of conditions, and the tree in words."""

from __future__ import annotations

from djlink_manifest.manifest.conditions.check import HELP, check
from djlink_manifest.manifest.conditions.tokens import Refused
from djlink_manifest.manifest.models.names import identifier_fault
from djlink_manifest.manifest.text.nodes import Entry, Fields, Items, Leaf, Node
from djlink_manifest.manifest.text.problems import Problems, Spot
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, Scalar, SqlCondition

_FORMS = "SQL text, a mapping of columns to values, or a list of these"


def condition(entry: Entry, path: str, problems: Problems, *, steady: bool = False) -> Condition | None:
    """The condition that `where: ...` stands for; None, with the problems noted, where it is none.

    Text is SQL. A mapping means that every column has its value, a list of values any of them, null NULL.
    A list means that at least one of its members holds. `steady` refuses what changes by itself.
    """
    node = entry.value
    if isinstance(node, Items):
        if not node.items:
            problems.error(
                "`where` is an empty list, which matches no row",
                entry.spot,
                path,
                "use `pull: none` for that",
            )
            return None
        terms = [_one(item, item.spot, f"{path}[{i}]", problems, steady) for i, item in enumerate(node.items)]
        found = tuple(term for term in terms if term is not None)
        return (found[0] if len(found) == 1 else AnyOf(found)) if len(found) == len(terms) else None
    return _one(node, entry.spot, path, problems, steady)


def spelt(where: Condition) -> str:
    """Return a condition as a person reads it."""
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


def _one(node: Node, spot: Spot, path: str, problems: Problems, steady: bool) -> Condition | None:
    match node:
        case Leaf(value=str() as text):
            return _sql(text, node.spot, path, problems, steady)
        case Fields():
            return _equalities(node, spot, path, problems)
        case Items():
            problems.error(
                "a list inside the list of `where`",
                node.spot,
                path,
                "write one list; its items are combined with OR",
            )
        case Leaf():
            problems.error(f"`where` is {_FORMS}", node.spot, path, "quote SQL text")
    return None


def _sql(text: str, spot: Spot, path: str, problems: Problems, steady: bool) -> SqlCondition | None:
    try:
        check(text, steady=steady)
    except Refused as refused:
        near = " ".join(text[refused.at : refused.at + 20].split())
        shown = f", at `{near}`" if near and "\0" not in near else ""
        problems.error(
            f"`where` is refused: {refused.message}{shown}" if text.strip() else "`where` is empty",
            spot,
            path,
            HELP,
        )
        return None
    return SqlCondition(text.strip())


def _equalities(node: Fields, spot: Spot, path: str, problems: Problems) -> Condition | None:
    if not node.entries:
        problems.error("`where` is an empty mapping, which matches every row", spot, path, "remove `where`")
        return None
    terms = [_equality(node.entries[key], f"{path}.{key}", problems) for key in sorted(node.entries)]
    found = tuple(term for term in terms if term is not None)
    if len(found) < len(terms):
        return None
    return found[0] if len(found) == 1 else AllOf(found)


def _equality(entry: Entry, path: str, problems: Problems) -> Equals | None:
    if fault := identifier_fault(entry.key):
        problems.error(f"the column name {fault}", entry.spot, path)
        return None
    match entry.value:
        case Leaf(value=value):
            return Equals(entry.key, (value,))
        case Items(items=()):
            problems.error(
                "an empty list of values, which matches no row", entry.spot, path, "use `pull: none` for that"
            )
        case Items(items=items):
            values: list[Scalar] = []
            for item in items:
                if not isinstance(item, Leaf):
                    problems.error("a value must be text, a number, true, false or null", item.spot, path)
                    return None
                values.append(item.value)
            return Equals(entry.key, tuple(values))
        case Fields():
            problems.error(
                "a value must be text, a number, true, false, null, or a list of these",
                entry.spot,
                path,
                'for comparisons, write SQL: "contrast > 0.5"',
            )
    return None
