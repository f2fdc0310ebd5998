"""The graph of links: who must exist before whom, in waves.

A pure wrapper of networkx (the field's graph library); an edge runs from a link to each link it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import networkx as nx

EdgeKind = Literal["foreign key", "depends_on"]


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`child` needs `parent`, because of a foreign key at the source or a `depends_on` of the manifest."""

    child: str
    parent: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class LinkGraph:
    """Links by address, and the edges between them, both sorted, in no circle (`build`)."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]

    @staticmethod
    def build(nodes: Iterable[str], edges: Iterable[Edge]) -> LinkGraph:
        """The graph of these links; edges to links that are not among them are left out.

        Circles are cut before (`reconcile.circles`). Raises ValueError where one is left.
        """
        known = set(nodes)
        kept = sorted({e for e in edges if e.child in known and e.parent in known and e.child != e.parent})
        left = circles((e.child, e.parent) for e in kept)
        if left:
            raise ValueError(f"links in a circle: {left}")
        return LinkGraph(tuple(sorted(known)), tuple(kept))

    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The links of each topological generation, upstream first, sorted within a wave."""
        return tuple(tuple(sorted(wave)) for wave in nx.topological_generations(self._networkx()))

    def parents(self, address: str) -> tuple[str, ...]:
        """The links that `address` needs directly."""
        return tuple(sorted({e.parent for e in self.edges if e.child == address}))

    def upstream(self, addresses: Iterable[str]) -> frozenset[str]:
        """The links and everything they need."""
        return self._reach(addresses, nx.ancestors)

    def downstream(self, addresses: Iterable[str]) -> frozenset[str]:
        """The links and everything that needs them."""
        return self._reach(addresses, nx.descendants)

    def groups(self) -> tuple[frozenset[str], ...]:
        """The links in groups that are connected, over links that need or are needed."""
        return tuple(map(frozenset, nx.connected_components(self._networkx().to_undirected())))

    def subset(self, addresses: Iterable[str]) -> LinkGraph:
        """The graph of only these links."""
        kept = set(addresses)
        return LinkGraph(
            tuple(n for n in self.nodes if n in kept),
            tuple(e for e in self.edges if e.child in kept and e.parent in kept),
        )

    def _reach(
        self, addresses: Iterable[str], reach: Callable[[nx.DiGraph[str], str], set[str]]
    ) -> frozenset[str]:
        graph = self._networkx()
        found = {a for a in addresses if a in graph}
        for address in tuple(found):
            found |= reach(graph, address)
        return frozenset(found)

    def _networkx(self) -> nx.DiGraph[str]:
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from((e.parent, e.child) for e in self.edges)
        return graph


def circles(needs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The groups of links that need each other, given as (child, parent) pairs, sorted, each sorted.

    A link that needs only itself is in no group.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from(sorted(set(needs)))
    return tuple(sorted(tuple(sorted(g)) for g in nx.strongly_connected_components(graph) if len(g) > 1))


def circle_through(needs: Iterable[tuple[str, str]], child: str, parent: str) -> tuple[str, ...]:
    """A shortest way along (child, parent) pairs from `child` over `parent` back to `child`.

    Raises ValueError where there is none.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from(sorted(set(needs)))
    try:
        return (child, *nx.shortest_path(graph, parent, child))
    except (nx.NetworkXNoPath, nx.NodeNotFound) as error:
        raise ValueError(f"{child} and {parent} are in no circle") from error
