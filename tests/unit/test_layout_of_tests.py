"""Where things stand in `tests`: tests in folders, and what they share in `tests/support`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.workers import group_of

TESTS = Path(__file__).parents[1]
MODULES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports, and what it imports from them."""
    found = set[str]()
    for node in ast.walk(ast.parse((TESTS / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_test_module_is_imported(path: Path) -> None:
    assert [name for name in imported(path) if re.match(r"tests\.\w+\.test_", name)] == []


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] == "support"], ids=str)
def test_what_is_shared_imports_from_no_folder_of_tests(path: Path) -> None:
    assert [name for name in imported(path) if re.match(r"tests\.(unit|integration|e2e)\b", name)] == []


def test_at_the_top_are_folders_alone() -> None:
    assert {path.name for path in TESTS.glob("*.py")} == {"__init__.py", "conftest.py"}


def test_tests_that_share_fixtures_of_a_module_are_a_group_on_each_pair_and_others_are_alone() -> None:
    shared = "tests/integration/test_bad_input.py::test_x[Name-{}]"
    groups = {group_of(shared.format(pair)) for pair in ("mysql-mysql", "mariadb-mysql")}
    assert groups == {f"tests/integration/test_bad_input.py {p}" for p in ("mysql-mysql", "mariadb-mysql")}
    assert group_of("tests/e2e/test_demo.py::test_x") == "tests/e2e/test_demo.py "
    alone = "tests/integration/test_deletion.py::test_x[mysql-mysql]"
    assert group_of(alone) == alone
