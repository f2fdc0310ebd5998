"""The life of an entity: the state table of `docs/lifecycle.md` as two total functions.

Five facts make a state: the entity is in the source (S), in outbound (O), in the local table (L), its
deletion is requested (R), approved (A). Foreign keys give O⇒S, R⇒S and A⇒S; what they forbid is a state too,
`IMPOSSIBLE`, and is reported rather than raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Presence(NamedTuple):
    """Where an entity is, and whether its deletion is requested or approved."""

    source: bool
    outbound: bool
    local: bool
    requested: bool
    approved: bool


class State(Enum):
    """The state that a presence amounts to; the values are the words of `docs/lifecycle.md`."""

    ABSENT = "absent"
    UNSHARED = "unshared"
    ACTIVATED = "activated"
    SHARED = "shared"
    TAINTED = "tainted"
    REQUESTED_GONE = "requested, gone locally"
    REQUESTED_UNHELD = "requested, not held"
    DEPRECATED = "deprecated"
    UNPROTECTED = "unprotected"
    UNPROTECTED_REQUESTED = "unprotected, requested or approved"
    APPROVED_HELD = "approved, still held"
    ORPHAN = "orphan"
    IMPOSSIBLE = "impossible"


class Step(Enum):
    """What follows from a state; the values are the words of `docs/lifecycle.md`."""

    NOTHING = "-"
    PULL = "pull"
    PULL_AGAIN = "pull again"
    RELEASE = "release"
    KEEP = "keep"
    DELETE_RELEASE = "delete, then release"
    DELETE_APPROVE = "delete, then approve"
    AWAIT_REVIEW = "await review"
    APPROVE = "approve"
    REGISTER = "register if equal"
    MEND = "repair"
    REPORT = "report"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class EntityTerms:
    """What the manifest makes of an entity, beside where it is.

    `wanted`: it meets `where`, `pull` and linked parents; `pullable`: wanted, with no request or approval on
    it or on an ancestor; `release_unwanted`: the link says `unwanted: release`; `granted`: its deletion was
    agreed to (`deletions: auto`, or an approval); `remade`: the local table was dropped and made anew, and
    what outbound holds is not all back, so that a row which is missing here was deleted by nobody.
    """

    wanted: bool = True
    pullable: bool = True
    release_unwanted: bool = False
    granted: bool = False
    remade: bool = False


def state_of(presence: Presence) -> State:
    """The state of an entity. Total: each of the 32 presences has one."""
    s, o, l, r, a = presence  # noqa: E741 - the letters of the state table
    if not s:
        if o or r or a:
            return State.IMPOSSIBLE
        return State.ORPHAN if l else State.ABSENT
    if o:
        if a:
            return State.APPROVED_HELD
        if r:
            return State.TAINTED if l else State.REQUESTED_GONE
        return State.SHARED if l else State.ACTIVATED
    if l:
        return State.UNPROTECTED_REQUESTED if r or a else State.UNPROTECTED
    if a:
        return State.DEPRECATED
    return State.REQUESTED_UNHELD if r else State.UNSHARED


def step_for(presence: Presence, terms: EntityTerms) -> Step:
    """What follows for an entity. Total over every presence and standing."""
    match state_of(presence):
        case State.UNSHARED:
            return Step.PULL if terms.pullable else Step.NOTHING
        case State.ACTIVATED:
            kept = terms.wanted or not terms.release_unwanted
            comes = terms.pullable or (terms.remade and kept)
            return Step.PULL_AGAIN if comes else Step.RELEASE
        case State.SHARED:
            if terms.wanted:
                return Step.NOTHING
            return Step.DELETE_RELEASE if terms.release_unwanted else Step.KEEP
        case State.TAINTED | State.UNPROTECTED_REQUESTED:
            return Step.DELETE_APPROVE if terms.granted else Step.AWAIT_REVIEW
        case State.REQUESTED_GONE:
            return Step.PULL_AGAIN if terms.remade else Step.APPROVE
        case State.UNPROTECTED:
            return Step.REGISTER
        case State.APPROVED_HELD:
            return Step.MEND
        case State.ORPHAN:
            return Step.REPORT
        case State.IMPOSSIBLE:
            return Step.BLOCK
        case State.ABSENT | State.DEPRECATED | State.REQUESTED_UNHELD:
            return Step.NOTHING
