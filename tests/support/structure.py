"""Measure the structure of the package: `python -m tests.support.structure [CHECKOUT]`.

Modules and lines by folder, circles of imports, the longest modules and functions, calls with more than five
positional arguments, and class names that are defined more than once.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx

PACKAGE = "djlink_manifest"
CHECKOUT = Path(__file__).parents[2]
POSITIONAL = 5  # the most positional arguments that a call shall have


@dataclass(frozen=True)
class Import:
    """One import: the module it names, where, and whether it happens later than the loading of its module."""

    module: str
    line: int
    late: bool


def modules(checkout: Path = CHECKOUT) -> dict[str, Path]:
    """The package's modules by dotted name."""
    named = {}
    for path in sorted((checkout / PACKAGE).rglob("*.py")):
        words = path.relative_to(checkout).with_suffix("").parts
        named[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return named


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


def module_graph(checkout: Path = CHECKOUT) -> nx.DiGraph[str]:
    """Which module imports which, late imports included."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    known = modules(checkout)
    for module, path in known.items():
        for imported in imports_in(path.read_text(), module, is_package=path.name == "__init__.py"):
            target = imported.module if imported.module in known else imported.module.rpartition(".")[0]
            if target in known and target not in (module, PACKAGE):
                graph.add_edge(module, target)
    return graph


def folder_graph(checkout: Path = CHECKOUT) -> nx.DiGraph[str]:
    """Which folder's modules import another folder's; modules that stand beside folders are one each."""
    known = modules(checkout)

    def folder(module: str) -> str:
        path = known[module].relative_to(checkout / PACKAGE)
        return ".".join(path.parent.parts if len(path.parts) > 1 else (path.stem,))

    graph: nx.DiGraph[str] = nx.DiGraph()
    for above, below in module_graph(checkout).edges:
        if folder(above) != folder(below):
            graph.add_edge(folder(above), folder(below))
    return graph


def circles(graph: nx.DiGraph[str]) -> list[list[str]]:
    """The sets of nodes that reach each other."""
    return [sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1]


def functions(checkout: Path = CHECKOUT) -> list[tuple[int, str]]:
    """Every function's lines and place, the longest first."""
    return sorted(
        (
            (node.end_lineno or node.lineno) - node.lineno + 1,
            f"{path.relative_to(checkout)}:{node.lineno} {node.name}",
        )
        for path, node in _nodes(checkout)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )[::-1]


def long_calls(checkout: Path = CHECKOUT) -> list[str]:
    """Calls with more positional arguments than `POSITIONAL`, by place.

    Calls of functions that take any number of like things (`line(*cells)`) are left out, and of `partial` the
    function itself is not counted.
    """
    like = {"suppress"} | {
        node.name for _, node in _nodes(checkout) if isinstance(node, ast.FunctionDef) and node.args.vararg
    }
    found = []
    for path, node in _nodes(checkout):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in like and len(node.args) - (name == "partial") > POSITIONAL:
            found.append(f"{path.relative_to(checkout)}:{node.lineno} {ast.unparse(node.func)}")
    return sorted(found)


def twice_named(checkout: Path = CHECKOUT) -> dict[str, list[str]]:
    """Class names that are defined in more than one place, with these."""
    places = defaultdict[str, list[str]](list)
    for path, node in _nodes(checkout):
        if isinstance(node, ast.ClassDef):
            places[node.name].append(f"{path.relative_to(checkout)}:{node.lineno}")
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def _nodes(checkout: Path) -> Iterator[tuple[Path, ast.AST]]:
    for path in modules(checkout).values():
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def report(checkout: Path) -> Iterator[str]:
    """The measurements, a line each."""
    count, lines = Counter[str](), Counter[str]()
    sizes = list[tuple[int, str]]()
    for path in modules(checkout).values():
        size = len(path.read_text().splitlines())
        folder = str(path.relative_to(checkout / PACKAGE).parent)
        count[folder] += path.name != "__init__.py"
        lines[folder] += size
        sizes.append((size, str(path.relative_to(checkout))))
    yield f"{'folder':<24}{'modules':>8}{'lines':>8}"
    for folder in sorted(count):
        if count[folder]:
            yield f"{folder:<24}{count[folder]:>8}{lines[folder]:>8}"
    yield f"{'all':<24}{count.total():>8}{lines.total():>8}"
    yield f"most modules in a folder: {max(count.values())}"
    over = sorted((size, name) for size, name in sizes if size > 300)[::-1]
    yield f"modules over 300 lines: {len(over)}{''.join(f', {n} {s}' for s, n in over)}"
    longest = functions(checkout)
    yield f"functions over 40 lines: {sum(size > 40 for size, _ in longest)}, the longest: {longest[0]}"
    for name, graph in (("modules", module_graph(checkout)), ("folders", folder_graph(checkout))):
        yield f"circles of {name}: {len(circles(graph))} {circles(graph) or ''}"
    calls = long_calls(checkout)
    yield f"calls with more than {POSITIONAL} positional arguments: {len(calls)}"
    yield from (f"  {call}" for call in calls)
    twice = twice_named(checkout)
    yield f"class names with several definitions: {len(twice)}"
    yield from (f"  {name}: {', '.join(found)}" for name, found in twice.items())


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else CHECKOUT)))  # noqa: T201
