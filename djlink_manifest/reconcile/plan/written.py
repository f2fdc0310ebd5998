"""Which servers an action changes."""

from __future__ import annotations

from djlink_manifest.reconcile.plan.actions import (
    LOCAL,
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


def writes_to(action: Action, source: str) -> frozenset[str]:
    """The servers on which an action of a link of this source changes anything."""
    match action:
        case (
            CreateOutbound() | MakeViews() | Register() | Release() | GiveUp() | Claim() | Approve() | Mend()
        ):
            return frozenset({source})
        case (
            CreateLocal()
            | AlterLocal()
            | ChangeLocal()
            | CopyLineage()
            | AddForeignKey()
            | NoteFilled()
            | Refill()
        ):
            return frozenset({LOCAL})
        case Pull() | PullAgain() | Delete() | NoteRequests() | NoteServer():
            return frozenset({source, LOCAL})
        case NoteDefinition(server=server):
            return frozenset({server})
        case Move(server=server):
            return frozenset({server, LOCAL})
    # mypy proves that every kind of action returns above
