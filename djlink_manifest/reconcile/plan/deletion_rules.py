"""What is decided about deletions: which are done, which wait, and why. Pure.

A request is done where an earlier apply claimed it, where an approval of the manifest covers it, or where
`deletions: auto` holds for all that would go. Nothing else lets a requested row go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.links.entity import Step
from djlink_manifest.model.links.link import Limit, Link
from djlink_manifest.model.next_steps import command
from djlink_manifest.model.server.epochs import EpochState
from djlink_manifest.reconcile.plan.actions import (
    Action,
    Blocked,
    Claim,
    Delete,
    NoteRequests,
)
from djlink_manifest.reconcile.plan.deletion_actions import (
    certain,
    covered_by,
    deletion,
    kept_by_own_rows,
    problem_of,
    turn,
    undecided,
)
from djlink_manifest.reconcile.plan.messages import (
    AGAIN,
    DELETION_REQUESTED,
    ORPHANS,
    how,
    how_again,
    quoted_name,
    requested,
)
from djlink_manifest.reconcile.state.deletion_requests import (
    Closure,
    LinkDeletions,
    moment_text,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows for one link. `kept` counts unwanted entities that stay; `warnings` say why.

    `spent` are approvals that have nothing more to cover.
    """

    actions: tuple[Action, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    warnings: tuple[str, ...] = ()
    kept: int = 0
    spent: tuple[Approval, ...] = ()


@dataclass(slots=True)
class Decider:
    """What the decisions of one plan have in common.

    `usable` are the links that the plan can work on; `held` how many entities each holds, `lately` how many
    went without a review in 24 hours; `limit`, where given, replaces every `max_deletions`; `going` counts
    what goes without a review by this plan, and `counted` names the links of which all that was requested
    does. `unseen` names tables that nobody can look into and that would lose or change rows by themselves, by
    the link that they refer to. `unfilled` names, by link, the links
    below it whose local tables lack rows: nothing goes that these may refer to. `staying` are links below
    which unwanted entities stay, so that of theirs only those go to which no row refers. `unconfirmed` are
    the links of which nobody knows whether the local server is theirs: nothing of them goes.
    """

    links: Mapping[str, Link]
    usable: Collection[str]
    held: Mapping[str, int]
    lately: Mapping[str, int]
    approvals: Sequence[Approval]
    limit: Limit | None = None
    unseen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unfilled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    staying: Collection[str] = ()
    unconfirmed: Mapping[str, EpochState] = field(default_factory=dict)
    going: Counter[str] = field(default_factory=Counter)
    counted: set[str] = field(default_factory=set)

    def decide(
        self,
        link: Link,
        steps: Mapping[Step, int],
        seen: LinkDeletions | None,
        *,
        complete: bool = True,
        remade: bool = False,
        stopped: bool = False,
    ) -> Decision:
        """Decide about one link. `seen` is None where nothing about deletions was, or could be, observed.

        `complete`: all of the link's tables stand. `remade`: the local one was made anew and lacks rows.
        `stopped`: no row of the link comes; what is wanted no longer stays, since what is wanted is not sure.
        """
        approvals = [a for a in self.approvals if a.link == link.address]
        if seen is None:
            over = tuple(approvals) if complete else ()
            return Decision(certain(link, steps), tuple(undecided(steps)), spent=over)
        actions, blocked = list(certain(link, steps)), list[Blocked]()
        until = moment_text(seen.newest)
        if seen.unnoted or seen.overdue:
            words = "the source's requests have changed"
            actions.append(NoteRequests(seen.unnoted, seen.overdue, words, seen.unheld, until=until))
        if seen.granted.local:
            granted = deletion(seen.granted, "granted", "deletion requested and granted", seen)
            self._do(link, seen.granted, granted, actions, blocked)
        about_orphans = [a for a in approvals if a.orphans]
        rest = [a for a in approvals if not a.orphans]
        spent, void = self._requested(link, seen, rest, actions, blocked)
        spent += self._orphans(link, seen, about_orphans, actions, blocked)
        if seen.again:
            blocked.append(Blocked("review", AGAIN, seen.again, how_again(link)))
        unwanted = seen.unwanted_alone if link.address in self.staying else seen.unwanted
        unwanted = Closure() if stopped else unwanted
        kept, warnings = self._unwanted(link, unwanted, actions, blocked)
        records = until if seen.unnoted or seen.overdue else None
        actions = [
            replace(a, remade=remade, records=records) if isinstance(a, Delete) else a for a in actions
        ]
        return Decision(tuple(sorted(actions, key=turn)), (*blocked, *void), warnings, kept, tuple(spent))

    def _requested(
        self,
        link: Link,
        seen: LinkDeletions,
        approvals: Sequence[Approval],
        actions: list[Action],
        blocked: list[Blocked],
    ) -> tuple[list[Approval], list[Blocked]]:
        """Decide about requests that nobody has granted; the approvals that are spent, and the void ones."""
        request_set, spent, void = seen.requested, list[Approval](), list[Blocked]()
        if request_set is None:
            return list(approvals), void
        for approval in sorted(approvals, key=lambda a: a.until, reverse=True):
            covered = covered_by(approval, seen, request_set)
            if not covered.count:
                spent.append(approval)
                continue
            problem = problem_of(covered, approval)
            if problem:
                local_count, place = covered.closure.local, approval.location
                void.append(
                    Blocked(
                        "review",
                        f"{requested(seen)}; the approval at {place} is void: {problem}",
                        local_count,
                        how(link),
                    )
                )
                continue
            words = f"deletion requested, approved by {approval.by} on {approval.date}"
            action = deletion(covered.closure, "approved", words, seen, approval)
            if self._do(link, covered.closure, action, actions, blocked):
                bounds = (approval.keys, approval.until, approval.by)
                actions.append(Claim(link.source, covered.count, f"approved by {approval.by}", *bounds))
            later = request_set.closure.local - covered.closure.local
            if later:
                blocked.append(
                    Blocked("review", f"{requested(seen)}, after the last approval", later, how(link))
                )
            return spent, []
        if request_set.closure.local:
            along = seen.root in self.counted  # it was counted there
            reason = self._review(link, request_set.closure, requested(seen), along=along)
            if reason is None:
                words = "deletion requested, approved by `deletions: auto`"
                action = deletion(request_set.closure, "auto", words, seen)
                self._do(link, request_set.closure, action, actions, blocked, along=along)
                return spent, []
            if not any(b.count == request_set.closure.local for b in void):
                count = request_set.closure.local
                blocked.append(Blocked("review", reason, count, how(link), root=seen.root))
        return spent, void

    def _orphans(
        self,
        link: Link,
        seen: LinkDeletions,
        approvals: Sequence[Approval],
        actions: list[Action],
        blocked: list[Blocked],
    ) -> list[Approval]:
        """Decide about local rows without a source row, which go only where an approval names them all."""
        found = seen.orphans
        if found is None or not found.count:
            return list(approvals)
        problems = {a.location: problem_of(found, a) for a in approvals}
        fitting = [a for a in approvals if problems[a.location] is None]
        for approval in fitting[:1]:
            words = f"{ORPHANS}; approved by {approval.by} on {approval.date}"
            action = deletion(found.closure, "orphans", words, seen, approval)
            gone = found.count - found.closure.local
            self._do(link, found.closure, action, actions, blocked, why=ORPHANS, gone=gone)
        if not fitting:
            blocked += [
                Blocked(
                    "review",
                    f"{ORPHANS}; the approval at {a.location} is void: {problems[a.location]}",
                    found.count,
                    f"{command('approve', link.address, '--orphans')} lists and approves them",
                )
                for a in approvals
            ]
        return []

    def _review(self, link: Link, closure: Closure, requested: str, *, along: bool) -> str | None:
        """Say why the deletion waits for a person, or None where it does not. `requested` begins the
        sentence.
        """
        if link.deletions == "review":
            return f"{requested}, not yet approved"
        strict = [a for a, _ in closure.whole if a in self.links and self.links[a].deletions == "review"]
        if strict:
            return (
                f"{requested}, not yet approved; it also deletes rows of {', '.join(strict)}, which has "
                "`deletions: review`"
            )
        over = None if along else self._over(link, closure)
        if over:
            return f"{requested}, not yet approved: {over}"
        return None

    def _unwanted(
        self, link: Link, closure: Closure, actions: list[Action], blocked: list[Blocked]
    ) -> tuple[int, tuple[str, ...]]:
        if closure.entities:
            over = self._over(link, closure)
            why = "no longer wanted (`unwanted: release`)"
            hidden = self._unfilled(link, closure.entities, why)
            hidden = hidden or self._hidden([link.address], closure.entities, why)
            if hidden:
                blocked.append(hidden)
            elif over:
                reason = f"no longer wanted (`unwanted: release`): {over}"
                hint = (
                    "if the manifest did not change, the source's rows did: check them first; if the "
                    "deletion is intended, raise `max_deletions` for the link, or run plan and apply with "
                    "--max-deletions"
                )
                blocked.append(Blocked("review", reason, closure.entities, hint))
            else:
                self._count(link, closure)
                words = "no longer wanted (`unwanted: release`)"
                alone = link.address in self.staying
                actions.append(Delete(closure.entities, (), closure.rows, "unwanted", words, alone=alone))
        if not closure.held:
            return 0, ()
        by = ", ".join(f"{rows.table} ({rows.rows:,})" for rows in closure.lab)
        return closure.held, (f"{closure.held:,} no longer wanted but kept: rows of {by} refer to them",)

    def _do(
        self,
        link: Link,
        closure: Closure,
        action: Delete,
        actions: list[Action],
        blocked: list[Blocked],
        *,
        why: str = DELETION_REQUESTED,
        gone: int = 0,
        along: bool = False,
    ) -> bool:
        """Let a set go, as far as nothing is in the way; whether the action is among the actions.

        `gone`: so many more of it are gone here already.
        `along`: it was counted with what another link lets go.
        """
        hidden = self._unfilled(link, closure.local, why)
        hidden = hidden or self._hidden([link.address, *(a for a, _ in closure.whole)], closure.local, why)
        if hidden:
            blocked.append(hidden)
            return False
        out = sorted(a for a, _ in closure.whole if a not in self.usable)
        if out:
            verb = "is" if len(out) == 1 else "are"
            reason = (
                f"{why}; it also deletes entities of {', '.join(out)}, which {verb} blocked or not in this "
                "plan"
            )
            blocked.append(Blocked("error", reason, closure.local, "plan without --target and --exclude"))
            return False
        goes = bool(closure.entities or gone or action.cause == "approved")
        if goes:
            actions.append(action)
            if action.cause == "auto":
                self.counted.add(link.address)
                if not along:
                    self._count(link, closure)
        if closure.held:
            blocked.append(kept_by_own_rows(link, closure, why))
        return goes

    def _unfilled(self, link: Link, count: int, why: str) -> Blocked | None:
        """What is in the way where tables below the link lack rows that may refer to what would go."""
        below = self.unfilled.get(link.address)
        if not below:
            return None
        reason = (
            f"{why}; rows of {', '.join(below)} that may refer to them are missing locally and are pulled "
            "first"
        )
        return Blocked("upstream", reason, count, "plan and apply again once they are pulled")

    def _hidden(self, addresses: Sequence[str], count: int, why: str) -> Blocked | None:
        """What is in the way where rows that nobody can look into would go, or change, along."""
        tables = sorted({name for a in addresses for name in self.unseen.get(a, ())})
        if not tables:
            return None
        rules = (
            "refers to them with ON DELETE CASCADE or SET NULL, and the local account cannot read its rows"
        )
        grants = "; ".join(f"GRANT SELECT ON {quoted_name(name)}" for name in tables)
        hint = f"grant the local account access ({grants}), then plan again"
        return Blocked("error", f"{why}; {', '.join(tables)} {rules}", count, hint)

    def _over(self, link: Link, closure: Closure) -> str | None:
        """What of the closure is over its link's `max_deletions`, in words."""
        for address, count in ((link.address, closure.entities), *closure.along):
            other = self.links.get(address)
            if other is None:  # not in this plan, so nothing of it is done
                continue
            before = self.lately.get(address, 0)
            most = (self.limit or other.most_deletions).entities(self.held.get(address, 0) + before)
            total = count + before + self.going[address]
            if total > most:
                of = "" if address == link.address else f" of {address}"
                return f"`max_deletions` exceeded: {total:,}{of} in 24 hours, limit {most:,}"
        return None

    def _count(self, link: Link, closure: Closure) -> None:
        self.going.update({link.address: closure.entities, **dict(closure.along)})
