"""A tree → the models of `values`, every misfit as a problem at its place.

Misfits are repaired for what follows (the key is taken out, what is missing is put in), so that the other
checks still run and all problems are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.options import Defaults, FallingOptions, Options
from djlink_manifest.manifest.models.servers import LocalSpec, ServerSpec, StoreSettings, TlsSpec
from djlink_manifest.manifest.models.values import Approval, Manifest, Moved, Removed, SchemaSpec, SourceSpec
from djlink_manifest.manifest.models.written import Model, data
from djlink_manifest.manifest.text.nodes import (
    Entry,
    Fields,
    Items,
    Leaf,
    Node,
    Step,
    Steps,
    child_of,
    dotted,
    plain,
    spot_of,
)
from djlink_manifest.manifest.text.problems import Problems, Spot, did_you_mean

_LEVELS: tuple[tuple[str, type[Model]], ...] = (
    ("", Manifest),
    ("local", LocalSpec),
    ("local.tls", TlsSpec),
    ("defaults", Defaults),
    ("sources.*", SourceSpec),
    ("sources.*.tls", TlsSpec),
    ("sources.*.store_settings.*", StoreSettings),
    ("sources.*.schemas.*", SchemaSpec),
    ("sources.*.schemas.*.tables.*", Options),
    ("removed.*", Removed),
    ("moved.*", Moved),
    ("approvals.*", Approval),
)
_PLACES: dict[type[Model], str] = {
    Manifest: "at the top level",
    ServerSpec: "in `local` or a source",
    LocalSpec: "in `local`",
    SourceSpec: "in a source",
    FallingOptions: "in `defaults`, a source, a schema or a table",
    SchemaSpec: "in a schema",
    Options: "in a table",
    TlsSpec: "below `tls`",
    StoreSettings: "in a store below `store_settings`",
    Removed: "in an entry of `removed`",
    Moved: "in an entry of `moved`",
    Approval: "in an entry of `approvals`",
}
_PLACEHOLDERS: dict[str, object] = {
    "manifest": 1,
    "name": "unnamed",
    "local": {"host": "localhost"},
    "host": "localhost",
    "tables": [],
    "protocol": "file",
    "table": "keep",
}
_MISSING_HELP = {
    "manifest": "write `manifest: 1`, the version of the format",
    "name": "write `name: my-lab`; it marks the tables that this manifest owns",
    "local": "name the local server: `local: {host: ...}`",
    "host": "write `host: db.lab.example`",
    "tables": 'write `tables: "*"` for all tables',
    "protocol": "write `protocol: file`, or s3, gcs or azure",
    "to": "write the present name: `{from: kyoto, to: kyoto2}`",
}
_NULL_HELP = {
    "schemas": 'write `{tables: "*"}`',
    "removed": "write `{table: keep}`",
    "sources": "write its `host`",
}
_GONE = object()
_TAKEN_OUT = Leaf(None, Spot(Location("", 1, 1)))
_QUOTE = "quote it to make it text"
_KINDS = {
    "string_type": ("must be text", _QUOTE),
    "int_type": ("must be a whole number", None),
    "bool_type": ("must be true or false", None),
    "model_type": ("must be a mapping of keys to values", None),
    "dict_type": ("must be a mapping of keys to values", None),
    "list_type": ("must be a list", "write it as `[one, two]`"),
}
_TAGGED = {
    "tables": ('must be a mapping, a list of names, or text such as "*"', None),
    "tls": ("must be true, false, or a mapping of `ca`, `cert` and `key`", None),
}
_STORE = ("must be a mapping of settings, or the name of a store", None)


def shaped(root: Fields, problems: Problems) -> tuple[Manifest | None, Fields]:
    """The model of a tree and the tree that it was made from, which may be repaired.

    The model is None where the tree is too far off to go on.
    """
    told: set[Steps] = set()
    root = _without_nulls(root, problems, (), told)
    for _ in range(4):
        try:
            return Manifest.model_validate(data(root, (), root)), root
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False, include_context=True)
        found = [(real_steps(root, fault["loc"]), fault) for fault in faults]
        for steps, fault in found:
            if steps not in told:
                _report(root, steps, fault, problems)
            told.add(steps)
        for steps, fault in found:
            root = _repaired(root, steps, fault["type"] == "missing")
        swept = _swept(root)
        root = swept if isinstance(swept, Fields) else root
    return None, root


def real_steps(root: Node, loc: Iterable[Step]) -> Steps:
    """pydantic's place as steps in the tree: the tags of unions, which stand for nothing in it, left out."""
    node: Node | None = root
    steps: list[Step] = []
    for step in loc:
        child = child_of(node, step)
        if child is not None:
            steps.append(step)
            node = child
        elif not str(step).startswith("["):
            steps.append(step)
            break
    return tuple(steps)


def _report(root: Fields, steps: Steps, fault: Mapping[str, Any], problems: Problems) -> None:
    kind, path = fault["type"], dotted(steps)
    name = next((s for s in reversed(steps) if isinstance(s, str)), "")
    shown = f"`{name}`" if steps and isinstance(steps[-1], str) else f"an item of `{name}`"
    if kind == "missing":
        parent = steps[:-1]
        what = f"`{dotted(parent)}` has no `{name}`" if parent else f"`{name}` is missing"
        problems.error(what, spot_of(root, parent, key=True), path, _MISSING_HELP.get(name))
    elif kind == "extra_forbidden":
        level = _level(steps[:-1])
        if level is not None and issubclass(level, ServerSpec | StoreSettings):
            problems.conceal(spot_of(root, steps))  # a password's key may be misspelt beyond recognition
        problems.error(f"unknown key `{name}`", spot_of(root, steps, key=True), path, _key_help(steps))
    elif kind == "literal_error":
        _report_choice(root, steps, fault["ctx"]["expected"], shown, problems)
    elif kind in {"union_tag_not_found", "union_tag_invalid"}:
        summary, help = _TAGGED.get(name, _STORE)  # a store's name is the user's own
        problems.error(f"{shown} {summary}", spot_of(root, steps), path, help)
    elif kind == "djlink":
        problems.error(f"{shown} {fault['msg']}", spot_of(root, steps), path)
    elif kind in _KINDS:
        summary, help = _KINDS[kind]
        problems.error(f"{shown} {summary}", spot_of(root, steps), path, help)
    else:
        problems.error(f"{shown}: {fault['msg'][:1].lower()}{fault['msg'][1:]}", spot_of(root, steps), path)


