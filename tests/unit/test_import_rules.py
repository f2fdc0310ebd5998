"""Imports run one way, and each library from elsewhere is used in one place."""

from __future__ import annotations

import sys
from pathlib import Path

import networkx as nx
import pytest

from tests.support.structure import (
    CHECKOUT,
    PACKAGE,
    Import,
    circles,
    folder_graph,
    imports_in,
    module_graph,
    modules,
)

ROOT = CHECKOUT / PACKAGE

# Which folder may import which others, besides itself. `servers.sql` and the like are modules that stand in a
# folder beside its rooms; a name stands for all below it. What is not named here may import nothing.
VALUES = "errors model manifest.models manifest.conditions manifest.text"
PURE = f"{VALUES} reconcile.state"
SESSIONS = "errors model servers.sql servers.session"
KEYS = f"{SESSIONS} servers.ddl servers.query servers.keys"
SETS = f"{KEYS} servers.compare servers.entities"
SERVERS = f"{SETS} servers.catalog servers.outbound servers.transfer servers.ownership"
OBSERVED = f"{PURE} reconcile.resolve reconcile.diff reconcile.plan reconcile.observe"
ACTING = f"{OBSERVED} retry reconcile.runtime {SERVERS} servers.external servers.stores"
ASKED = "manifest reconcile.pipeline"
SCREEN = "owner report cli.options cli.terminal"
FOLDERS = {
    "errors": "",
    "retry": "errors",
    "parallel": "",
    "model": "",
    "model.tables": "errors",
    "model.server": "model.tables",
    "model.stores": "model.tables",
    "model.vendors": "model.tables model.server",
    "model.links": "errors model.tables model.server",
    "manifest.text": "errors model",
    "manifest.conditions": "model manifest.text",
    "manifest.models": "errors model manifest.text manifest.conditions",
    "manifest.compare": "errors model manifest.text manifest.models",
    "manifest.checks": "errors model manifest.text manifest.models",
    "manifest.edit": "errors model manifest.text manifest.models",
    "manifest.trust": "errors model manifest.text manifest.models manifest.checks",
    "manifest": "errors model manifest",
    "servers": "errors model",
    "servers.dialects": "errors model servers.sql",
    "servers.session": "errors model servers.sql servers.dialects",
    "servers.ownership": SESSIONS,
    "servers.ddl": SESSIONS,
    "servers.query": SESSIONS,
    "servers.catalog": f"{SESSIONS} servers.dialects servers.ddl servers.ownership",
    "servers.keys": f"{SESSIONS} servers.ddl servers.query",
    "servers.owner": f"{SESSIONS} servers.ddl servers.query servers.keys",
    "servers.compare": KEYS,
    "servers.entities": f"{KEYS} servers.compare",
    "servers.outbound": SETS,
    "servers.transfer": f"{SETS} servers.catalog servers.outbound",
    "servers.stores": "errors retry model",
    "servers.external": f"{SETS} servers.transfer servers.stores",
    "reconcile.state": VALUES,
    "reconcile.resolve": PURE,
    "reconcile.diff": PURE,
    "reconcile.plan": PURE,
    "reconcile.observe": f"{OBSERVED} parallel {SERVERS} servers.owner servers.external servers.stores",
    "reconcile.runtime": ACTING,
    "reconcile.deletion": ACTING,
    "reconcile.apply": f"{ACTING} reconcile.deletion",
    "reconcile.adopt": f"{OBSERVED} {SERVERS}",
    "reconcile.doctor": f"{OBSERVED} parallel {SERVERS} servers.stores",
    "reconcile.bootstrap": f"{PURE} reconcile.resolve manifest.edit {SERVERS}",
    "reconcile": f"{OBSERVED} reconcile.runtime reconcile.apply servers.session",
    "reconcile.explain": f"{OBSERVED} reconcile.job reconcile.adopt {SERVERS}",
    "report.screen": VALUES,
    "report.plan": f"{PURE} reconcile.plan reconcile.runtime report.screen",
    "report.document": f"{PURE} reconcile.plan report.plan",
    "report.apply": f"{PURE} reconcile.plan reconcile.runtime report.screen report.plan",
    "report.commands": f"{PURE} manifest.compare reconcile.plan reconcile.adopt report.screen report.plan",
    "owner": f"{VALUES} retry reconcile.resolve {SERVERS} servers.owner",
    "api": f"{PURE} {ASKED} retry reconcile.plan reconcile.runtime reconcile.observe "
    "reconcile.explain owner report",
    "cli.terminal": f"{VALUES} report.screen",
    "cli.options": f"{VALUES} {ASKED} owner manifest.compare reconcile.plan report cli.terminal",
    "cli.commands": f"{VALUES} {ASKED} reconcile.plan reconcile.bootstrap reconcile.doctor reconcile.explain "
    f"{SCREEN}",
    "cli": "cli",
    "sandbox.servers": "errors model",
    "sandbox.demo": "errors model sandbox.servers",
    "sandbox": "errors model sandbox",
    "__init__": "",
    "__main__": "cli",
}
# Besides, within functions only: what would cost every command its start-up time, or load the package's own
# parts for who wants a single name of it.
FOLDERS_LATE = {
    "__init__": "api",
    "cli.commands": "sandbox",
    "sandbox.demo": "cli manifest",
}

