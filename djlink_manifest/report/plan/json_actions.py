"""Render the actions of a plan as JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.reconcile.plan.actions import (
    Action,
    AddForeignKey,
    AlterLocal,
    Approve,
    ChangeLocal,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    GiveUp,
    MakeViews,
    Mend,
    Move,
    NoteDefinition,
    NoteFilled,
    NoteRequests,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.bounds import Bound, bounds_of
from djlink_manifest.reconcile.plan.written import writes_to

JSON = dict[str, Any]
_OfRows: TypeAlias = (
    Pull | PullAgain | Refill | Register | Release | GiveUp | Claim | Mend | Delete | Approve | NoteRequests
)
KINDS: Mapping[type[_OfRows], str] = {
    Pull: "pull",
    PullAgain: "pull_again",
    Refill: "refill",
    Register: "register",
    Release: "release",
    GiveUp: "give_up",
    Claim: "claim",
    Mend: "mend",
    Delete: "delete",
    Approve: "approve",
    NoteRequests: "note_requests",
}


def action_json(action: Action, source: str, sets: Mapping[str, str]) -> JSON:
    """Return an action of a link of this source: what is done, where it is written, what it is bound to.

    Definitions are told by their names and digests; `sets` are the digests of the link's sets of keys.
    """
    return {**_shown(action, source), "bound": [bound_json(each) for each in bounds_of(action, sets)]}


def bound_json(bound: Bound) -> JSON:
    """Return what something is bound to."""
    return asdict(bound)


def counts_json(pairs: Iterable[tuple[str, int]], name: str, count: str) -> list[JSON]:
    """Return numbers by name, each as an object with these two keys."""
    return [{name: each, count: number} for each, number in pairs]


def _shown(action: Action, source: str) -> JSON:
    written, names = {"writes_to": sorted(writes_to(action, source))}, tuple[str, ...]()
    match action:
        case CreateOutbound():
            return {"kind": "create_outbound", **_fields(action, "server", "tables", "reason"), **written} | {
                "definitions": _definitions(action.definitions)
            }
        case CreateLocal():
            names = ("tables", "reason", "server", "new_schema", "remade")
            definitions = _definitions(action.definitions)
            refill = action.refill is not None
            return {"kind": "create_local", **_fields(action, *names), **written} | {
                "definitions": definitions,
                "refill": refill,
            }
        case Move():
            tables = [{"from": old, "to": new} for old, new in action.tables]
            named = _fields(action, "before", "reason", "server")
            return {"kind": "move", **named, "tables": tables, **written}
        case MakeViews():
            return {"kind": "make_views", **_fields(action, "server", "views", "reason"), **written}
        case AlterLocal():
            names = ("table", "columns", "indexes", "reason", "server", "after_rows")
            refill = action.refill is not None
            return {"kind": "alter_local", **_fields(action, *names), "refill": refill, **written}
        case ChangeLocal():
            names = ("table", "changes", "cost", "rows", "bytes", "reason", "server")
            return {"kind": "change_local", **_fields(action, *names), **written}
        case CopyLineage():
            return {"kind": "copy_lineage", **_fields(action, "schemas", "reason", "server"), **written}
        case NoteDefinition():
            names = ("server", "digest", "reason", "after_rows")
            return {"kind": "note_definition", **_fields(action, *names), **written}
        case NoteFilled():
            return {"kind": "note_filled", **_fields(action, "reason", "server"), **written}
        case NoteServer():
            names = ("reason", "server", "upgrade")
            identity = action.local_server.identity if action.local_server else None
            return {"kind": "note_server", **_fields(action, *names), "identity": identity, **written}
        case AddForeignKey():
            names = ("table", "columns", "parent", "reason", "server")
            return {"kind": "add_foreign_key", **_fields(action, *names), **written}
        case _:
            return {**_rows(action), **written}


def _rows(action: _OfRows) -> JSON:
    """What is done with entities."""
    shown = {"kind": KINDS[type(action)], **asdict(action)}
    if isinstance(action, Pull):
        shown["parts"] = counts_json(action.parts, "part", "rows")
    if isinstance(action, Delete):
        shown["along"] = counts_json(action.along, "address", "entities")
        shown["rows"] = counts_json(action.rows, "table", "rows")
    return shown


def _fields(action: Action, *names: str) -> JSON:
    found = {name: getattr(action, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _definitions(definitions: Iterable[TableDefinition]) -> list[JSON]:
    return [{"table": f"{t.schema}.{t.name}", "digest": t.digest()} for t in definitions]