def _report_choice(root: Fields, steps: Steps, expected: str, shown: str, problems: Problems) -> None:
    choices = re.findall(r"'([^']*)'", expected) or [expected]
    value = plain(_at(root, steps))
    listed = ", ".join(f"`{c}`" for c in choices[:-1]) + (" or " if choices[1:] else "") + f"`{choices[-1]}`"
    help = did_you_mean(value, choices) if isinstance(value, str) else None
    if steps == ("manifest",):
        help = "this version of djlink reads version 1 of the format"
    problems.error(f"{shown} must be {listed}", spot_of(root, steps), dotted(steps), help)


def _at(root: Node, steps: Steps) -> Node:
    node = root
    for step in steps:
        node = child_of(node, step) or node
    return node


def _key_help(steps: Steps) -> str | None:
    """The nearest key of this level, else where the key belongs."""
    level = _level(steps[:-1])
    name = str(steps[-1])
    known = _keys(level) if level else []
    near = did_you_mean(name, known)
    if near and near.casefold() != f"did you mean `{name}`?":
        elsewhere = _belongs(name)
        return elsewhere or near
    return _belongs(name) or (f"valid keys: {', '.join(sorted(known))}" if known else None)


def _belongs(name: str) -> str | None:
    for level, where in _PLACES.items():
        if name in _keys(level):
            return f"`{name}` belongs {where}"
    return None


def _level(steps: Steps) -> type[Model] | None:
    for pattern, level in _LEVELS:
        wanted = pattern.split(".") if pattern else []
        if len(wanted) == len(steps) and all(w in {"*", s} for w, s in zip(wanted, steps, strict=True)):
            return level
    return None


def _keys(level: type[Model]) -> list[str]:
    return [info.alias or name for name, info in level.model_fields.items() if name not in level.own]


def _without_nulls(node: Fields, problems: Problems, steps: Steps, told: set[Steps]) -> Fields:
    """The mapping without keys that have no value; told, except where a table has no options."""
    entries: dict[str, Entry] = {}
    for key, entry in node.entries.items():
        key_path = (*steps, key)
        free = len(steps) >= 5 and steps[0] == "sources" and steps[2] == "schemas" and steps[4] == "tables"
        is_table, in_where = free and len(steps) == 5, free and len(steps) >= 6 and key == "where"
        if isinstance(entry.value, Leaf) and entry.value.value is None and not is_table:
            told.add(key_path)
            help = _NULL_HELP.get(str(steps[-1]) if steps else "", "give it a value, or remove the line")
            problems.error(
                f"`{key}` has no value", entry.spot, dotted(key_path), _MISSING_HELP.get(key, help)
            )
            continue
        if isinstance(entry.value, Fields) and not in_where:
            entry = replace(entry, value=_without_nulls(entry.value, problems, key_path, told))
        entries[key] = entry
    return replace(node, entries=entries)


def _repaired(root: Fields, steps: Steps, missing: bool) -> Fields:
    """The tree with a placeholder where something is missing, else without what does not fit."""
    if missing and steps[-1] in _PLACEHOLDERS:
        value = _PLACEHOLDERS[str(steps[-1])]
    else:
        steps, value = (steps[:-1] if missing else steps), _GONE
    changed = _changed(root, steps, value, root.spot)
    return changed if isinstance(changed, Fields) else root


def _changed(node: Node, steps: Steps, value: object, spot: Spot) -> Node:
    if not steps:
        return _TAKEN_OUT if value is _GONE else _node(value, spot)
    step, rest = steps[0], steps[1:]
    if isinstance(node, Fields) and isinstance(step, str):
        entry = node.entries.get(step) or Entry(step, spot, _TAKEN_OUT)
        changed = replace(entry, value=_changed(entry.value, rest, value, entry.spot))
        entries = {**node.entries, step: changed}
        return replace(node, entries={k: e for k, e in entries.items() if e.value is not _TAKEN_OUT})
    if isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
        changed_item = _changed(node.items[step], rest, value, spot)
        return replace(node, items=(*node.items[:step], changed_item, *node.items[step + 1 :]))
    return node


def _swept(node: Node) -> Node:
    """The node without the items that were taken out of lists; done last, so that indices hold until then."""
    if isinstance(node, Items):
        return replace(node, items=tuple(_swept(i) for i in node.items if i is not _TAKEN_OUT))
    if isinstance(node, Fields):
        return replace(node, entries={k: replace(e, value=_swept(e.value)) for k, e in node.entries.items()})
    return node


def _node(value: object, spot: Spot) -> Node:
    if isinstance(value, dict):
        return Fields({k: Entry(k, spot, _node(v, spot)) for k, v in value.items()}, spot)
    if isinstance(value, list):
        return Items(tuple(_node(v, spot) for v in value), spot)
    return Leaf(value, spot)  # type: ignore[arg-type] # placeholders hold scalars only
