"""The plan is what runs: the order of its actions, what carries them out, and what an apply cannot reach."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import djlink_manifest
from djlink_manifest.reconcile.apply.run import Run
from djlink_manifest.reconcile.plan import actions as kinds
from djlink_manifest.reconcile.plan.actions import (
    Action,
    Approve,
    Blocked,
    Claim,
    CreateLocal,
    CreateOutbound,
    Delete,
    NoteDefinition,
    NoteRequests,
    Pull,
)
from djlink_manifest.reconcile.plan.order import DELETIONS, is_structure, rounds
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.reconcile.plan.written import writes_to
from djlink_manifest.reconcile.runtime.batches import LinkWork
from djlink_manifest.reconcile.state.snapshot import LinkTables

MAKE = (CreateOutbound("a", ("o.t",), ""), CreateLocal(("l.t",), ""), NoteDefinition("a", "d", ""))
GO = (Claim("a", 1, ""), Delete(1, (), (), "approved", ""), Approve("a", 1, ""), NoteRequests(1, 0, ""))
COME = (Pull(1, (), 0, ""), NoteDefinition("local", "d", "", after_rows=True))


def told(links: list[LinkPlan]) -> list[list[str]]:
    """The rounds, each lane as the links and kinds of its turns; the last turn of a link has a full stop."""
    return [
        [
            ", ".join(
                f"{turn.address[-1]}: {' '.join(type(a).__name__ for a in turn.actions)}"
                + ("." if turn.last else "")
                for turn in lane
            )
            for lane in each
        ]
        for each in rounds(links)
    ]


def link(address: str, wave: int, *actions: Action, **more: Any) -> LinkPlan:
    return LinkPlan(address, wave, actions=actions, **more)


def test_without_deletions_a_link_is_made_and_filled_before_those_below_it() -> None:
    assert told(
        [link("a.s.P", 1, *MAKE, *COME), link("b.s.Q", 1, *COME), link("a.s.C", 2, *MAKE, *COME)]
    ) == [
        ["P: CreateOutbound CreateLocal NoteDefinition Pull NoteDefinition.", "Q: Pull NoteDefinition."],
        ["C: CreateOutbound CreateLocal NoteDefinition Pull NoteDefinition."],
    ]


def test_with_deletions_tables_come_first_then_claims_then_deletions_children_first_then_rows() -> None:
    links = [
        link("a.s.P", 1, *GO, *COME),
        link("b.s.Q", 1, *GO),
        link("a.s.C", 2, *MAKE, *GO, *COME),
        link("a.s.D", 3, *MAKE),
    ]
    assert told(links) == [
        ["C: CreateOutbound CreateLocal NoteDefinition"],
        ["D: CreateOutbound CreateLocal NoteDefinition."],
        ["P: Claim, C: Claim", "Q: Claim"],
        ["C: Delete Approve NoteRequests, P: Delete Approve NoteRequests", "Q: Delete Approve NoteRequests."],
        ["P: Pull NoteDefinition."],
        ["C: Pull NoteDefinition."],
    ]


def test_a_link_with_nothing_to_do_has_no_turn_and_a_blocked_one_has_those_of_its_actions() -> None:
    stopped = link("a.s.P", 1, Approve("a", 1, ""), blocked=(Blocked("error", "no", whole=True),))
    assert told([stopped, link("a.s.Q", 1)]) == [["P: Approve."]]


def of_each_kind() -> Iterator[Action]:
    """An action of each kind, with nothing in it."""
    for kind in get_args(Action):
        given = {
            p.name: ""
            for p in inspect.signature(kind).parameters.values()
            if p.default is inspect.Parameter.empty
        }
        yield kind(**given)


@pytest.mark.parametrize("action", [*of_each_kind()], ids=lambda a: type(a).__name__)
def test_each_kind_of_action_names_the_servers_that_it_writes_to_and_has_one_place(action: Action) -> None:
    assert writes_to(action, "a") <= {"a", "local", ""}
    assert writes_to(action, "a")
    assert not (is_structure(action) and isinstance(action, DELETIONS))


def test_every_action_is_frozen_and_named_in_the_union() -> None:
    found = {
        each
        for _, each in inspect.getmembers(kinds, inspect.isclass)
        if each.__module__ == kinds.__name__ and each.__name__ not in ("Blocked", "Drift")
    }
    assert found == set(get_args(Action))
    assert all(getattr(each, "__dataclass_params__").frozen for each in found)  # noqa: B009


def reached(start: type) -> set[type]:
    """The classes of values that can be reached from one, field by field."""
    found, due = set[type](), [start]
    while due:
        each = due.pop()
        if each in found:
            continue
        found.add(each)
        if dataclasses.is_dataclass(each):
            due += [c for hint in get_type_hints(each).values() for c in classes_in(hint)]
    return found


def classes_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type):
        yield hint
    for each in get_args(hint):
        yield from classes_in(each)


def test_an_apply_cannot_reach_what_the_plan_was_made_from() -> None:
    for start in (Run, LinkWork):
        classes = reached(start)
        assert len(classes) > 20
        assert LinkTables not in classes


RUNNING = [
    path
    for folder in ("apply", "runtime", "deletion", "plan", "state")
    for path in sorted((Path(djlink_manifest.__file__).parent / "reconcile" / folder).glob("*.py"))
]


@pytest.mark.parametrize("path", RUNNING, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_no_call_has_more_than_five_positional_arguments(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") != "sql":
            count = sum(map(_arguments, node.args))
            assert count <= 5, f"{path.name}:{node.lineno}"


def _arguments(node: ast.expr) -> int:
    if isinstance(node, ast.Starred) and isinstance(node.value, ast.Tuple):
        return len(node.value.elts)
    return 1


@pytest.mark.parametrize("path", [p for p in RUNNING if p.parent.name in ("apply", "runtime", "deletion")])
def test_what_acts_does_not_name_what_a_link_stands_on(path: Path) -> None:
    assert "footing" not in path.read_text().lower()
