"""Graphs of many layers: plans, requests and agreed deletions, in statements whose size does not grow."""

from __future__ import annotations

import pytest

from djlink_manifest.reconcile.actions import Delete, Pull
from djlink_manifest.reconcile.plan import Plan
from tests.layered import ROWS, Layers
from tests.rig import Rig
from tests.shared_servers import ALIKE
from tests.statements import Statement, watched

# of the columns of one layer, so that their numbers do not count
WIDE = 120
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
