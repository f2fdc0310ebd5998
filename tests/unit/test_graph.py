"""The graph of links against the field's graph library."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.errors import GraphError
from djlink_manifest.model.graph import Edge, LinkGraph

NODES = "abcdefg"
PAIRS = st.sets(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES + "?")))


@given(PAIRS, st.sets(st.sampled_from(NODES)))
def test_waves_reach_and_circles_are_those_of_the_graph_library(
    needs: set[tuple[str, str]], chosen: set[str]
) -> None:
    edges = [Edge(child, parent, "depends_on") for child, parent in needs]
    drawn: nx.DiGraph[str] = nx.DiGraph((p, c) for c, p in needs if p in NODES and c != p)
    drawn.add_nodes_from(NODES)
    if not nx.is_directed_acyclic_graph(drawn):
        with pytest.raises(GraphError) as error:
            LinkGraph.build(NODES, edges)
        steps = [tuple(line.split()[::2][:2]) for line in error.value.message.splitlines()[1:]]
        assert all(drawn.has_edge(parent, child) for child, parent in steps)
        assert all(one[1] == two[0] for one, two in zip(steps, [*steps[1:], steps[0]], strict=True))
        return
    graph = LinkGraph.build(NODES, edges)
    assert graph.waves() == tuple(tuple(sorted(wave)) for wave in nx.topological_generations(drawn))
    assert graph.upstream(chosen) == chosen.union(*(nx.ancestors(drawn, a) for a in chosen))
    assert graph.downstream(chosen) == chosen.union(*(nx.descendants(drawn, a) for a in chosen))
