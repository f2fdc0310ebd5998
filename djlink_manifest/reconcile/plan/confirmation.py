"""What waits until a person confirms that this is the local server which a link belongs to. Pure.

Pulls add protection, so they go on. Whatever gives protection up waits: if this server is a copy, the other
one may hold the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.next_steps import command
from djlink_manifest.model.server.epochs import EpochState, Verdict
from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.reconcile.plan.actions import (
    Action,
    Approve,
    Blocked,
    Claim,
    Delete,
    GiveUp,
    Mend,
    NoteFilled,
    Release,
)

UNTIL_CONFIRMED = "releases, approvals and deletions wait for a confirmation"
GIVING_UP = (Release, GiveUp, Claim, Mend, Delete, Approve)
_CAUSES: Mapping[Verdict, str] = {
    "moved": "the source knows the local server as `{}`, with another host name, port, data directory or "
    "uuid: this server was moved, or it is a copy",
    "renamed": "the source knows the local server by another `identity` (host name `{}`)",
    "remade": "the local marks do not have the epoch of the last apply, which was from `{}`: they were "
    "dropped or restored, or this is another server",
    "older source": "the source's marks are older than the local ones (the source knows the local server as "
    "`{}`): the source was restored from a backup or is a copy, or another local server has applied since",
}
STATED = "; or state `local: {identity: NAME}` in the manifest"


def cause_of(state: EpochState) -> str:
    """Why this server is not known to be the link's; for the verdicts under which pulls go on."""
    return _CAUSES[state.verdict].format(state.server)


def held_back(
    link: Link, actions: Sequence[Action], unconfirmed: Mapping[str, EpochState]
) -> tuple[tuple[Action, ...], tuple[Blocked, ...]]:
    """The actions of a link that go on, and the others as blocked. `unconfirmed` are links by address."""
    concerned = {link.address, *(a for d in actions if isinstance(d, Delete) for a, _ in d.along)}
    unsure = sorted(concerned & unconfirmed.keys())
    held_actions = [a for a in actions if isinstance(a, GIVING_UP)] if unsure else []
    if not held_actions:
        return tuple(actions), ()
    gives_up = any(isinstance(a, GiveUp) for a in held_actions)
    go_on = tuple(
        a for a in actions if a not in held_actions and not (gives_up and isinstance(a, NoteFilled))
    )
    count = sum(a.entities for a in held_actions if not isinstance(a, Claim))
    state = unconfirmed[unsure[0]]
    reason = f"{UNTIL_CONFIRMED}: {cause_of(state)}"
    return go_on, (Blocked("error", reason, count, hint=how_to_confirm(unsure, state)),)


def how_to_confirm(addresses: Sequence[str], state: EpochState) -> str:
    """How a person confirms that this server is the one of these links."""
    words = f"if this server is the one to go on with, run {command('adopt', *addresses)}"
    return words + (STATED if state.verdict == "moved" else "")


def unconfirmed_warnings(links: Mapping[str, EpochState]) -> Iterator[str]:
    """Words of a plan for links whose server is not confirmed, one for each cause of each source."""
    found = Counter((source_of(a), cause_of(s), s.verdict) for a, s in links.items())
    for (source, cause, verdict), count in sorted(found.items()):
        those = counted(count, "link")
        state = EpochState(verdict)
        yield (
            f"{those} of {source}: {cause}; rows are pulled, but releases, approvals and deletions wait: "
            f"{how_to_confirm([f'{source}.*'], state)}"
        )
