"""Several files → one tree: laid over each other, or side by side. Every node keeps its own place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from djlink_manifest.manifest.text.nodes import Entry, Fields, Items, Leaf, Node, plain
from djlink_manifest.manifest.text.problems import Problems, did_you_mean

Path = tuple[str, ...]

APPROVALS = "approvals.yaml"  # is read without being named, where it lies beside a manifest
IN_EACH = (("manifest",), ("name",))  # values that every file may repeat
JOINED = (("approvals",), ("moved",))  # lists of which every file may have a part


def overlaid(base: Fields, upper: Fields, problems: Problems, path: Path = ()) -> Fields:
    """`upper` over `base`: mappings by key, `null` removes, `JOINED` lists are joined, all else is replaced.

    A table's `where` is one value, not a mapping to merge: in it `null` means NULL. A `null` for a key that
    `base` lacks is a problem: it removes nothing.
    """
    entries = dict(base.entries)
    for key, entry in upper.entries.items():
        below = entries.get(key)
        if isinstance(entry.value, Leaf) and entry.value.value is None:
            if below is None:
                _nothing_to_remove(base, entry, problems, path)
            entries.pop(key, None)
        elif below is None:
            entries[key] = entry
        elif (
            isinstance(below.value, Fields)
            and isinstance(entry.value, Fields)
            and not _is_where((*path, key))
        ):
            entries[key] = replace(below, value=overlaid(below.value, entry.value, problems, (*path, key)))
        elif (*path, key) in JOINED and isinstance(below.value, Items) and isinstance(entry.value, Items):
            entries[key] = replace(below, value=joined(below.value, entry.value))
        else:
            entries[key] = entry
    return replace(base, entries=entries)


def beside(files: Sequence[Fields], problems: Problems) -> Fields:
    """The files of a directory as one mapping: the same key twice is a problem, `JOINED` lists are joined.

    `manifest`, the version, and `name` may stand in each.
    """
    result = files[0]
    for other in files[1:]:
        result = _beside(result, other, problems, ())
    return result


def joined(first: Items, second: Items) -> Items:
    """The items of both lists."""
    return replace(first, items=first.items + second.items)


def _beside(one: Fields, other: Fields, problems: Problems, path: Path) -> Fields:
    entries = dict(one.entries)
    for key, entry in other.entries.items():
        present = entries.get(key)
        where = (*path, key)
        if present is None:
            entries[key] = entry
        elif isinstance(present.value, Fields) and isinstance(entry.value, Fields) and not _is_where(where):
            entries[key] = replace(present, value=_beside(present.value, entry.value, problems, where))
        elif where in JOINED and isinstance(present.value, Items) and isinstance(entry.value, Items):
            entries[key] = replace(present, value=joined(present.value, entry.value))
        elif where not in IN_EACH or _text(present.value) != _text(entry.value):
            problems.error(
                f"the key `{key}` occurs in two files of one directory",
                entry.spot,
                ".".join(where),
                f"the other is at {present.spot.location}; keep one, or name the files separately with -f, "
                "so that the later one overrides",
            )
    return replace(one, entries=entries)


def _is_where(path: Path) -> bool:
    return len(path) == 7 and path[0] == "sources" and path[4] == "tables" and path[6] == "where"


def _text(node: Node) -> str:
    return repr(plain(node))


def _nothing_to_remove(base: Fields, entry: Entry, problems: Problems, path: Path) -> None:
    table = len(path) == 5 and path[0] == "sources" and path[2] == "schemas" and path[4] == "tables"
    near = did_you_mean(entry.key, base.entries)
    problems.error(
        f"no earlier file has `{entry.key}` here to remove",
        entry.spot,
        ".".join((*path, entry.key)),
        near or (f"to add a table without options write `{entry.key}: {{}}`" if table else "remove the line"),
    )
