"""The order in which an apply does a plan's actions, and which servers each of them writes to. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.reconcile.plan.actions import (
    Action,
    AlterLocal,
    Approve,
    ChangeLocal,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    MakeViews,
    Mend,
    Move,
    NoteDefinition,
    NoteRequests,
    NoteServer,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan

DELETIONS = (Claim, Mend, Delete, Approve, NoteRequests)


@dataclass(frozen=True, slots=True)
class Turn:
    """Some actions of one link, done in order. `last`: the link has no later turn."""

    address: str
    actions: tuple[Action, ...]
    last: bool = False


Lane: TypeAlias = tuple[Turn, ...]  # done one after another
Round: TypeAlias = tuple[Lane, ...]  # done at the same time; the next round waits for all of them


def rounds(links: Iterable[LinkPlan]) -> tuple[Round, ...]:
    """The turns of a plan's links, sorted as a plan has them.

    Wave after wave, each link: its tables, then its rows. Where anything is deleted all tables are made
    before, so that no deletion meets a missing one; then all that was approved is claimed; then deletions are
    done, children first, of each source one link after another; then rows come, wave after wave.
    """
    due = [link for link in links if link.actions]
    if not any(isinstance(a, DELETIONS) for link in due for a in link.actions):
        return _with_last([*_waves(due, lambda action: True)])
    return _with_last(
        [
            *_waves(due, is_structure),
            _by_source(due, lambda action: isinstance(action, Claim)),
            _by_source(due[::-1], lambda a: isinstance(a, DELETIONS) and not isinstance(a, Claim)),
            *_waves(due, lambda a: not (is_structure(a) or isinstance(a, DELETIONS))),
        ]
    )


def is_structure(action: Action) -> bool:
    """Whether an action makes or alters tables or views before anything is deleted or comes."""
    if isinstance(action, AlterLocal | NoteDefinition):
        return not action.after_rows
    made = Move | CreateOutbound | CreateLocal | ChangeLocal | NoteServer | CopyLineage | MakeViews
    return isinstance(action, made)


def _waves(due: Sequence[LinkPlan], keep: Callable[[Action], bool]) -> Iterator[Round]:
    for wave in sorted({link.wave for link in due}):
        yield tuple((turn,) for link in due if link.wave == wave for turn in _turn(link, keep))


def _by_source(due: Sequence[LinkPlan], keep: Callable[[Action], bool]) -> Round:
    lanes = defaultdict[str, list[Turn]](list)
    for link in due:
        lanes[source_of(link.address)] += _turn(link, keep)
    return tuple(tuple(lanes[name]) for name in sorted(lanes) if lanes[name])


def _turn(link: LinkPlan, keep: Callable[[Action], bool]) -> Iterator[Turn]:
    actions = tuple(filter(keep, link.actions))
    if actions:
        yield Turn(link.address, actions)


def _with_last(found: Sequence[Round]) -> tuple[Round, ...]:
    """The rounds that have turns, with the last turn of each link told."""
    later, told = set[str](), list[Round]()
    for each in reversed(found):
        lanes = []
        for lane in each:
            turns = [replace(turn, last=turn.address not in later) for turn in lane]
            later.update(turn.address for turn in lane)
            lanes.append(tuple(turns))
        if lanes:
            told.append(tuple(lanes))
    return tuple(reversed(told))
