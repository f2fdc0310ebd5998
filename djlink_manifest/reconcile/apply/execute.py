"""What carries out an action: one function a kind, given the bench and the action, and nothing else."""

from __future__ import annotations

from typing import NoReturn

from djlink_manifest.reconcile.apply import pull, refresh, schema_changes
from djlink_manifest.reconcile.deletion import confirmations, requested
from djlink_manifest.reconcile.deletion.orphans import delete_orphans
from djlink_manifest.reconcile.plan.actions import (
    Action,
    AddForeignKey,
    AlterLocal,
    Approve,
    Blocked,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    GiveUp,
    MakeViews,
    Mend,
    NoteDefinition,
    NoteFilled,
    NoteRequests,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.batches import Bench


def execute(bench: Bench, action: Action) -> Blocked | None:
    """Carry out an action; what it leaves undone, for what it found otherwise than the plan, or None.

    Raises Otherwise where nothing further of the link may be done in this apply, and other errors of ours.
    """
    match action:
        case CreateOutbound() | CreateLocal() | AlterLocal() | CopyLineage() | MakeViews() | AddForeignKey():
            _structure(bench, action)
        case NoteDefinition():
            return schema_changes.note_definition(bench, action)
        case NoteFilled():
            return schema_changes.note_filled(bench, action)
        case Claim() | Mend() | Delete() | Approve() | NoteRequests():
            _deletion(bench, action)
        case Release() | GiveUp() | Register() | Refill() | PullAgain() | Pull():
            _rows(bench, action)
        case _:
            _no_other(action)
    return None


def _structure(
    bench: Bench,
    action: CreateOutbound | CreateLocal | AlterLocal | CopyLineage | MakeViews | AddForeignKey,
) -> None:
    match action:
        case CreateOutbound():
            schema_changes.create_outbound(bench, action)
        case CreateLocal():
            schema_changes.create_local(bench, action)
        case AlterLocal():
            schema_changes.alter_local(bench, action)
        case CopyLineage():
            schema_changes.copy_lineage(bench, action)
        case MakeViews():
            schema_changes.make_views(bench, action)
        case AddForeignKey():
            schema_changes.add_foreign_key(bench, action)
        case _:
            _no_other(action)


def _deletion(bench: Bench, action: Claim | Mend | Delete | Approve | NoteRequests) -> None:
    match action:
        case Claim():
            requested.claim(bench, action)
        case Mend():
            confirmations.mend(bench)
        case Delete(cause="orphans"):
            delete_orphans(bench, action)
        case Delete(cause="unwanted"):
            requested.delete_unwanted(bench)
        case Delete():
            requested.delete(bench, action)
        case Approve():
            confirmations.approve_gone(bench, bench.keys.gone)
        case NoteRequests():
            requested.note_requests(bench, action)
        case _:
            _no_other(action)


def _rows(bench: Bench, action: Release | GiveUp | Register | Refill | PullAgain | Pull) -> None:
    match action:
        case Release(lost=True):
            confirmations.release_lost(bench)
        case Release():
            batches.release_gone(bench)
        case GiveUp():
            confirmations.give_up(bench)
        case Register():
            batches.register_equal(bench)
        case Refill():
            refresh.refill(bench, action)
        case PullAgain():
            pull.pull_again(bench, action)
        case Pull():
            pull.pull(bench, action)
        case _:
            _no_other(action)


def _no_other(action: NoReturn) -> NoReturn:
    """Let the type checker prove that every kind of action is carried out above."""
    raise AssertionError(f"no function carries out {type(action).__name__}")
