"""Imports run one way, and each library from elsewhere is used in one place."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "djlink_manifest"
ROOT = Path(__file__).parents[2] / PACKAGE

# What a part of the package may import besides itself; the longest name that fits counts. A name stands for
# all below it. A part that is not named here may import nothing.
VALUES = ("errors", "model", "manifest")
PLAN_VALUES = (
    "reconcile.plan",
    "reconcile.actions",
    "reconcile.asked",
    "reconcile.snapshot",
    "reconcile.progress",
    "reconcile.removal",
    "reconcile.adoption",
)
ACTING = tuple(
    f"reconcile.{name}"
    for name in (
        *(
            "reach",
            "storage",
            "storelook",
            "observe",
            "survey",
            "relied",
            "closures",
            "deletions",
            "site",
            "building",
            "bench",
            "helping",
        ),
        *(
            "pulling",
            "refilling",
            "deleting",
            "settling",
            "noting",
            "orphans",
            "taking_out",
            "outcomes",
            "linkwork",
            "apply",
            "standing",
            "doctor",
            "adopting",
            "explaining",
            "prospecting",
            "stage",
            "job",
            "inquiry",
        ),
    )
)
# What commands call; each loads what it needs and no other's.
COMMANDS = tuple(f"reconcile.{name}" for name in ("pipeline", "inquiry", "doctor", "drafting", "prospecting"))
PURE = ("reconcile", *VALUES)
INSIDE: dict[str, tuple[str, ...]] = {
    "errors": (),
    "model": ("errors",),
    "manifest": ("model", "errors"),
    "servers": ("model", "errors"),
    "reconcile": PURE,
    **dict.fromkeys(ACTING, (*PURE, "servers")),
    "report": (*PLAN_VALUES, *VALUES),
    "owner": ("servers", "reconcile.conditions", *VALUES),
    "api": ("reconcile.pipeline", "reconcile.standing", *PLAN_VALUES, "owner", "report", *VALUES),
    "cli": (*COMMANDS, "reconcile.granting", "owner", "report", *VALUES),
    "sandbox": ("model", "errors"),
    "__main__": ("cli",),
}
# Besides, within functions only: what would cost every command its start-up time, or load the package's own
# parts for who wants a single name of it.
INSIDE_LATE: dict[str, tuple[str, ...]] = {
    "__init__": ("api",),
    "cli": ("sandbox",),
    "sandbox": ("cli", "manifest"),
}
# Modules of `reconcile` that decide may not learn from those that act.
DECIDING_MAY_NOT = (*ACTING, "reconcile.pipeline")

OUTSIDE: dict[str, tuple[str, ...]] = {
    "click": ("cli",),
    "yaml": ("manifest",),
    "ruamel": ("manifest.editing",),
    "networkx": ("model.graph",),
    "pymysql": ("servers", "sandbox"),
    "pydantic": ("manifest",),
    "pydantic_core": ("manifest",),
    "rich": ("report", "cli"),
    "cryptography": ("sandbox",),
}
# Slow to load: never when a module is.
OUTSIDE_LATE: dict[str, tuple[str, ...]] = {
    "datajoint": ("api", "sandbox", "servers.stores"),
    "fsspec": ("servers.stores",),
    "s3fs": ("servers.stores",),
    "numpy": ("sandbox",),
}


@dataclass(frozen=True)
class Import:
    """One import: the module it names, where, and whether it happens later than the loading of its module."""

    module: str
    line: int
    late: bool


def imports_in(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import in the source of `module`, those by name (`import_module("x")`) included."""
    package = module if is_package else module.rpartition(".")[0]
    yield from _imports(ast.parse(source), package, late=False)


def _imports(node: ast.AST, package: str, *, late: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, late)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, *filter(None, [node.module])])
        for alias in node.names:
            yield Import(f"{base}.{alias.name}", node.lineno, late)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in {"import_module", "__import__"}:
            yield Import(str(node.args[0].value), node.lineno, late)
    # What stands under TYPE_CHECKING is never run.
    type_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    inner_late = late or type_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, package, late=inner_late)


