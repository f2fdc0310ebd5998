"""What carries out an action: one function a kind, given the bench and the action, and nothing else."""

from __future__ import annotations

from typing import NoReturn

from djlink_manifest.reconcile.apply import moves, pull, refresh, schema_changes
from djlink_manifest.reconcile.deletion import confirmations, requested
from djlink_manifest.reconcile.deletion.orphans import delete_orphans
from djlink_manifest.reconcile.plan.actions import (
    Action,
    AddForeignKey,
    AlterLocal,
    Approve,
    Blocked,
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
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.batches import LinkWork


def execute(link_work: LinkWork, action: Action) -> Blocked | None:
    """Carry out an action; what it leaves undone, for what it found otherwise than the plan, or None.

    Raises Otherwise where nothing further of the link may be done in this apply, and other errors of ours.
    """
    match action:
        case Move():
            moves.move(link_work, action)
        case CreateOutbound():
            schema_changes.create_outbound(link_work, action)
        case CreateLocal():
            schema_changes.create_local(link_work, action)
        case AlterLocal():
            schema_changes.alter_local(link_work, action)
        case ChangeLocal():
            schema_changes.change_local(link_work, action)
        case CopyLineage():
            schema_changes.copy_lineage(link_work, action)
        case MakeViews():
            schema_changes.make_views(link_work, action)
        case AddForeignKey():
            return schema_changes.add_foreign_key(link_work, action)
        case NoteDefinition():
            return schema_changes.note_definition(link_work, action)
        case NoteFilled():
            return schema_changes.note_filled(link_work, action)
        case NoteServer():
            schema_changes.note_server(link_work, action)
        case Claim():
            requested.claim(link_work, action)
        case Mend():
            confirmations.mend(link_work)
        case Delete(cause="orphans"):
            delete_orphans(link_work, action)
        case Delete(cause="unwanted"):
            requested.delete_unwanted(link_work, action)
        case Delete():
            requested.delete(link_work, action)
        case Approve():
            confirmations.approve_gone(link_work, link_work.keys.gone)
        case NoteRequests():
            requested.note_requests(link_work, action)
        case Release():
            confirmations.release_gone(link_work, lost=action.lost)
        case GiveUp():
            confirmations.give_up(link_work)
        case Register():
            batches.register_equal(link_work)
        case Refill():
            refresh.refill(link_work, action)
        case PullAgain():
            pull.pull_again(link_work, action)
        case Pull():
            pull.pull(link_work, action)
        case _:
            _no_other(action)
    return None


def _no_other(action: NoReturn) -> NoReturn:
    """Let the type checker prove that every kind of action is carried out above."""
    raise AssertionError(f"no function carries out {type(action).__name__}")
