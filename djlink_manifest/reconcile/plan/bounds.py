"""What an action is bound to, as digests: another plan of the same manifest is compared by them. Pure.

Actions on tables are bound to what they make, one digest for each table, view, column or index, so that what
is left of an interrupted action is part of what was planned. Actions that delete or give up protection are
bound to the set of keys. Rows that come are bound by their number alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeAlias

from djlink_manifest.model.server.catalog import Mark
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
    NoteServer,
    Release,
)
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.state.plan_keys import requested_set

Letting: TypeAlias = Claim | Delete | Approve | Mend | Release | GiveUp
"""An action that deletes rows or gives up protection."""

SETS = {"granted": "granted", "auto": "requested", "orphans": "orphans"}


@dataclass(frozen=True, slots=True)
class Bound:
    """One thing that an action makes, changes or lets go: what it is, and a digest of all that decides it."""

    what: str
    digest: str


def bounds_of(action: Action, sets: Mapping[str, str]) -> tuple[Bound, ...]:
    """What an action is bound to; nothing for one that brings rows or notes something.

    `sets` are the digests of the link's sets of keys, by name.
    """
    if isinstance(action, Letting):
        return (_of_entities(action, sets),)
    return tuple(_of_tables(action))


def removal_bound(removal: Removal) -> Bound:
    """What the removal of a link is bound to."""
    settled = replace(removal, location=None, epochs=replace(removal.epochs, **_NO_EPOCHS))
    return _bound(f"removal of {removal.address}", settled)


_NO_EPOCHS: dict[str, Any] = {"source": None, "local": None, "announced": None}


def settled_letting(action: Letting) -> Letting:
    """An action without its words, and without what requests that came later alter in it.

    What was granted or approved is told by its set of keys: neither the moment of the latest request nor
    whether others of the link were requested without being held is of it. Requests of later than `records`
    are noted by the plan that sees them.
    """
    bare = replace(action, reason="")
    if not isinstance(bare, Delete):
        return bare
    match bare.cause:
        case "granted":
            return replace(bare, records=None, until=None, unheld=False)
        case "approved":
            return replace(bare, records=None, unheld=False)
        case _:
            return replace(bare, records=None)


def _of_entities(action: Letting, sets: Mapping[str, str]) -> Bound:
    settled = settled_letting(action)
    match action:
        case Claim():
            return _bound("claim of the approved requests", settled)
        case Delete(cause="unwanted", alone=alone):
            return _bound("deletion of what is no longer wanted", settled, sets.get(_unwanted(alone)))
        case Delete(cause="approved", until=until):
            going = sets.get(requested_set(until), sets.get("requested"))
            return _bound("deletion of approved requests", settled, going or None)
        case Delete(cause=cause):
            what = "deletion of orphans" if cause == "orphans" else f"deletion of {cause} requests"
            return _bound(what, settled, sets.get(SETS[cause]))
        case Approve():
            return _bound("approval of what is gone locally", settled, sets.get("gone"))
        case Mend():
            return _bound("repair of approvals", settled, sets.get("mended"))
        case Release():
            return _bound("release of rows", settled, sets.get("released"))
        case GiveUp():
            return _bound("release of what cannot come again", settled, sets.get("lost"))


def _unwanted(alone: bool) -> str:
    return "unwanted_alone" if alone else "unwanted"


def _of_tables(action: Action) -> Iterator[Bound]:
    match action:
        case Move(due=due, tables=tables):
            for old, new in tables:
                yield _bound(f"table {new}, now {old}", (old, new))
            for side, change in (("source", due.source), ("local", due.local)) if due else ():
                if change is not None:
                    yield _bound(f"mark at {side}", (_settled(change.before), _settled(change.after)))
            if action.lineage or (due and due.lineage):
                yield _bound("lineage", (action.before, action.lineage))
        case CreateOutbound(definitions=definitions, mark=mark):
            for table in definitions:
                yield _bound(f"table {table.schema}.{table.name}", table)
            if mark is not None:
                yield _bound(f"mark at {action.server}", _settled(mark))
        case CreateLocal(definitions=definitions, mark=mark):
            if action.new_schema and definitions:
                yield _bound(f"schema {definitions[0].schema}", definitions[0].schema)
            for table in definitions:
                yield _bound(f"table {table.schema}.{table.name}", table)
            if mark is not None:
                yield _bound("local mark", _settled(mark))
            if action.remade:
                yield _bound("dropped table", "remade")
            if action.refill is not None:
                yield _bound("refill", action.refill)
        case MakeViews(definitions=views):
            for view in views:
                yield _bound(f"view {view.schema}.{view.name}", view)
        case AlterLocal(table=name, alteration=alteration):
            for column in alteration.columns if alteration else ():
                yield _bound(f"column {column[0].name} of {name}", column)
            for index in alteration.indexes if alteration else ():
                yield _bound(f"index {index.name} of {name}", index)
            if action.refill is not None:
                yield _bound("refill", action.refill)
        case ChangeLocal(table=name, change=change):
            if change is None:
                return
            for each in change.columns:
                yield _bound(f"column {each.after.name} of {name}", each)
            if change.comment is not None:
                yield _bound(f"comment of {name}", change.comment)
        case CopyLineage(schemas=schemas):
            yield _bound("lineage", schemas)
        case AddForeignKey(table=name, columns=columns, parent=parent, late=late):
            key = (name, columns, parent, late.key if late else None)
            yield _bound(f"foreign key of {name} to {parent}", key)
        case NoteServer():
            yield _bound("local server of the marks", (action.local_server, sorted(action.upgrade)))
        case _:
            pass  # rows that come, and notes of what was done


def _settled(mark: Mark) -> Mark:
    """A mark without what applies write into it: what it is of, and where its tables are."""
    bare = replace(mark, definition=None, refill=None, made=None, remade=False, check_names=None)
    return replace(bare, epoch=None, epoch_next=None, holder=None)


def _bound(what: str, *values: object) -> Bound:
    text = json.dumps([_plain(each) for each in values], sort_keys=True)
    return Bound(what, hashlib.sha256(text.encode()).hexdigest())


def _plain(value: object) -> Any:
    """A value as JSON: equal values give equal text, and others another one."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        return [type(value).__name__, named]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Set):
        return sorted((_plain(each) for each in value), key=json.dumps)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"no form of {type(value).__name__}")  # a defect: the type has no fixed text
