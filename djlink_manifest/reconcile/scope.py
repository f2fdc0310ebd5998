"""Which links of a manifest a command is about: `--target` and `--exclude`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.match import nearest
from djlink_manifest.model.graph import LinkGraph


def scope_of(
    graph: LinkGraph,
    targets: Sequence[str],
    excludes: Sequence[str],
    below: bool,
    removed: Collection[str] = (),
) -> tuple[frozenset[str], frozenset[str]]:
    """The links of these addresses or globs, with all that they need; `below`: and all that needs them.

    Without those excluded, and without what needs them. And those of the links taken out, `removed`, that are
    named, or all where none is. Raises UsageError for what names no link.
    """
    nodes, going = frozenset(graph.nodes), frozenset(removed)
    named = matching(nodes | going, targets, "--target") if targets else nodes | going
    out = matching(nodes | going, excludes, "--exclude")
    wanted = named & nodes
    scope = graph.upstream(graph.downstream(wanted) if below else wanted)
    return scope - graph.downstream(out & nodes), going.intersection(named) - out


def matching(known: Collection[str], patterns: Sequence[str], option: str) -> set[str]:
    """The links that addresses or globs name. Raises UsageError where one names none."""
    found = set[str]()
    for pattern in patterns:
        matched = {a for a in known if fnmatchcase(a, pattern)}
        if not matched:
            close = nearest(pattern, sorted(known))
            hint = f"did you mean `{close}`?" if close else "`djlink status` lists the links"
            raise UsageError(f"{option} {pattern}: no link of this manifest", hint=hint)
        found |= matched
    return found
