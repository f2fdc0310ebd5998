"""Each result of a server has columns of stated kinds, or is checked value by value where it is read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "djlink_manifest"
ASKING = frozenset({"rows", "row", "value"})  # methods of sessions whose first argument is the statement
KINDS = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
# what they read is checked one by one, with the table that each value is about (`Faults`)
ONE_BY_ONE = frozenset(
    {
        "servers/catalog/tables.py",
        "servers/catalog/check_constraints.py",
        "servers/catalog/reader.py",
        "servers/session/session.py",  # passes kinds on; `_identify` checks each
    }
)


def asked(text: str) -> Iterator[ast.Call]:
    """The calls by which a module reads rows."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKING:
            owner = ast.unparse(node.func.value)
            if node.args and owner.split(".")[-1].split("[")[0] in SESSIONS:
                yield node


SESSIONS = frozenset(
    {"session", "local", "source", "writer", "reader", "one", "other", "working", "_sessions"}
)


def is_only_whether(call: ast.Call) -> bool:
    """Whether nothing but the number of rows matters: `SELECT 1 FROM …`."""
    return "SELECT 1 FROM" in ast.unparse(call.args[0])


@pytest.mark.parametrize("path", [p for p in KINDS if any(asked(KINDS[p]))], ids=lambda p: p.stem)
def test_each_result_that_is_read_has_columns_of_stated_kinds(path: Path) -> None:
    if str(path.relative_to(PACKAGE)) in ONE_BY_ONE:
        return
    bare = [
        f"{path.name}:{call.lineno} {ast.unparse(call)[:80]}"
        for call in asked(KINDS[path])
        if len(call.args) == 1 and not is_only_whether(call)
    ]
    assert bare == []


def test_the_search_finds_what_it_looks_for() -> None:
    text = (
        "session.rows(sql('SELECT a'))\nself._sessions[n].value(take)\nself.local.rows(q, a_name)\nx.rows(1)"
    )
    assert [len(call.args) for call in asked(text)] == [1, 1, 2]
    assert sum(1 for each in KINDS.values() for _ in asked(each)) > 50
