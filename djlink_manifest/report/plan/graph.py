"""Draw the graph of links as mermaid or dot text; arrows point from a link to the links that need it."""

from __future__ import annotations

from djlink_manifest.model.links.graph import EdgeKind, LinkGraph
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.screen.terminal import plain


def plan_graph(plan: Plan) -> LinkGraph:
    """Return the graph of a plan's links."""
    addresses = tuple(sorted(link.address for link in plan.links))
    known = set(addresses)
    edges = (e for link in plan.links for e in link.needs if e.parent in known and e.child in known)
    return LinkGraph(addresses, tuple(sorted(set(edges))))


def mermaid(graph: LinkGraph) -> str:
    """Return a mermaid flowchart with a box for each link and a frame for each source server."""
    numbers = {address: f"n{number}" for number, address in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for number, (source, addresses) in enumerate(_by_source(graph)):
        lines.append(f'  subgraph s{number}["{_mermaid_text(source)}"]')
        lines += [f'    {numbers[a]}["{_mermaid_text(_within(source, a))}"]' for a in addresses]
        lines.append("  end")
    for parent, child, kinds in _arrows(graph):
        arrow = "-->" if "foreign key" in kinds else "-.->"
        lines.append(f"  {numbers[parent]} {arrow}|{', '.join(kinds)}| {numbers[child]}")
    return "\n".join(lines) + "\n"


def dot(graph: LinkGraph) -> str:
    """Return a Graphviz digraph with a box for each link and a cluster for each source server."""
    lines = ["digraph djlink {", "  rankdir=LR;", "  node [shape=box];"]
    for number, (source, addresses) in enumerate(_by_source(graph)):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(f"    label={_quoted_label(source)};")
        lines += [f"    {_quoted_label(a)} [label={_quoted_label(_within(source, a))}];" for a in addresses]
        lines.append("  }")
    for parent, child, kinds in _arrows(graph):
        style = "solid" if "foreign key" in kinds else "dashed"
        label = _quoted_label(", ".join(kinds))
        lines.append(f"  {_quoted_label(parent)} -> {_quoted_label(child)} [label={label}, style={style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _by_source(graph: LinkGraph) -> list[tuple[str, list[str]]]:
    sources: dict[str, list[str]] = {}
    for address in graph.nodes:
        sources.setdefault(address.partition(".")[0], []).append(address)
    return sorted(sources.items())


def _within(source: str, address: str) -> str:
    return address.removeprefix(f"{source}.") or address


def _arrows(graph: LinkGraph) -> list[tuple[str, str, list[EdgeKind]]]:
    kinds: dict[tuple[str, str], list[EdgeKind]] = {}
    for edge in graph.edges:
        kinds.setdefault((edge.parent, edge.child), []).append(edge.kind)
    return [(parent, child, sorted(set(each))) for (parent, child), each in sorted(kinds.items())]


def _mermaid_text(text: str) -> str:
    return "".join(c if c.isalnum() or c in " _.-" else f"#{ord(c)};" for c in plain(text))


def _quoted_label(text: str) -> str:
    escaped = plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
