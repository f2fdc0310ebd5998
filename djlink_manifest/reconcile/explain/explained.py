"""An entity explained: what was found of it, as an explanation and as the snapshot of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field

from djlink_manifest.model.links.entity import EntityTerms, Presence, State, Step, state_of, step_for
from djlink_manifest.model.links.explanation import Explanation, KeyText, Reason, Records
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LocalRule, Obstacle
from djlink_manifest.model.links.unique import Unique
from djlink_manifest.reconcile.state.snapshot import EntityClass, LinkSnapshot


@dataclass(frozen=True, slots=True)
class Explained:
    """An entity explained, and what a plan is made from for it alone."""

    explanation: Explanation
    snapshot: LinkSnapshot

    @property
    def blocked(self) -> bool:
        """Whether it is blocked in a way that blocks those that refer to it."""
        differs = self.explanation.equal is False and self.explanation.state == State.UNPROTECTED.value
        return bool(self.snapshot.blocked or self.snapshot.blocked_again) or differs


@dataclass(slots=True)
class BlockedBy:
    """What keeps an entity from coming: unique values that are `taken`, parents that it is `parents` for,
    obstacles, and local rules that it breaks.
    """

    taken: list[Unique] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    broken: list[LocalRule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found of an entity. `equal`: its rows are the source's, None where that was not asked.

    `remade` tells that the local table was made anew and lacks rows.
    """

    presence: Presence
    wanted: bool = False
    pullable: bool = False
    equal: bool | None = None
    records: Records = field(default_factory=Records)
    reasons: tuple[Reason, ...] = ()
    hindrances: BlockedBy = field(default_factory=BlockedBy)
    remade: bool = False


def explained(link: Link, key: KeyText, seen: Seen) -> Explained:
    """The entity with this key, of which this was found."""
    state = state_of(seen.presence)
    terms = EntityTerms(
        seen.wanted,
        seen.pullable,
        release_unwanted=link.unwanted == "release",
        granted=link.deletions == "auto" or seen.records.granted_at is not None,
        remade=seen.remade,
    )
    step = step_for(seen.presence, terms)
    explanation = Explanation(
        link.address,
        key,
        seen.presence,
        state=state.value,
        wanted=seen.wanted,
        pullable=seen.pullable,
        step=step.value,
        equal=seen.equal,
        records=seen.records,
        reasons=seen.reasons,
    )
    return Explained(explanation, _snapshot(seen, state, step))


def _snapshot(seen: Seen, state: State, step: Step) -> LinkSnapshot:
    """What a plan is made from for this entity alone, with the first thing that is in its way."""
    found = seen.hindrances
    comes = step is Step.PULL
    taken = tuple((u.words, 1) for u in found.taken[:1]) if comes else ()
    pending = tuple((a, 1) for a in found.parents[:1]) if comes and not taken else ()
    free = not (taken or pending)
    obstacles = tuple((each, 1) for each in found.obstacles[:1]) if free else ()
    broken = tuple((each, 1) for each in found.broken[:1]) if free and not obstacles else ()
    held = seen.presence.outbound
    return LinkSnapshot(
        counts={} if state is State.ABSENT else {EntityClass(seen.presence, seen.wanted, seen.pullable): 1},
        equal=1 if state is State.UNPROTECTED and seen.equal is True else 0,
        changed=1 if state is State.SHARED and seen.equal is False else None,
        taken=taken,
        blocked_by_parent=pending,
        obstacles=() if held else obstacles,
        obstacles_again=obstacles if held else (),
        refused=() if held else broken,
        refused_again=broken if held else (),
    )
