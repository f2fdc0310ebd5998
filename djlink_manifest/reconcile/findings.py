"""What a plan says beside its actions: what is in the way of entities, drift, parents that are not linked.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from djlink_manifest.model.entity import State, Step
from djlink_manifest.model.link import Link
from djlink_manifest.model.local_rules import LocalRule
from djlink_manifest.reconcile.actions import Action, Blocked, Delete, Drift
from djlink_manifest.reconcile.snapshot import Footing, LinkSnapshot, Observation
from djlink_manifest.reconcile.wording import ORPHANS

UNSURE = (
    "deletions: the local account cannot tell whether a table that it does not see refers to linked ones "
    "with ON DELETE CASCADE or SET NULL; rows of such a table would go, or change, unnoticed; "
    "`djlink doctor` says which right lets it see"
)


def obstacles(link: Link, snapshot: LinkSnapshot, steps: Mapping[Step, int]) -> Iterator[Blocked]:
    """Entities that are due and cannot come as things stand, with the next step."""
    if steps[Step.REGISTER] > snapshot.equal:
        yield Blocked(
            "error",
            "local rows without protection that differ from the source's: perhaps the lab's own",
            steps[Step.REGISTER] - snapshot.equal,
            f"compare them with the source; delete the local rows of {link.local.schema}.{link.local.name} "
            "and they are pulled anew",
        )
    for key, count in snapshot.taken:
        yield Blocked(
            "error",
            f"their unique value of {key} is taken by a local row of the lab's own",
            count,
            "change or delete the local rows with the same value, and they are pulled; or leave them out "
            "with `where`",
        )
    refused = Counter[LocalRule]()
    for rule, count in (*snapshot.refused, *snapshot.refused_again):
        refused[rule] += count
    for rule, count in refused.items():
        yield Blocked("upstream" if rule.linked else "error", rule.words, count, rule.hint)
    if snapshot.lacking:
        yield Blocked(
            "error",
            "an external object of theirs is missing at the source, or is not what it should be",
            snapshot.lacking,
            "let the source mend them, or leave them out with `where`; the others are pulled",
        )
    for parent, count in snapshot.waiting:
        yield Blocked("upstream", f"they need entities of {parent} that are blocked", count)


def drifts(link: Link, footing: Footing, snapshot: LinkSnapshot) -> Iterator[Drift]:
    """What stands otherwise than any action leaves it."""
    for words in footing.drift:
        yield Drift(words)
    if footing.redefined and footing.is_level:
        yield Drift(
            "the source's definition changed after linking in nothing that rows need, such as a comment or a "
            "default; the local tables keep theirs",
            hint="nothing to do: the next apply that works on this link takes note, and it is said no more",
        )
    if link.changed == "report" and snapshot.changed:
        yield Drift(
            "differ from the source's rows: changed there after the pull, or here",
            snapshot.changed,
            "with `changed: mend` for this link `djlink apply --verify` brings them to what the source has",
        )
    if snapshot.lost:
        objects = "1 external object" if snapshot.lost == 1 else f"{snapshot.lost:,} external objects"
        yield Drift(f"missing here or altered: {objects}")
    orphans, impossible = map(snapshot.in_state, (State.ORPHAN, State.IMPOSSIBLE))
    if orphans:
        yield Drift(
            ORPHANS,
            orphans,
            f"`djlink approve {link.address} --orphans` shows them and agrees to delete them here",
        )
    if impossible:
        yield Drift("outbound, request or approval rows without a source row", impossible)
    for part in snapshot.parts if snapshot.changed is None else ():
        if part.held != part.local:
            yield Drift(
                f"part {part.part}: {part.local:,} rows here, {part.held:,} at the source for what is held",
                abs(part.held - part.local),
            )


def unlinked_warnings(link: Link) -> tuple[str, ...]:
    """Parents that are not linked, whose foreign keys become plain columns."""
    unseen = dict(link.unseen)
    return tuple(
        f"its parent {table} is not linked, and the link user cannot see it: the foreign key becomes plain "
        f"columns; to link it too, let the source's administrator run: {unseen[table]}"
        if table in unseen
        else f"its parent {table} is not linked: the foreign key becomes plain columns"
        for table in link.plain
    )


def unsure(seen: Observation, actions: Iterable[Action]) -> Iterator[str]:
    """What nobody can know of a deletion that is planned."""
    if seen.unseen is None and any(isinstance(a, Delete) for a in actions):
        yield UNSURE
