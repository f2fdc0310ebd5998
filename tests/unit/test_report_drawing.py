"""Drawings of the graph: whatever a link is called, the drawing keeps its shape."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.model.links.graph import Edge, EdgeKind, LinkGraph
from djlink_manifest.report.plan.graph import dot, mermaid
from tests.unit import plan_samples as samples

MERMAID_LINES = (
    r"flowchart LR",
    r'  subgraph s\d+\["[^"\[\]<>`]*"\]',
    r'    n\d+\["[^"\[\]<>`]*"\]',
    r"  end",
    r"  n\d+ (-->|-\.->)\|(depends_on|foreign key|depends_on, foreign key)\| n\d+",
)
KINDS: st.SearchStrategy[EdgeKind] = st.sampled_from(["foreign key", "depends_on"])
QUOTED = r'"(?:[^"\\]|\\.)*"'
DOT_LINES = (
    r"digraph djlink \{",
    r"  rankdir=LR;",
    r"  node \[shape=box\];",
    r"  subgraph cluster_\d+ \{",
    rf"    label={QUOTED};",
    rf"    {QUOTED} \[label={QUOTED}\];",
    r"  \}",
    rf'  {QUOTED} -> {QUOTED} \[label="[a-z_, ]+", style=(solid|dashed)\];',
    r"\}",
)


@st.composite
def graphs(draw: st.DrawFn) -> LinkGraph:
    """Graphs of links with any names; an edge runs from a later name to an earlier one: no cycles."""
    nodes = sorted(draw(st.sets(samples.NASTY, max_size=6)))
    edges = [
        Edge(child, parent, kind)
        for number, child in enumerate(nodes)
        for parent in nodes[:number]
        for kind in draw(st.sets(KINDS))
    ]
    return LinkGraph.build(nodes, edges)


@given(graphs())
def test_a_mermaid_drawing_keeps_its_shape_whatever_the_names(graph: LinkGraph) -> None:
    drawn = mermaid(graph)
    assert drawn.endswith("\n")
    lines = drawn.split("\n")[:-1]
    assert all(any(re.fullmatch(p, each) for p in MERMAID_LINES) for each in lines)
    assert sum(each.startswith("    n") for each in lines) == len(graph.nodes)
    assert sum("|" in each for each in lines) == len({(e.parent, e.child) for e in graph.edges})


@given(graphs())
def test_a_dot_drawing_keeps_its_shape_whatever_the_names(graph: LinkGraph) -> None:
    lines = dot(graph).split("\n")[:-1]
    assert all(any(re.fullmatch(p, each) for p in DOT_LINES) for each in lines)
    assert sum(" -> " in each and "style=" in each for each in lines) >= len(
        {(e.parent, e.child) for e in graph.edges}
    )


def test_an_order_that_only_the_manifest_asks_for_is_drawn_dashed() -> None:
    graph = LinkGraph.build(["a.b.C", "a.b.D"], [Edge("a.b.D", "a.b.C", "depends_on")])
    assert "n0 -.->|depends_on| n1" in mermaid(graph)
    assert '"a.b.C" -> "a.b.D" [label="depends_on", style=dashed];' in dot(graph)


def test_quotes_and_brackets_in_names_are_written_as_codes() -> None:
    graph = LinkGraph.build(['a.b."]<x>`'], [])
    assert 'n0["b.#34;#93;#60;x#62;#96;"]' in mermaid(graph)
    assert r'"a.b.\"]<x>`" [label="b.\"]<x>`"];' in dot(graph)
