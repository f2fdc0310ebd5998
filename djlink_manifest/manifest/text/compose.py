"""YAML events → nodes. Nesting is bounded before anything recurses, and one aliased value is one node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import yaml

from djlink_manifest.errors import Location
from djlink_manifest.manifest.text.nodes import Entry, Fields, Items, Leaf, Node
from djlink_manifest.manifest.text.problems import Problems, Spot, did_you_mean, looks_secret
from djlink_manifest.manifest.text.references import only_references
from djlink_manifest.manifest.text.scalars import Surprise, typed

MAX_NODES = 400_000  # counted with every alias written out
MAX_DEPTH = 60

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}
_MAP_TAG, _SEQ_TAG = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


class Stop(Exception):
    """The text cannot be read any further; the problem is noted."""


@dataclass(slots=True)
class Composer:
    """Makes one tree from one text. Problems that leave the tree readable are noted, others raise `Stop`."""

    text: str
    file: str
    problems: Problems
    anchors: dict[str, Node | None] = field(default_factory=dict)
    events: Iterator[yaml.Event] = field(init=False)

    def document(self) -> Node | None:
        """The one document of the stream; None for an empty stream."""
        self.events = iter(yaml.parse(self.text, Loader=LOADER))
        next(self.events)
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        root = self.node(next(self.events), 1)
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.stop(
                "a manifest must be a single YAML document",
                event,
                "put the second document into a separate file",
            )
        return root

    def node(self, event: yaml.Event, depth: int, key: str = "") -> Node:
        """The node that starts with an event."""
        if depth > MAX_DEPTH:
            raise self.stop(f"nesting is deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, yaml.AliasEvent):
            return self.aliased(event, key)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            if anchor in self.anchors:
                raise self.stop(
                    "an anchor with this name is set twice", event, "give each anchor a different name"
                )
            self.anchors[anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self.leaf(event, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(event, depth)
        else:
            raise AssertionError(event)
        if node.size > MAX_NODES:
            raise self.stop(f"with its aliases expanded, the file has more than {MAX_NODES} values", event)
        if node.depth > MAX_DEPTH:
            raise self.stop(f"with its aliases expanded, nesting is deeper than {MAX_DEPTH} levels", event)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def aliased(self, event: yaml.AliasEvent, key: str) -> Node:
        """The node that an alias stands for."""
        name = event.anchor or ""
        if name not in self.anchors:
            help = None if looks_secret(key) else did_you_mean(f"*{name}", [f"*{a}" for a in self.anchors])
            raise self.stop(
                "an alias (`*`) without an anchor (`&`) before it",
                event,
                help or "quote text that starts with `*`",
            )
        node = self.anchors[name]
        if node is None:
            raise self.stop("an alias refers to an anchor that contains it", event)
        return node

    def leaf(self, event: yaml.ScalarEvent, key: str) -> Leaf:
        """A single value."""
        spot = self.spot(event)
        if looks_secret(key) and not only_references(event.value):
            self.problems.conceal(spot)
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise self.stop(
                "an unknown tag (`!`)", event, "manifests do not use tags; quote text that starts with `!`"
            )
        if event.tag is not None or not event.implicit[0]:
            return Leaf(event.value, spot)
        value = typed(event.value)
        if isinstance(value, Surprise):
            return Leaf(event.value, spot, value)
        return Leaf(value, spot)

    def sequence(self, start: yaml.SequenceStartEvent, depth: int) -> Items:
        """A list."""
        if start.tag not in {None, "!", _SEQ_TAG}:
            raise self.stop("an unknown tag (`!`)", start, "manifests do not use tags")
        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
            size += items[-1].size
        spot = self.spot(start, event)
        return Items(tuple(items), spot, size, 1 + max((i.depth for i in items), default=0))

    def mapping(self, start: yaml.MappingStartEvent, depth: int) -> Fields:
        """A mapping, what `<<` brings along last."""
        if start.tag not in {None, "!", _MAP_TAG}:
            raise self.stop("an unknown tag (`!`)", start, "manifests do not use tags")
        entries: dict[str, Entry] = {}
        merged: list[Fields] = []
        seen_merge = False
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if (
                isinstance(event, yaml.ScalarEvent)
                and event.value == "<<"
                and event.implicit[0]
                and event.tag is None
            ):
                if seen_merge:
                    self.problems.error(
                        "`<<` occurs twice in one mapping", self.spot(event), help="`<<: [*one, *two]`"
                    )
                seen_merge = True
                merged += self.merge_sources(next(self.events), depth)
                continue
            entry = self.entry(event, depth)
            if (first := entries.get(entry.key)) is not None:
                self.problems.error(
                    f"the key `{entry.key}` occurs twice in one mapping",
                    entry.spot,
                    help=f"it first occurs in line {first.spot.location.line}; keep one of them",
                )
                continue
            entries[entry.key] = entry
        for source in merged:
            entries = entries | {k: e for k, e in source.entries.items() if k not in entries}
        size = 1 + sum(1 + e.value.size for e in entries.values())
        spot = self.spot(start, event)
        return Fields(entries, spot, size, 1 + max((e.value.depth for e in entries.values()), default=0))

    def entry(self, event: yaml.Event, depth: int) -> Entry:
        """A key and its value."""
        if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            after_dollar = self.text[: mark(event).index].endswith("$")
            help = (
                'quote a reference: "${env:NAME}"'
                if after_dollar
                else "quote text that starts with `{` or `[`"
            )
            raise self.stop("a key must be text", event, help)
        if not isinstance(event, yaml.ScalarEvent):
            raise self.stop("a key must be text, not an alias", event)
        leaf = self.leaf(event, "")
        if event.anchor is not None:
            raise self.stop("an anchor (`&`) on a key", event, "put it on the value")
        key = leaf.value if isinstance(leaf.value, str) else event.value
        if leaf.surprise is not None or not isinstance(leaf.value, str):
            help = f'quote it: "{key}"' if key else "write a key before the colon"
            self.problems.error(
                f"the key `{key}` must be quoted to be text" if key else "a key is missing",
                leaf.spot,
                help=help,
            )
        return Entry(key, leaf.spot, self.node(next(self.events), depth + 1, key))

    def merge_sources(self, event: yaml.Event, depth: int) -> list[Fields]:
        """The mappings that `<<` names, the first one winning."""
        node = self.node(event, depth + 1)
        sources = node.items if isinstance(node, Items) else (node,)
        found = [each for each in sources if isinstance(each, Fields)]
        if len(found) != len(sources):
            self.problems.error(
                "`<<` requires a mapping or a list of mappings", self.spot(event), help="write `<<: *anchor`"
            )
        return found

    def spot(self, start: yaml.Event, end: yaml.Event | None = None) -> Spot:
        """Where an event stands, or everything from one to another."""
        first, last = mark(start), mark(end or start, end=True)
        width = last.column - first.column if last.line == first.line else 1
        place = Location(self.file, first.line + 1, first.column + 1)
        return Spot(place, max(1, width), last.line - first.line + 1)

    def stop(self, summary: str, event: yaml.Event, help: str | None = None) -> Stop:
        """Note a problem after which nothing can be read; the caller raises what it returns."""
        self.problems.error(summary, self.spot(event), help=help)
        return Stop()


class ParserMark(Protocol):
    """What the parsers in C and in Python call a place."""

    @property
    def line(self) -> int:
        """The line, from 0."""

    @property
    def column(self) -> int:
        """The character in the line, from 0."""

    @property
    def index(self) -> int:
        """The character in the text, from 0."""


def mark(event: yaml.Event | yaml.Node | yaml.Token, end: bool = False) -> ParserMark:
    """Where what a parser found starts or ends; all of it has both."""
    place: ParserMark | None = event.end_mark if end else event.start_mark
    assert place is not None  # only events made by hand lack marks
    return place
