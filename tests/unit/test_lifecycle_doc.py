"""The two tables of docs/lifecycle.md say what the code does, row by row."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from djlink_manifest.errors import Location
from djlink_manifest.model.links.entity import EntityTerms, Presence, State, Step, state_of, step_for
from djlink_manifest.model.links.graph import LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.reconcile.plan.observation import Head, Observation
from djlink_manifest.reconcile.plan.plan import LinkPlan, make
from djlink_manifest.reconcile.state.deletion_requests import (
    Closure,
    DeletionFacts,
    LinkDeletions,
    RequestSet,
)
from djlink_manifest.reconcile.state.snapshot import EntityClass, LinkSnapshot, LinkTables, ServerFacts

DOCUMENT = Path(__file__).parents[2] / "docs" / "lifecycle.md"
PRESENCES = [Presence(*bits) for bits in itertools.product((False, True), repeat=5)]
STANDINGS = [EntityTerms(*bits) for bits in itertools.product((False, True), repeat=5)]
CONDITIONS: dict[str, Callable[[EntityTerms], bool]] = {
    "always": lambda _: True,
    "pullable": lambda terms: terms.pullable,
    "not pullable": lambda terms: not terms.pullable,
    "not pullable, lost, and wanted or `unwanted: keep`": lambda terms: (
        not terms.pullable and terms.remade and (terms.wanted or not terms.release_unwanted)
    ),
    "not pullable, and not so lost": lambda terms: (
        not terms.pullable and not (terms.remade and (terms.wanted or not terms.release_unwanted))
    ),
    "lost": lambda terms: terms.remade,
    "not lost": lambda terms: not terms.remade,
    "wanted": lambda terms: terms.wanted,
    "not wanted, `unwanted: keep`": lambda terms: not terms.wanted and not terms.release_unwanted,
    "not wanted, `unwanted: release`": lambda terms: not terms.wanted and terms.release_unwanted,
    "granted": lambda terms: terms.granted,
    "not granted": lambda terms: not terms.granted,
}


@dataclass(frozen=True)
class Row:
    pattern: str
    state: str
    when: str
    follows: str

    def meets(self, presence: Presence, terms: EntityTerms) -> bool:
        marks = self.pattern.split()
        matches = all(
            mark == "x" or (mark == "1") == fact for mark, fact in zip(marks, presence, strict=True)
        )
        return matches and CONDITIONS[self.when](terms)


def table_rows(header: str) -> Iterator[list[str]]:
    """The cells of the rows below the table head that starts with `header`."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


ROWS = [Row(*cells) for cells in table_rows("S O L R A")]
IN_THE_PLAN = {cells[0]: cells[1] for cells in table_rows("what follows")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.pattern} {row.when}")
def test_each_row_of_the_state_table_says_what_the_code_does(row: Row) -> None:
    assert re.fullmatch(r"[01x]( [01x]){4}", row.pattern)
    met = [(p, s) for p in PRESENCES for s in STANDINGS if row.meets(p, s)]
    assert met
    for presence, terms in met:
        assert state_of(presence).value == row.state
        assert step_for(presence, terms).value == row.follows


@pytest.mark.parametrize("presence", PRESENCES, ids=lambda p: "".join(str(int(fact)) for fact in p))
def test_each_presence_and_standing_stands_in_exactly_one_row(presence: Presence) -> None:
    for terms in STANDINGS:
        assert len([row for row in ROWS if row.meets(presence, terms)]) == 1


def test_the_state_table_names_every_state_and_every_step() -> None:
    assert {row.state for row in ROWS} == {state.value for state in State}
    assert {row.follows for row in ROWS} == {step.value for step in Step}


def test_the_number_of_states_in_the_text_is_the_number_of_states() -> None:
    assert f"one of {len(State)} states" in DOCUMENT.read_text(encoding="utf-8")


def test_every_step_has_one_row_that_says_what_this_version_does() -> None:
    assert sorted(cells[0] for cells in table_rows("what follows")) == sorted(step.value for step in Step)


@pytest.mark.parametrize("presence", PRESENCES, ids=lambda p: "".join(str(int(fact)) for fact in p))
def test_the_plan_shows_each_step_as_the_second_table_says(presence: Presence) -> None:
    for terms in STANDINGS:
        words = IN_THE_PLAN[step_for(presence, terms).value]
        if "where equal, else" in words:
            equal, other = words.split(" where equal, else ")
            assert shown(plan_of_one(presence, terms, equal=1)) == {equal}
            assert shown(plan_of_one(presence, terms, equal=0)) == {other}
        else:
            assert shown(plan_of_one(presence, terms, equal=0)) == {words} - {"nothing"}


def plan_of_one(presence: Presence, terms: EntityTerms, *, equal: int) -> LinkPlan:
    """The plan for a link with one entity; `equal` counts it where its local rows equal the source's."""
    key = Column("id", "int")
    definition = TableDefinition("lab", "subject", (key,), ("id",))
    link = Link(
        address="princeton.lab.Subject",
        source="princeton",
        definition=definition,
        local=definition,
        outbound_schema="out",
        outbound_table="lab_subject",
        references=(),
        plain=(),
        where=None,
        pull="all",
        unwanted="release" if terms.release_unwanted else "keep",
        deletions="review",
        location=Location("atlas.yaml", 1, 1),
    )
    entities = EntityClass(presence, wanted=terms.wanted, pullable=terms.pullable)
    missing = (definition,) if terms.remade else ()
    stands = LinkTables("1", False, False, make_local=missing, remade=terms.remade)
    princeton = ServerFacts("princeton", "localhost")
    seen = Observation(
        Head("atlas", "0" * 64, ("atlas.yaml",), ServerFacts("local", "localhost"), (princeton,)),
        link_tables={link.address: stands},
        snapshots={link.address: LinkSnapshot(counts={entities: 1}, equal=equal, outbound_rows=1)},
        deletions=DeletionFacts({link.address: deletions_of_one(step_for(presence, terms))}),
    )
    return make([link], LinkGraph.build([link.address], []), seen).links[0]


def deletions_of_one(step: Step) -> LinkDeletions:
    """What is observed of deletions where this follows for the one entity."""
    nothing, one = Closure(), Closure(entities=1)
    open_requests = RequestSet("", 1, datetime(2026, 11, 20), one)
    return LinkDeletions(
        granted=one if step is Step.DELETE_APPROVE else nothing,
        requested=open_requests if step is Step.AWAIT_REVIEW else None,
        unwanted=one if step is Step.DELETE_RELEASE else nothing,
    )


def shown(plan: LinkPlan) -> set[str]:
    """How the one entity stands in the plan, in the words of the second table."""
    besides = {"CreateLocal", "CopyLineage", "NoteDefinition", "NoteFilled"}  # what concerns no entity
    words = {type(action).__name__ for action in plan.actions} - besides
    words |= {f"blocked ({blocked.kind})" for blocked in plan.blocked if blocked.count}
    words |= {"drift"} if plan.drift else set()
    words |= {"counted as kept"} if plan.kept else set()
    return {f"`{word}`" if word.isalpha() and word != "drift" else word for word in words}
