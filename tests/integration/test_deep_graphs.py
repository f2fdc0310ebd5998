"""Graphs of many layers: plans, requests and agreed deletions, in statements whose size does not grow."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from djlink_manifest.model.links.explanation import Reason
from djlink_manifest.model.tables.naming import class_name
from djlink_manifest.reconcile.explain.commands import explain
from djlink_manifest.reconcile.plan.actions import Delete, Pull
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.commands.explain import explanation_json, explanation_lines
from djlink_manifest.report.screen.layout import laid_out
from tests.support.rig import Rig
from tests.support.servers import ALIKE
from tests.support.statements import Statement, watched

Key = Literal["inherited", "secondary"]
ROWS = 4  # of each table; row k refers to row k of each parent
# of the columns of one layer, so that their numbers do not count
WIDE = 120


@dataclass(frozen=True, slots=True)
class Layers:
    """A graph of `depth` layers of `width` tables, a chain where `width` is 1.

    `key`: a child has its parents' key as its own (`inherited`), or refers to them by other columns.
    """

    depth: int
    width: int
    key: Key

    def __str__(self) -> str:
        return f"{self.depth}x{self.width}-{self.key}"

    def layers(self) -> list[list[str]]:
        """The names of the tables, layer by layer."""
        return [[f"t{n}_{place}" for place in range(self.width)] for n in range(self.depth)]

    def names(self) -> list[str]:
        """The names of the tables, parents first."""
        return [name for layer in self.layers() for name in layer]

    def script(self) -> Iterator[str]:
        """The statements that make and fill the tables in the schema `lab`."""
        yield "CREATE DATABASE {lab}"
        above = list[str]()
        for layer in self.layers():
            for name in layer:
                columns, keys = "", ""
                for parent in above:
                    own = "k" if self.key == "inherited" else f"to_{parent}"
                    columns += "" if own == "k" else f", {own} int NOT NULL"
                    keys += f", FOREIGN KEY ({own}) REFERENCES {{lab}}.{parent} (k)"
                yield f"CREATE TABLE {{lab}}.{name} (k int PRIMARY KEY{columns}{keys})"
            above = layer
        for name, rows in self.rows(*range(1, ROWS + 1)).items():
            yield f"INSERT INTO {{lab}}.{name} VALUES {rows}"

    def rows(self, *keys: int) -> dict[str, str]:
        """By table, parents first, the VALUES of rows with these keys."""
        found, above = dict[str, str](), 0
        for layer in self.layers():
            wide = 1 + (above if self.key == "secondary" else 0)
            values = ", ".join(f"({', '.join([str(k)] * wide)})" for k in keys)
            found |= dict.fromkeys(layer, values)
            above = len(layer)
        return found

    def make(self, rig: Rig) -> None:
        """Make the tables on `lab_a`."""
        with rig.server("lab_a").connect() as connection, connection.cursor() as cursor:
            for statement in self.script():
                cursor.execute(rig.sql(statement))
            connection.commit()

    def manifest(self, rig: Rig, **rules: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest of all tables; `first` and `last` rule those layers, `others` the rest."""
        layers, tables = self.layers(), dict[str, Any]()
        for number, layer in enumerate(layers):
            kind = "first" if number == 0 else "last" if number == len(layers) - 1 else "others"
            tables |= {name: dict(rules.get(kind, {})) for name in layer}
        return rig.document({"lab_a": {"lab": {"tables": tables}}})


SHAPES = [
    Layers(100, 1, "secondary"),
    Layers(100, 1, "inherited"),
    Layers(20, 2, "secondary"),
    Layers(20, 2, "inherited"),
    Layers(4, 12, "secondary"),
    Layers(4, 12, "inherited"),
]


def pulls(plan: Plan) -> list[int]:
    return [a.entities for link in plan.links for a in link.actions if isinstance(a, Pull)]


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize("graph", SHAPES, ids=str)
def test_what_the_root_restricts_and_what_the_leaves_need_is_planned_over_all_layers(
    rig: Rig, graph: Layers
) -> None:
    graph.make(rig)
    rig.accounts({"lab_a": ["lab"]})
    wanted = {"where": "k < 3"}
    plan = rig.plan(graph.manifest(rig, first=wanted))
    assert not plan.has_errors, plan.links
    assert pulls(plan) == [2] * len(graph.names())
    needed = {"pull": "needed"}
    plan = rig.plan(graph.manifest(rig, first=needed, others=needed, last=wanted))
    assert not plan.has_errors, plan.links
    assert pulls(plan) == [2] * len(graph.names())


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize("graph", [Layers(12, 2, "secondary"), Layers(12, 2, "inherited")], ids=str)
def test_an_agreed_deletion_at_the_root_is_carried_out_over_all_layers(rig: Rig, graph: Layers) -> None:
    graph.make(rig)
    rig.accounts({"lab_a": ["lab"]})
    # sets of all kinds at once: a `where`, requests, and a layer that others need
    rules = {"first": {"where": "k < 9"}, "others": {}, "last": {"unwanted": "release"}}
    plan, report = rig.apply(graph.manifest(rig, **rules))
    assert report.succeeded
    root, leaf = graph.layers()[0][0], graph.layers()[-1][0]
    rig.run("lab_a", f"INSERT INTO {rig.outbound_table('lab', f'{root}_deletion_requested')} (k) VALUES (1)")
    plan = rig.plan(graph.manifest(rig, **rules))
    assert not plan.has_errors, plan.links
    rules["first"] = {**rules["first"], "deletions": "auto"}
    rules["others"], rules["last"] = {"deletions": "auto"}, {**rules["last"], "deletions": "auto"}
    more = {"max_deletions": 100}
    document = graph.manifest(rig, **{kind: {**rule, **more} for kind, rule in rules.items()})
    plan, report = rig.apply(document)
    assert report.succeeded, report
    deletions = [a for link in plan.links for a in link.actions if isinstance(a, Delete)]
    assert sum(d.entities for d in deletions) == 1
    schema = rig.local_schema("lab_a", "lab")
    gone = [root, *graph.names()[graph.width :]]
    for name in gone:
        kept = rig.run("local", f"SELECT k FROM `{schema}`.{name} ORDER BY k")
        assert kept == [(k,) for k in range(2, ROWS + 1)], name
    for name in reversed(gone):
        rig.run("lab_a", f"DELETE FROM {{lab}}.{name} WHERE k = 1")
    plan = rig.plan(document)
    assert not plan.has_errors, plan.links
    assert not plan.has_changes, plan.links
    assert rig.run("lab_a", f"SELECT COUNT(*) FROM {rig.outbound_table('lab', leaf)}") == [(ROWS - 1,)]
    # what hangs on an entity that cannot come is blocked over all layers, in steps of one layer each
    rig.run("local", f"ALTER TABLE `{schema}`.{root} ADD CONSTRAINT few CHECK (k < 5)")
    rows = graph.rows(5)
    for name in graph.names():
        rig.run("lab_a", f"INSERT INTO {{lab}}.{name} VALUES {rows[name]}")
    with watched(prefix=rig.names("")) as seen:
        plan = rig.plan(document, parallelism=1)
    blocked = {link.address: sum(b.count for b in link.blocked) for link in plan.links}
    assert blocked == {
        rig.address("lab_a", "lab", class_name(name)): int(name in gone) for name in graph.names()
    }
    assert pulls(plan) == [1]
    made = [s for s in seen if s.begins("CREATE TEMPORARY TABLE") and "~djlink_stuck_" in s.text]
    assert len(made) < len(graph.names())