def is_below(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def allowed_for(part: str, rules: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    fitting = [name for name in rules if is_below(part, name)]
    return rules[max(fitting, key=len)] if fitting else ()


def faults(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What in the source of `module` breaks the rules, a line each."""
    part = module.removeprefix(f"{PACKAGE}.") if module != PACKAGE else "__init__"
    found = []
    for imported in imports_in(source, module, is_package=is_package):
        top = imported.module.partition(".")[0]
        if top == PACKAGE:
            wrong = not _inside_is_allowed(part, imported)
        elif top in OUTSIDE_LATE:
            wrong = not (imported.late and any(is_below(part, home) for home in OUTSIDE_LATE[top]))
        elif top in OUTSIDE:
            wrong = not any(is_below(part, home) for home in OUTSIDE[top])
        else:
            wrong = top not in sys.stdlib_module_names
        if wrong:
            found.append(f"{module}:{imported.line} imports {imported.module}")
    return found


def _inside_is_allowed(part: str, imported: Import) -> bool:
    target = imported.module.removeprefix(PACKAGE).removeprefix(".")
    if target == "__version__":
        return True
    top = part.partition(".")[0]
    deciding = top == "reconcile" and part != "reconcile.pipeline" and not _is_any(part, ACTING)
    if deciding and _is_any(target, DECIDING_MAY_NOT):
        return False
    if top != "reconcile" and is_below(target, top):
        return True
    permitted = allowed_for(part, INSIDE)
    if imported.late:
        permitted += allowed_for(part, INSIDE_LATE)
    return _is_any(target, permitted)


def _is_any(name: str, parts: tuple[str, ...]) -> bool:
    return any(is_below(name, part) for part in parts)


def modules() -> dict[str, Path]:
    named = {}
    for path in sorted(ROOT.rglob("*.py")):
        words = path.relative_to(ROOT.parent).with_suffix("").parts
        named[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return named


@pytest.mark.parametrize(("module", "path"), modules().items(), ids=modules().keys())
def test_a_module_imports_only_what_lies_below_it(module: str, path: Path) -> None:
    assert faults(path.read_text(), module, is_package=path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model.link", "from djlink_manifest.manifest import values"),
        ("model.link", "from djlink_manifest import manifest"),
        ("model.link", "from ..servers import connection"),
        ("manifest.load", "import djlink_manifest.servers.session.session"),
        ("servers.ddl", "from djlink_manifest.manifest.models.values import Manifest"),
        ("reconcile.plan", "from djlink_manifest.servers import outbound"),
        ("reconcile.plan", "from djlink_manifest.reconcile.observe.link import observe"),
        ("reconcile.resolve", "from djlink_manifest.reconcile import pipeline"),
        ("report.text", "from djlink_manifest.reconcile.apply.scheduler import apply"),
        ("cli", "from djlink_manifest.servers import connection"),
        ("cli", "from djlink_manifest import sandbox"),
        ("api.link", "from djlink_manifest.cli import main"),
        ("servers.ddl", "import click"),
        ("servers.ddl", "import requests"),
        ("model.link", "import networkx as nx"),
        ("cli.plan", "import pymysql"),
        ("api.link", "import datajoint"),
        ("reconcile.apply", "def f():\n    import datajoint"),
        ("report.text", "import importlib\nimportlib.import_module('yaml')"),
    ],
)
def test_an_import_against_the_rules_is_found(module: str, line: str) -> None:
    assert len(faults(line, f"{PACKAGE}.{module}")) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model.graph", "import networkx as nx"),
        ("manifest.values", "from djlink_manifest.model.links.selection import Condition"),
        ("reconcile.observe", "from djlink_manifest.servers import census"),
        ("reconcile.pipeline", "from djlink_manifest.reconcile import apply, observe, plan, resolve"),
        ("reconcile.apply", "from .observe import observe"),
        ("api.link", "def f():\n    import datajoint as dj"),
        ("cli.demo", "def f():\n    from djlink_manifest.sandbox import demo"),
    ],
)
def test_an_import_along_the_rules_is_not(module: str, line: str) -> None:
    assert faults(line, f"{PACKAGE}.{module}") == []
