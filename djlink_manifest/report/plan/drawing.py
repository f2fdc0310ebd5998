"""Draw the graph of a plan's links as SVG: a column for each wave, parents on the left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.report.plan.graph import plan_graph
from djlink_manifest.report.plan.totals import of_link
from djlink_manifest.report.screen.terminal import plain

LONGEST = 34  # characters of a name in a box; the rest is in its title
CHARACTER, PADDING = 7.4, 10  # width in pixels of a character of the font, and beside the name
HEIGHT, STEP, GAP, MARGIN, TITLE = 22, 32, 70, 16, 24


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    width: float

    @property
    def middle(self) -> float:
        return self.top + HEIGHT / 2


def drawing(plan: Plan, anchor: Callable[[str], str], shown: Mapping[str, bool]) -> str:
    """Return the graph as SVG; boxes of links that are `shown` lead to their entries."""
    boxes = _placed(plan)
    if not boxes:
        return ""
    width = max(box.left + box.width for box in boxes.values()) + MARGIN
    height = max(box.top for box in boxes.values()) + HEIGHT + MARGIN
    graph = plan_graph(plan)
    kinds: dict[tuple[str, str], set[str]] = {}
    for edge in graph.edges:
        kinds.setdefault((edge.parent, edge.child), set()).add(edge.kind)
    paths = "".join(_path(boxes[p], boxes[c], each) for (p, c), each in sorted(kinds.items()))
    waves = {link.wave: boxes[link.address] for link in plan.links}
    titles = "".join(
        f'<text class="wave" x="{box.left:.0f}" y="{TITLE:.0f}">wave {wave}</text>'
        for wave, box in sorted(waves.items())
    )
    nodes = "".join(_node(link, boxes[link.address], anchor, shown) for link in plan.links)
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{titles}{paths}{nodes}</svg>'


def _placed(plan: Plan) -> dict[str, _Box]:
    """The boxes by address; in a column those near the mean of their parents come together."""
    boxes, left = dict[str, _Box](), float(MARGIN)
    for wave in plan.waves:
        if not wave:
            continue
        width = max(len(_name(link.address)) for link in wave) * CHARACTER + 2 * PADDING
        for number, link in enumerate(sorted(wave, key=lambda each: _order(each, boxes))):
            boxes[link.address] = _Box(left, TITLE + 12 + number * STEP, width)
        left += width + GAP
    return boxes


def _order(link: LinkPlan, boxes: Mapping[str, _Box]) -> tuple[float, str]:
    parents: Sequence[float] = [boxes[each].top for each in link.after if each in boxes]
    return (sum(parents) / len(parents) if parents else 0.0, link.address)


def _path(parent: _Box, child: _Box, kinds: set[str]) -> str:
    start, end = parent.left + parent.width, child.left
    middle = (start + end) / 2
    style = "" if "foreign key" in kinds else ' class="asked"'
    line = (
        f"M{start:.0f} {parent.middle:.0f}C{middle:.0f} {parent.middle:.0f} {middle:.0f} {child.middle:.0f}"
    )
    return f'<path{style} d="{line} {end:.0f} {child.middle:.0f}"/>'


def _node(link: LinkPlan, box: _Box, anchor: Callable[[str], str], shown: Mapping[str, bool]) -> str:
    name, words = _name(link.address), _state(link)
    text = f'<text x="{box.left + PADDING:.0f}" y="{box.top + 15:.0f}">{escape(name)}</text>'
    rect = f'<rect x="{box.left:.0f}" y="{box.top:.0f}" width="{box.width:.0f}" height="{HEIGHT}" rx="4"/>'
    title = f"<title>{escape(plain(link.address))}: {words[1]}</title>"
    inside = f"{title}{rect}{text}"
    if shown.get(link.address):
        inside = f'<a href="#{anchor(link.address)}">{inside}</a>'
    return f'<g class="{words[0]}" data-node="{escape(plain(link.address))}">{inside}</g>'


def _name(address: str) -> str:
    shown = plain(address)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2 - 1]}…{shown[-LONGEST // 2 :]}"


def _state(link: LinkPlan) -> tuple[str, str]:
    """The color of a link's box, and what it stands for."""
    totals = of_link(link)
    if totals.blocked or totals.not_attempted or totals.blocked_rows or totals.drifting:
        return "yellow", "blocked or drifted"
    if totals.delete or totals.approve or totals.release:
        return "red", "rows go"
    if totals.awaiting:
        return "magenta", "awaits approval"
    if totals.create or totals.complete or totals.pull:
        return "green", "rows or tables come"
    return ("cyan", "changes") if link.actions else ("dim", "unchanged")
