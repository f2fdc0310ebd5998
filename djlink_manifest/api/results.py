"""What pulls and questions give back: values, which a notebook shows as small tables."""

from __future__ import annotations

from dataclasses import dataclass

from djlink_manifest.model.counting import counted
from djlink_manifest.reconcile.plan.actions import Blocked, Drift, Pull, PullAgain
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.reconcile.runtime.events import LinkOutcome
from djlink_manifest.report.plan.html import table_html

NOT_IN_WHERE = "not selected by `where`"  # as the core says it of a manifest


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did.

    `entities` came over, with all their `rows` (of parts too) and `bytes`; `registered` were here already,
    equal to the source's, and are protected now. `left_out` says how many entities of the source were not
    asked for or could not come, by reason; `blocked` what is due and not done. `along` tells of the parents
    that a manifest's link brought along.
    """

    address: str
    entities: int = 0
    rows: int = 0
    bytes: int = 0
    registered: int = 0
    seconds: float = 0.0
    left_out: tuple[tuple[str, int], ...] = ()
    blocked: tuple[Blocked, ...] = ()
    along: tuple[LinkOutcome, ...] = ()

    def _repr_html_(self) -> str:
        came = f"{counted(self.entities, 'entity', 'entities')} ({counted(self.rows, 'row')}"
        rows = [
            ("pulled", f"{came}, {self.bytes:,} bytes)"),
            *([("protected", f"{self.registered:,}")] if self.registered else []),
            *((f"also pulled: {each.address}", f"{each.counts.pulled:,}") for each in self.along),
            *((reason, f"{count:,} skipped") for reason, count in self.left_out),
            *((each.reason, f"{each.count:,} blocked") for each in self.blocked),
        ]
        return table_html(self.address, rows)


@dataclass(frozen=True, slots=True)
class Status:
    """How a link stands: entities at the source, held there for us, and here.

    `to_pull` could come now; `kept` are here though a manifest wants them no longer; `blocked` is what is due
    and not done, deletion requests among it; `drift` what no djlink leaves behind.
    """

    address: str
    source: int
    held: int
    local: int
    to_pull: int
    kept: int
    blocked: tuple[Blocked, ...] = ()
    drift: tuple[Drift, ...] = ()

    @property
    def awaiting(self) -> int:
        """How many entities await a decision of ours: the source asks to delete them."""
        return sum(each.count for each in self.blocked if each.kind == "review")

    def _repr_html_(self) -> str:
        rows = [
            ("at the source", f"{self.source:,}"),
            ("held", f"{self.held:,}"),
            ("here", f"{self.local:,}"),
            ("to pull", f"{self.to_pull:,}"),
            *((each.reason, f"{each.count:,} blocked" if each.count else "blocked") for each in self.blocked),
            *((each.reason, f"{each.count:,} drifted" if each.count else "drift") for each in self.drift),
        ]
        return table_html(self.address, rows)


def status_of(link: LinkPlan) -> Status:
    """The status that a link's plan tells."""
    return Status(
        link.address,
        link.source_rows,
        link.outbound_rows,
        local=link.local_rows,
        to_pull=sum(a.entities for a in link.actions if isinstance(a, Pull | PullAgain)),
        kept=link.kept,
        blocked=link.blocked,
        drift=link.drift,
    )


def pulled_of(link: LinkPlan, outcomes: tuple[LinkOutcome, ...]) -> Pulled:
    """What a pull did, from the link's plan and how the work ended."""
    outcome = next((o for o in outcomes if o.address == link.address), LinkOutcome(link.address, "done"))
    return Pulled(
        link.address,
        outcome.counts.pulled,
        outcome.counts.rows,
        bytes=outcome.counts.bytes,
        registered=outcome.counts.registered,
        seconds=outcome.seconds,
        left_out=tuple(
            ("outside the restriction" if reason == NOT_IN_WHERE else reason, n)
            for reason, n in link.left_out
        ),
        blocked=link.blocked,
        along=tuple(o for o in outcomes if o is not outcome and (o.counts.pulled or o.counts.created)),
    )
