"""The graph of links: who must exist before whom, in waves.

An edge runs from a link to each link it needs. The standard library sorts it: a graph library would take a
quarter of the time that an empty plan may take, to be loaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from djlink_manifest.errors import GraphError

EdgeKind = Literal["foreign key", "depends_on"]


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`child` needs `parent`, because of a foreign key at the source or a `depends_on` of the manifest."""

    child: str
    parent: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class LinkGraph:
    """Links by address, and the edges between them, both sorted. Free of cycles by construction (`build`)."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]

    @staticmethod
    def build(nodes: Iterable[str], edges: Iterable[Edge]) -> LinkGraph:
        """The graph of these links; edges to links that are not among them are left out.

        Raises GraphError that names a cycle link by link.
        """
        known = set(nodes)
        kept = sorted({e for e in edges if e.child in known and e.parent in known and e.child != e.parent})
        graph = LinkGraph(tuple(sorted(known)), tuple(kept))
        try:
            graph._sorter().prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
        else:
            return graph
        kinds = {(e.child, e.parent): e.kind for e in kept}
        # it runs parent → child; the message reads child → parent: who needs whom
        steps = list(zip(cycle[:0:-1], cycle[-2::-1], strict=True))
        lines = [f"  {child} needs {parent} ({kinds[child, parent]})" for child, parent in steps]
        raise GraphError(
            "these links need each other in a circle:\n" + "\n".join(lines),
            hint="take out a `depends_on`, or one of the links",
            link=steps[0][0],
        )

    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The links of each topological generation, upstream first, sorted within a wave."""
        sorter, found = self._sorter(), list[tuple[str, ...]]()
        sorter.prepare()
        while sorter.is_active():
            wave = sorter.get_ready()
            found.append(tuple(sorted(wave)))
            sorter.done(*wave)
        return tuple(found)

    def parents(self, address: str) -> tuple[str, ...]:
        """The links that `address` needs directly."""
        return tuple(sorted({e.parent for e in self.edges if e.child == address}))

    def upstream(self, addresses: Iterable[str]) -> frozenset[str]:
        """The links and everything they need."""
        return self._reach(addresses, ((e.child, e.parent) for e in self.edges))

    def downstream(self, addresses: Iterable[str]) -> frozenset[str]:
        """The links and everything that needs them."""
        return self._reach(addresses, ((e.parent, e.child) for e in self.edges))

    def subset(self, addresses: Iterable[str]) -> LinkGraph:
        """The graph of only these links."""
        kept = set(addresses)
        return LinkGraph(
            tuple(n for n in self.nodes if n in kept),
            tuple(e for e in self.edges if e.child in kept and e.parent in kept),
        )

    def _reach(self, addresses: Iterable[str], steps: Iterable[tuple[str, str]]) -> frozenset[str]:
        """The links and all that these steps lead to from them."""
        nearest = defaultdict[str, list[str]](list)
        for start, end in steps:
            nearest[start].append(end)
        found = set(self.nodes).intersection(addresses)
        rest = list(found)
        while rest:
            new = set(nearest[rest.pop()]) - found
            found |= new
            rest.extend(new)
        return frozenset(found)

    def _sorter(self) -> TopologicalSorter[str]:
        sorter = TopologicalSorter[str](dict.fromkeys(self.nodes, ()))
        for edge in self.edges:
            sorter.add(edge.child, edge.parent)
        return sorter
