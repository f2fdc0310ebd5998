"""One word for one thing: the words of the code, and the glossary that defines them."""

from __future__ import annotations

import ast
import re
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from djlink_manifest.manifest.models.options import Options
from djlink_manifest.model.links.entity import State
from djlink_manifest.reconcile.plan.actions import Action

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "djlink_manifest"
GLOSSARY = ROOT / "docs" / "glossary.md"
TABLES = (
    PACKAGE / "sandbox" / "demo" / "pipeline_tables.py"
)  # classes named like the tables that they declare

# no part of an identifier, and what is said instead
INSTEAD = {
    "here": "local",
    "there": "source",
    "ours": "local",
    "theirs": "source",
    "mine": "own, or what it is",
    "asked": "requested",
    "unasked": "not_requested",
    "waiting": "requested, or blocked_by_parent",
    "stuck": "blocked",
    "hindered": "blocked, or obstacles",
    "unmet": "obstacles",
    "lacking": "missing",
    "barred": "blocked_by_request",
    "barring": "requests",
    "footing": "link_tables",
    "footings": "link_tables",
    "bench": "link_work",
    "site": "apply_context",
    "tally": "counters",
    "scene": "source_links",
    "scenes": "source_links",
    "doomed": "deletion_set",
    "depot": "store_transport",
    "errand": "object_copy",
    "glance": "bulk_check",
    "census": "counts",
    "survey": "observe_all",
}
EXCEPTIONS: frozenset[str] = frozenset()  # identifiers that keep such a word, and a comment that says why


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def _identifiers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)):
                yield name


def _parts(identifier: str) -> set[str]:
    return {part.lower() for part in re.split(r"_+|(?<=[a-z0-9])(?=[A-Z])", identifier) if part}


def _rows() -> Iterator[tuple[str, str, str]]:
    for line in GLOSSARY.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[0] not in ("term", "---"):
            yield cells[0], cells[1], cells[2]


def test_each_name_of_a_class_means_one_thing() -> None:
    places = defaultdict[str, list[str]](list)
    for path, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and path != TABLES:
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_identifier_has_a_word_for_which_there_is_another() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}: say {INSTEAD[part]}"
        for path, tree in _modules()
        for name in _identifiers(tree)
        for part in _parts(name) & INSTEAD.keys()
        if name not in EXCEPTIONS
    }
    assert found == set()


def test_no_module_is_named_with_such_a_word() -> None:
    assert {p.name for p in PACKAGE.rglob("*.py") if _parts(p.stem) & INSTEAD.keys()} == set()


def test_the_glossary_defines_each_term_once() -> None:
    terms = [term for term, _, _ in _rows()]
    assert len(terms) > 80
    assert [term for term in terms if terms.count(term) > 1] == []


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_each_state_is_in_the_glossary(state: State) -> None:
    assert [where for term, _, where in _rows() if term == state.value] == [f"`State.{state.name}`"]


@pytest.mark.parametrize("action", typing.get_args(Action), ids=lambda action: action.__name__)
def test_each_action_is_in_the_glossary(action: type) -> None:
    assert any(f"`{action.__name__}`" in where.split("; ")[0] for _, _, where in _rows())


@pytest.mark.parametrize("option", Options.model_fields)
def test_each_option_is_in_the_glossary(option: str) -> None:
    assert [where for term, _, where in _rows() if term == f"`{option}`"] == ["option"]


def test_each_class_that_the_glossary_names_exists() -> None:
    classes = {n.name for _, tree in _modules() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    named = {
        name
        for _, _, where in _rows()
        for name in re.findall(r"`([A-Z][a-z]\w+)(?:\.\w+|\([^`]*\))?`", where)
    }
    assert named - classes - {"DeletionRequested"} == {"Action"}


def test_each_module_that_the_glossary_names_exists() -> None:
    named = {
        name for *_, where in _rows() for name in re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", where)
    }
    assert {name for name in named if not (PACKAGE / name).exists()} == set()
