"""What a plan says beside its actions: what is in the way of entities, drift, parents that are not linked.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.entity import State, Step
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.local_rules import LocalRule, Obstacle
from djlink_manifest.model.next_steps import command
from djlink_manifest.reconcile.plan.actions import Action, Blocked, Delete, Drift
from djlink_manifest.reconcile.plan.messages import ORPHANS, STRAYS, how_strays, quoted_name
from djlink_manifest.reconcile.plan.observation import Observation
from djlink_manifest.reconcile.state.snapshot import BlockedKey, LinkSnapshot, LinkTables, ReliedOn

UNSURE = (
    "deletions: the local account cannot tell whether a table that it cannot see refers to linked tables "
    "with ON DELETE CASCADE or SET NULL; rows of such a table would be deleted or changed without notice; "
    "`djlink doctor` names the missing privilege"
)


def obstacles(link: Link, snapshot: LinkSnapshot, steps: Mapping[Step, int]) -> Iterator[Blocked]:
    """Entities that are due and cannot come as things stand, with the next step."""
    if steps[Step.REGISTER] > snapshot.equal:
        yield Blocked(
            "error",
            "unprotected local rows that differ from their source rows, possibly your own",
            steps[Step.REGISTER] - snapshot.equal,
            "compare them with the source; if you delete the local rows of "
            f"{link.local.schema}.{link.local.name}, they are pulled again",
        )
    for key, count in snapshot.taken:
        yield Blocked(
            "error",
            f"their unique value of {key} is used by a local row of your own",
            count,
            "change or delete the local rows with the same value, then plan again; or exclude these "
            "entities with `where`",
        )
    obstacles = Counter[Obstacle]()
    for obstacle, count in (*snapshot.obstacles, *snapshot.obstacles_again):
        obstacles[obstacle] += count
    for obstacle, count in obstacles.items():
        yield Blocked("upstream" if obstacle.waits else "error", obstacle.words, count, obstacle.hint)
    refused = Counter[LocalRule]()
    for rule, count in (*snapshot.refused, *snapshot.refused_again):
        refused[rule] += count
    for rule, count in refused.items():
        yield Blocked("upstream" if rule.linked else "error", rule.words, count, rule.hint)
    if snapshot.missing_objects:
        yield Blocked(
            "error",
            "one of their external objects is missing or damaged at the source",
            snapshot.missing_objects,
            "ask the source's owner to repair the objects, or exclude these entities with `where`; the "
            "others are pulled",
        )
    pending = Counter(dict(snapshot.blocked_by_parent))
    pending.update(dict(snapshot.blocked_by_parent_again))
    for parent, count in pending.items():
        yield Blocked("upstream", f"their parents in {parent} are blocked", count)


def unparented(link: Link, snapshot: LinkSnapshot) -> Iterator[Blocked]:
    """Entities that are due to be refilled and whose source rows now refer to what is not held."""
    found = snapshot.unparented
    if found.entities and (snapshot.changed is None or link.changed == "mend"):
        parents = ", ".join(found.parents)
        reason = f"not refilled: their source rows now refer to rows of {parents} that are not pulled"
        hint = "they stay as they are; once those rows are pulled, run `djlink apply --verify` again"
        yield Blocked("upstream", reason, found.entities, hint)


def stray_rows(link: Link, snapshot: LinkSnapshot) -> Iterator[Blocked]:
    """What is held, requested or approved though its source row is gone."""
    strays = snapshot.in_state(State.IMPOSSIBLE)
    if strays:
        yield Blocked("error", STRAYS, strays, how_strays(link))


def relied_on(link: Link, relied: ReliedOn | None, files: Sequence[str]) -> Iterator[Blocked]:
    """Entities that are not refilled, for what refers to rows of theirs that would go or change."""
    if relied is None:
        return
    why = "a refill would delete or change their rows that other rows refer to: "
    if relied.unseen:
        grants = "; ".join(f"GRANT SELECT ON {quoted_name(name)}" for name in relied.unseen)
        tables = f"{', '.join(relied.unseen)}, with CASCADE or SET NULL, which the local account cannot read"
        hint = f"grant the local account access ({grants}), then plan again"
        yield Blocked("error", f"{why}{tables}", relied.entities, hint)
    elif relied.lab:
        tables = ", ".join(f"{name} ({counted(rows, 'row')})" for name, rows in relied.lab)
        hint = f"delete those rows of your own, then run `djlink apply --verify` again: {_line(link, files)}"
        yield Blocked("error", f"{why}rows of your own, {tables}", relied.entities, hint)
    else:
        tables = ", ".join(f"{address} ({counted(rows, 'row')})" for address, rows in relied.linked)
        hint = "run `djlink apply` to update those links, then `djlink apply --verify` again"
        yield Blocked("upstream", f"{why}{tables}", relied.entities, hint)


def blocked_late_keys(blocked_keys: Iterable[BlockedKey]) -> Iterator[Blocked]:
    """Foreign keys to parents linked later that are not added, for local rows that lack their parent row."""
    for each in blocked_keys:
        yield Blocked("error", each.late.words, each.rows, each.late.hint)


def _line(link: Link, files: Sequence[str]) -> str:
    """The Python line that deletes the rows which rely on what a refill would take."""
    named = ", ".join(repr(name) for name in files)
    rows = f"djlink_manifest.load([{named}])[{link.address!r}]().in_the_way()"
    return f"import djlink_manifest; [rows.delete() for rows in {rows}]"


def drifts(
    link: Link, link_tables: LinkTables, snapshot: LinkSnapshot, actions: Iterable[Action]
) -> Iterator[Drift]:
    """What stands otherwise than any action leaves it."""
    for words in link_tables.drift:
        yield Drift(words)
    if link_tables.redefined and link_tables.is_level and not link_tables.unrecorded:
        yield Drift(
            "the source's definition changed after linking in a way that does not affect rows, such as the "
            "order of columns or an index that is gone; the local tables are unchanged",
            hint="no action needed: the next apply that changes this link records the new definition",
        )
    if link.changed == "report" and snapshot.changed:
        yield Drift(
            "they differ from their source rows: changed at the source after the pull, or locally",
            snapshot.changed,
            "set `changed: mend` for this link; `djlink apply --verify` then updates them to the source's "
            "values",
        )
    if snapshot.lost:
        objects = "1 external object" if snapshot.lost == 1 else f"{snapshot.lost:,} external objects"
        yield Drift(f"missing or altered locally: {objects}")
    yield from orphan_rows(link, snapshot, actions)
    for part in snapshot.parts if snapshot.changed is None else ():
        if part.held != part.local:
            yield Drift(
                f"part {part.part}: {part.local:,} local rows, {part.held:,} source rows of held entities",
                abs(part.held - part.local),
            )


def orphan_rows(link: Link, snapshot: LinkSnapshot, actions: Iterable[Action]) -> Iterator[Drift]:
    """Local rows without a source row, but for those that the actions delete.

    Where they do, what stays of them is held back by other rows, and told as blocked.
    """
    orphans = snapshot.in_state(State.ORPHAN)
    if orphans and not any(isinstance(a, Delete) and a.cause == "orphans" for a in actions):
        yield Drift(
            ORPHANS,
            orphans,
            f"{command('approve', link.address, '--orphans')} lists them and approves deleting them locally",
        )


def unlinked_warnings(link: Link) -> tuple[str, ...]:
    """Foreign keys that become plain columns: to parents that are not linked, or closing a circle."""
    unseen = dict(link.unseen)
    plain = (
        f"its parent {table} is not linked and not visible to the link user: the foreign key becomes plain "
        f"columns; to link it, ask the source's administrator to run: {unseen[table]}"
        if table in unseen
        else f"its parent {table} is not linked: the foreign key becomes plain columns"
        for table in link.plain
    )
    return (*plain, *link.loose)


def unsure(seen: Observation, actions: Iterable[Action]) -> Iterator[str]:
    """What nobody can know of a deletion that is planned."""
    if seen.deletions.unseen is None and any(isinstance(a, Delete) for a in actions):
        yield UNSURE
