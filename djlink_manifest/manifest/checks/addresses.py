"""Addresses of links: `depends_on`, `removed` and `approvals` name links that can be, and in no circle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal

from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.models.moves import followed
from djlink_manifest.manifest.models.names import (
    is_glob,
    matches,
    may_match,
    same_table,
    spellings,
    table_fault,
)
from djlink_manifest.manifest.models.values import (
    Approval,
    Manifest,
    Removed,
    SchemaSpec,
    SourceSpec,
    TableRule,
)
from djlink_manifest.manifest.text.nodes import Steps, dotted, spot_of, spot_of_item
from djlink_manifest.manifest.text.problems import did_you_mean
from djlink_manifest.model.next_steps import command
from djlink_manifest.model.tables.naming import class_name

FORM = "an address is `source.schema.Table`"


def check_addresses(at: Checked) -> None:
    """Note addresses that no link of the manifest has, links taken out that are still in, and circles."""
    _check_dependencies(at)
    for entry in at.manifest.removed:
        if entry.master is None:
            _check_removed(entry.address, at)
        else:
            _check_dropped_part(entry, at)
    seen: set[tuple[str, str]] = set()
    for approval in sorted(at.manifest.approvals, key=lambda each: each.origin.path[1]):
        _check_approval(approval, at)
        if (approval.link, approval.keys) in seen:
            steps = approval.origin.path
            at.warning(
                steps,
                f"the same deletions of `{approval.link}` are approved twice",
                "keep one of the two entries",
            )
        seen.add((approval.link, approval.keys))


def linked(schema: SchemaSpec, table: str) -> tuple[Literal["yes", "perhaps", "no"], TableRule | None]:
    """Whether a schema's rules link a table, known by its class or table name, and the rule where it is sure.

    A class name does not tell the table's tier, so that a glob on table names may or may not match it.
    """
    for rule in schema.rules:
        if not rule.is_glob and same_table(rule.pattern, table):
            return "yes", rule
    if any(may_match(pattern, table) for pattern in schema.exclude):
        return "no", None
    globs = [rule for rule in schema.rules if rule.is_glob]
    for rule in globs:
        if may_match(rule.pattern, table):
            return "yes", rule if len(globs) == 1 else None
    if any(matches(rule.pattern, name) for rule in globs for name in spellings(table)):
        return "perhaps", None
    return "no", None


def _found(address: str, manifest: Manifest) -> tuple[SourceSpec, SchemaSpec, str] | tuple[str, str | None]:
    """The parts of an address, or (what is wrong with it, help)."""
    words = address.split(".", 2)
    if len(words) != 3 or not all(word.strip() == word and word for word in words):
        return f"`{address}` is not the address of a link", FORM
    source = next((s for s in manifest.sources if s.name == words[0]), None)
    if source is None:
        moved = followed(address, manifest.moved)
        return (
            f"`{address}`: source `{words[0]}` does not exist",
            f"it has moved: write `{moved[-1]}`"
            if moved
            else did_you_mean(words[0], [s.name for s in manifest.sources]),
        )
    if is_glob(words[2]) or table_fault(words[2]):
        form = "a part is named by its table, such as `session__trial`" if "." in words[2] else FORM
        return f"`{address}`: `{words[2]}` is not the name of a single table that can be linked", form
    schema = next((s for s in source.schemas if s.name == words[1]), None)
    if schema is None:
        help = did_you_mean(words[1], [s.name for s in source.schemas])
        return f"`{address}`: source `{source.name}` has no schema `{words[1]}`", help
    return source, schema, words[2]


def _check_dependencies(at: Checked) -> None:
    edges: dict[str, list[str]] = {}
    places: dict[str, Steps] = {}
    for source, schema, rule in _rules(at.manifest):
        node = f"{source.name}.{schema.name}.{rule.pattern}"
        steps: Steps = ("sources", source.name, "schemas", schema.name, "tables", rule.pattern, "depends_on")
        places[node] = steps
        for address in rule.options.depends_on:
            parent = _dependency(address, node, rule, steps, at)
            if parent is not None:
                edges.setdefault(node, []).append(parent)
    for circle in circles(edges):
        shown = " → ".join([*circle, circle[0]])
        key_path = places[circle[0]]
        help = "remove one of these `depends_on`"
        at.error(key_path, f"`depends_on` forms a cycle: {shown}", help, key=True)


def _dependency(
    address: str,
    node: str,
    rule: TableRule,
    steps: Steps,
    at: Checked,
) -> str | None:
    """The exact table key that an address means, with problems noted; None where that is not known."""
    spot, path = spot_of_item(at.root, steps, address), dotted(steps)
    found = _found(address, at.manifest)
    if len(found) == 2:
        at.problems.error(f"`depends_on`: {found[0]}", spot, path, found[1])
        return None
    source, schema, table = found
    sure, parent = linked(schema, table)
    if sure == "no":
        names = [r.pattern for r in schema.rules if not r.is_glob]
        help = did_you_mean(table, names) or "link it, or remove it from `depends_on`"
        at.problems.error(f"`depends_on`: `{address}` is not linked", spot, path, help)
    if parent is rule:
        what = (
            "a table cannot depend on itself"
            if not rule.is_glob
            else f"`{rule.pattern}` matches `{table}` itself"
        )
        at.problems.error(f"`depends_on`: {what}", spot, path, "remove it, or give the table its own key")
        return None
    return None if parent is None or parent.is_glob else f"{source.name}.{schema.name}.{parent.pattern}"


def _check_removed(address: str, at: Checked) -> None:
    steps = ("removed", address)
    spot, path = spot_of(at.root, steps, key=True), dotted(steps)
    found = _found(address, at.manifest)
    if len(found) == 2:
        if "has no schema" in found[0]:
            return  # the schema went out together with its last link
        at.problems.error(
            f"`removed`: {found[0]}", spot, path, found[1] or "keep the source until `removed` is done"
        )
        return
    sure, rule = linked(found[1], found[2])
    if sure == "yes":
        place = f" at {rule.location}" if rule else ""
        help = "remove it from `tables`, or add it to `exclude` if a glob matches it"
        at.problems.error(f"`removed`: `{address}` is still linked{place}", spot, path, help)


def _check_dropped_part(entry: Removed, at: Checked) -> None:
    """A part that the source dropped: its master stays linked, and its local table stays."""
    steps = ("removed", entry.address)
    spot, path = spot_of(at.root, steps, key=True), dotted(steps)
    source, schema, _ = entry.place
    found = _found(f"{source}.{schema}.{entry.master}", at.manifest)
    if len(found) == 2:
        at.problems.error(f"`removed`: {found[0]}", spot, path, found[1])
    elif linked(found[1], found[2])[0] == "no":
        master = f"{source}.{schema}.{class_name(found[2])}"
        words = f"`removed`: `{entry.address}` is a part of `{master}`, which is not linked"
        at.problems.error(words, spot, path, "remove the entry: parts go with their master")
    elif entry.table != "keep":
        words = f"`removed`: `{entry.address}` is a part, whose local table is not dropped alone"
        at.problems.error(words, spot, path, "write `table: keep`, and drop the local part yourself")


def _check_approval(approval: Approval, at: Checked) -> None:
    steps = approval.origin.path

    key_path = (*steps, "link")
    address = (approval.link, *followed(approval.link, at.manifest.moved))[-1]
    found = _found(address, at.manifest)
    if len(found) == 2:
        at.warning(key_path, f"an approval for a table that is not linked: {found[0]}", found[1])
    elif linked(found[1], found[2])[0] == "no":
        at.warning(key_path, f"an approval for a table that is not linked: `{approval.link}`", "remove it")
    key_path = (*steps, "with")
    path = dotted(key_path)
    for address, _ in approval.along:
        if address.count(".") < 2 or address == approval.link:
            spot = spot_of(at.root, (*key_path, address), key=True)
            at.problems.error(f"`with`: `{address}` is not the address of another link", spot, path, FORM)
    key_path = (*steps, "until")
    if at.is_wrong(key_path):
        return
    hint = f"let {command('approve', approval.link)} write an entry for the present set"
    if bool(approval.until) == approval.orphans:
        words = "an approval needs either `until` or `orphans: true`"
        at.error(key_path if approval.until else steps, words, hint)
        return
    last = date.fromisoformat(approval.date) + timedelta(days=1)
    if approval.until and date.fromisoformat(approval.until[:10]) > last:
        words = (
            "`until` is later than the day of the approval, so the approval would cover requests that "
            "nobody has reviewed"
        )
        at.warning(key_path, words, hint)


def _rules(manifest: Manifest) -> Iterator[tuple[SourceSpec, SchemaSpec, TableRule]]:
    for source in manifest.sources:
        for schema in source.schemas:
            for rule in schema.rules:
                yield source, schema, rule


def circles(edges: dict[str, list[str]]) -> list[list[str]]:
    """Circles of the graph, at least one of each knot, each starting at its first node in order."""
    done: set[str] = set()
    found: list[list[str]] = []
    for start in sorted(edges):
        if start in done:
            continue
        path: list[str] = []
        pending: list[tuple[str, Iterator[str]]] = [(start, iter(edges[start]))]
        path.append(start)
        while pending:
            node, following = pending[-1]
            child = next(following, None)
            if child is None:
                pending.pop()
                path.pop()
                done.add(node)
            elif child in path:
                circle = path[path.index(child) :]
                first = circle.index(min(circle))
                found.append(circle[first:] + circle[:first])
            elif child not in done:
                path.append(child)
                pending.append((child, iter(edges.get(child, []))))
    return found
