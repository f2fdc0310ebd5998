"""The tree of a manifest's values: mappings, lists and single values that know their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from djlink_manifest.errors import Location
from djlink_manifest.manifest.text.problems import Spot
from djlink_manifest.manifest.text.scalars import Surprise
from djlink_manifest.model.links.selection import Scalar

Step = str | int
Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value. `surprise` says why it must be quoted; `value` is then its text."""

    value: Scalar
    spot: Spot
    surprise: Surprise | None = None
    size: int = 1
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Items:
    """A list of nodes."""

    items: tuple[Node, ...]
    spot: Spot
    size: int = 1
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value; `spot` is the key's."""

    key: str
    spot: Spot
    value: Node


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, its keys in the order of the text."""

    entries: dict[str, Entry]
    spot: Spot
    size: int = 1
    depth: int = 1

    def get(self, key: str) -> Node | None:
        """The value of a key; None where there is none."""
        entry = self.entries.get(key)
        return entry.value if entry else None


Node: TypeAlias = Leaf | Items | Fields


def plain(node: Node) -> object:
    """The node as dicts, lists and scalars."""
    match node:
        case Leaf():
            return node.value
        case Items():
            return [plain(item) for item in node.items]
        case Fields():
            return {key: plain(entry.value) for key, entry in node.entries.items()}


def dotted(steps: Iterable[Step]) -> str:
    """`sources.lab_a.tables[0]`, as diagnostics name places."""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")


def child_of(node: Node | None, step: Step) -> Node | None:
    """The node one step below, None where there is none."""
    if isinstance(node, Fields) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def node_at(root: Node, steps: Iterable[Step]) -> Node | None:
    """The node that the steps lead to, None where they lead nowhere."""
    node: Node | None = root
    for step in steps:
        node = child_of(node, step)
    return node


def spot_of(root: Fields, steps: Steps, key: bool = False) -> Spot:
    """The place of a single value; of its key for mappings, lists and nothing, and where `key` is asked for;
    of the nearest ancestor where there is none."""
    node: Node = root
    spot = root.spot
    for number, step in enumerate(steps, start=1):
        child = child_of(node, step)
        if child is None:
            break
        shows = number == len(steps) and not key and isinstance(child, Leaf) and child.value is not None
        spot = node.entries[str(step)].spot if isinstance(node, Fields) and not shows else child.spot
        node = child
    return spot


def spot_of_item(root: Fields, steps: Steps, value: Scalar) -> Spot:
    """The place of the first item of the list at `steps` that is `value`; of the list where there is none."""
    node = node_at(root, steps)
    found = (
        (i.spot for i in node.items if isinstance(i, Leaf) and i.value == value)
        if isinstance(node, Items)
        else ()
    )
    return next(iter(found), spot_of(root, steps))


def table_keys(root: Fields, schema: Steps) -> Iterator[tuple[str, Steps, Spot]]:
    """Yield (pattern, path, place) of every key below `tables` of a schema, in any of its three forms."""
    steps = (*schema, "tables")
    match node_at(root, steps):
        case Leaf(value=str() as text, spot=spot):
            yield text, steps, spot
        case Items(items=items):
            for index, item in enumerate(items):
                if isinstance(item, Leaf) and isinstance(item.value, str):
                    yield item.value, (*steps, index), item.spot
        case Fields(entries=entries):
            for key, entry in entries.items():
                yield key, (*steps, key), entry.spot


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in a manifest a value stands: its path in the tree, which is the table of all places.

    Two origins are equal where their paths are.
    """

    path: Steps
    tree: Fields = field(repr=False, compare=False)

    @staticmethod
    def outside(location: Location, *path: Step) -> Origin:
        """The origin of a value that no manifest file holds; all that is below it stands at `location`."""
        return Origin(path, Fields({}, Spot(location)))

    @property
    def name(self) -> str:
        """The last step of the path."""
        return str(self.path[-1])

    @property
    def location(self) -> Location:
        """The place of the key; of the nearest ancestor where the tree has no such key."""
        return spot_of(self.tree, self.path, key=True).location

    @property
    def node(self) -> Node | None:
        """The node that the path leads to, None where there is none."""
        return node_at(self.tree, self.path)

    def below(self, *steps: Step) -> Origin:
        """The origin of what stands further down."""
        return Origin((*self.path, *steps), self.tree)