def longest(seen: list[Statement], word: str) -> int:
    return max(s.size for s in seen if word in s.text)


@pytest.mark.parametrize("servers", ALIKE[:1], indirect=True, ids=str)
@pytest.mark.parametrize("key", ["inherited", "secondary"])
def test_no_statement_about_what_is_wanted_grows_with_the_depth(rig: Rig, key: str) -> None:
    rig.accounts({"lab_a": ["lab"]})
    found = []
    for depth in (4, 20):
        graph = Layers(depth, 2, key)  # type: ignore[arg-type]  # a parameter of this test
        graph.make(rig)
        with watched(prefix=rig.names("")) as seen:
            rig.plan(graph.manifest(rig, first={"where": "k < 3"}))
            needed = {"pull": "needed"}
            rig.plan(graph.manifest(rig, first=needed, others=needed, last={"where": "k < 3"}))
        found.append(longest(seen, "EXISTS"))
        rig.run("lab_a", "DROP DATABASE {lab}")
    assert found[1] <= found[0] + WIDE, found


@contextmanager
def few_frames(more: int) -> Iterator[None]:
    """So many frames deeper than here, and a call fails."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + more)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def depth(reasons: Sequence[Reason]) -> int:
    return max((1 + depth(each.because) for each in reasons), default=0)


@pytest.mark.parametrize("servers", ALIKE[:1], indirect=True, ids=str)
def test_an_entity_far_below_what_decides_is_explained_without_recursion(rig: Rig) -> None:
    graph = Layers(100, 1, "secondary")
    graph.make(rig)
    rig.accounts({"lab_a": ["lab"]})
    leaf = rig.address("lab_a", "lab", class_name(graph.names()[-1]))
    with rig.job(graph.manifest(rig, first={"where": "k < 3"})) as job:
        job.plan()
        with few_frames(300):  # two for each link, which the nested report takes
            explanation, plan = explain(job, leaf, "k=4")
            assert explanation_json(explanation, plan)["reasons"]
    assert not explanation.wanted
    assert depth(explanation.reasons) == len(graph.names())
    assert (
        sum("`where` is not met" in line.plain for line in laid_out(explanation_lines(explanation, plan)))
        == 1
    )


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_what_is_wanted_no_longer_is_let_go_with_few_temporary_tables(rig: Rig) -> None:
    graph = Layers(12, 1, "secondary")
    graph.make(rig)
    rig.accounts({"lab_a": ["lab"]})
    release = {"unwanted": "release", "max_deletions": 100}
    _, report = rig.apply(graph.manifest(rig))
    assert report.succeeded
    document = graph.manifest(rig, first={**release, "where": "k < 3"}, others=release, last=release)
    names = graph.names()
    with rig.job(document, parallelism=1) as job:
        with watched(prefix=rig.names("")) as seen:
            plan = job.plan()
        # of each link the set of what is wanted, and that of what goes
        assert len([s for s in seen if s.begins("CREATE TEMPORARY TABLE")]) <= 2 * len(names)
        with watched(prefix=rig.names("")) as seen:
            assert job.apply(plan, lambda event: None, threading.Event()).succeeded
    # sets are made once, and for each link those above it anew, to look again
    made = [s for s in seen if s.begins("CREATE TEMPORARY TABLE") and "~djlink_set_" in s.text]
    assert len(made) <= sum(range(len(names) + 2))
    assert [(a.cause, a.entities) for link in plan.links for a in link.actions if isinstance(a, Delete)] == [
        ("unwanted", 2)
    ] * len(names)
    schema = rig.local_schema("lab_a", "lab")
    for name in names:
        assert rig.run("local", f"SELECT k FROM `{schema}`.{name} ORDER BY k") == [(1,), (2,)], name
    assert not rig.plan(document).has_changes
