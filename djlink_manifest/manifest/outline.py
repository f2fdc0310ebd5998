"""The names that manifest files declare, read quickly and without an error, for completion at a shell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from djlink_manifest.manifest.text.nodes import Fields, Items, Leaf, Node
from djlink_manifest.manifest.text.problems import Problems
from djlink_manifest.manifest.text.tree import parse

MOST_BYTES = 1_000_000  # a person waits for it


@dataclass(frozen=True, slots=True)
class Outline:
    """Sources with their schemas, and these with the keys of their `tables`, globs among them."""

    sources: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def outline(paths: Sequence[str | Path]) -> Outline:
    """Return the names in manifests: what can be read of them, whatever is wrong elsewhere. Never raises.

    Later files add to earlier ones and may take names out, as when they are read as a manifest.
    """
    found = Outline()
    for path in _files(paths):
        for source, entry in _mapping(_tree(path), "sources"):
            if _is_nothing(entry):
                found.sources.pop(source, None)
                continue
            schemas = found.sources.setdefault(source, {})
            for schema, below in _mapping(entry, "schemas"):
                if _is_nothing(below):
                    schemas.pop(schema, None)
                    continue
                _add_tables(schemas.setdefault(schema, []), below)
    return found


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for each in map(Path, paths):
        try:
            inside = (
                sorted(p for p in each.glob("*.yaml") if not p.name.startswith("."))
                if each.is_dir()
                else [each]
            )
            yield from (p for p in inside if p.is_file() and p.stat().st_size <= MOST_BYTES)
        except (OSError, ValueError):
            continue


def _tree(path: Path) -> Fields | None:
    try:
        return parse(path.read_bytes(), str(path), Problems())
    except Exception:  # whatever is wrong with it, somebody is typing
        return None


def _mapping(node: Node | None, key: str) -> Iterator[tuple[str, Node]]:
    """Yield the entries of a mapping below a key; nothing where there is none."""
    below = node.get(key) if isinstance(node, Fields) else None
    if isinstance(below, Fields):
        yield from ((name, entry.value) for name, entry in below.entries.items())


def _add_tables(tables: list[str], schema: Node) -> None:
    below = schema.get("tables") if isinstance(schema, Fields) else None
    match below:
        case Fields():
            for name, entry in below.entries.items():
                if name not in tables:
                    tables.append(name)
                elif _is_nothing(entry.value):
                    tables.remove(name)
        case Items():
            tables[:] = [str(each.value) for each in below.items if isinstance(each, Leaf)]
        case Leaf() if not _is_nothing(below):
            tables[:] = [str(below.value)]
        case _:
            pass


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Leaf) and node.value is None