OUTSIDE: dict[str, tuple[str, ...]] = {
    "click": ("cli",),
    "yaml": ("manifest",),
    "ruamel": ("manifest.edit",),
    "networkx": ("model.links.graph",),
    "pymysql": ("servers", "sandbox"),
    "pydantic": ("manifest", "report.document"),
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


def is_below(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def folder_of(part: str) -> str:
    """The longest folder of the table that a module, named without the package, lies in."""
    fitting = [name for name in (*FOLDERS, "errors") if is_below(part, name)]
    return max(fitting, key=len, default="")


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
    home = folder_of(part)
    if home and folder_of(target) == home:
        return True
    permitted = FOLDERS.get(home, "").split()
    if imported.late:
        permitted += FOLDERS_LATE.get(home, "").split()
    return any(is_below(target, name) for name in permitted)


@pytest.mark.parametrize(("module", "path"), modules().items(), ids=modules().keys())
def test_a_module_imports_only_what_lies_below_it(module: str, path: Path) -> None:
    assert faults(path.read_text(), module, is_package=path.name == "__init__.py") == []


def test_every_folder_has_its_line_in_the_table() -> None:
    files = [path.relative_to(ROOT) for path in modules().values()]
    folders = {
        ".".join(f.parent.parts) if len(f.parts) > 1 else f.stem for f in files if f.name != "__init__.py"
    }
    assert folders | {"__init__"} == FOLDERS.keys()


@pytest.mark.parametrize("graph", [module_graph(), folder_graph()], ids=["modules", "folders"])
def test_nothing_imports_in_a_circle(graph: nx.DiGraph[str]) -> None:
    assert len(graph) > 20
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph([("a", "b"), ("b", "c"), ("c", "b")])
    assert circles(graph) == [["b", "c"]]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model.links.link", "from djlink_manifest.manifest.models import values"),
        ("model.links.link", "from djlink_manifest import manifest"),
        ("model.links.link", "from ...servers import session"),
        ("manifest.load", "import djlink_manifest.servers.session.session"),
        ("servers.ddl.tables", "from djlink_manifest.manifest.models.values import Manifest"),
        ("servers.sql", "from djlink_manifest.servers.session.session import Session"),
        ("servers.query.rows", "from djlink_manifest.servers.transfer import insert"),
        ("servers.session.pool", "from djlink_manifest.servers import query"),
        ("reconcile.plan.plan", "from djlink_manifest.servers import outbound"),
        ("reconcile.plan.plan", "from djlink_manifest.reconcile.observe.link import observe"),
        ("reconcile.resolve.links", "from djlink_manifest.reconcile import pipeline"),
        ("report.plan.text", "from djlink_manifest.reconcile.apply.scheduler import apply"),
        ("cli", "from djlink_manifest.servers import connection"),
        ("cli", "from djlink_manifest import sandbox"),
        ("api.link", "from djlink_manifest.cli import main"),
        ("servers.ddl.tables", "import click"),
        ("servers.ddl.tables", "import requests"),
        ("model.links.link", "import networkx as nx"),
        ("cli.commands.plan", "import pymysql"),
        ("api.link", "import datajoint"),
        ("reconcile.apply.pull", "def f():\n    import datajoint"),
        ("report.plan.text", "import importlib\nimportlib.import_module('yaml')"),
    ],
)
def test_an_import_against_the_rules_is_found(module: str, line: str) -> None:
    assert len(faults(line, f"{PACKAGE}.{module}")) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("model.links.graph", "import networkx as nx"),
        ("manifest.models.values", "from djlink_manifest.model.links.selection import Condition"),
        ("reconcile.observe.link", "from djlink_manifest.servers.entities import counts"),
        ("reconcile.pipeline", "from djlink_manifest.reconcile import apply, observe, plan, resolve"),
        ("servers.sql", "from djlink_manifest.errors import ServerError"),
        ("reconcile.apply.pull", "from ..observe import keys"),
        ("api.link", "def f():\n    import datajoint as dj"),
        ("cli.commands.demo", "def f():\n    from djlink_manifest.sandbox import demo"),
    ],
)
def test_an_import_along_the_rules_is_not(module: str, line: str) -> None:
    assert faults(line, f"{PACKAGE}.{module}") == []
