"""Split the counts of a plan: what the change of the manifest brings, and what is due without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.totals import Totals, of_link, of_plan
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.rows import CHANGE, CREATE, DELETE, NOTE, TROUBLE, Row

# what is split, as a noun and what becomes of it; of the rest a sum over links says nothing
WORDS: Mapping[str, tuple[str, str]] = {
    "create": ("link", "to create"),
    "complete": ("link", "to complete"),
    "alter": ("link", "to alter"),
    "move": ("link", "to move"),
    "remove": ("link", "to remove"),
    "foreign_keys": ("foreign key", "to add"),
    "pull": ("row", "to pull"),
    "resume": ("row", "to resume"),
    "refill": ("row", "to refill"),
    "register": ("row", "to protect"),
    "release": ("row", "to release"),
    "delete": ("row", "to delete locally"),
    "along": ("row", "of other links to delete with them"),
    "approve": ("row", "to approve"),
    "mend": ("row", "to repair"),
    "awaiting_rows": ("row", "awaiting approval"),
    "blocked": ("link", "blocked"),
    "blocked_rows": ("row", "blocked"),
    "not_attempted": ("link", "not attempted"),
    "drifting": ("link", "with drift"),
    "kept": ("row", "kept"),
    "refused": ("part", "of the manifest refused"),
    "forgotten": ("link", "forgotten"),
    "forgotten_rows": ("row", "of forgotten links still held"),
}
OLD_ERRORS = "the plan of the old manifest has errors: what they block there counts as brought by this change"
DELETING = frozenset({"remove", "release", "delete", "along", "approve", "forgotten", "forgotten_rows"})
TROUBLING = frozenset({"blocked", "blocked_rows", "not_attempted", "drifting", "refused"})


@dataclass(frozen=True, slots=True)
class Split:
    """A count of the plan, and the same of the plan of the old manifest, which the sources account for."""

    total: int
    by_sources: int

    @property
    def by_change(self) -> int:
        """What the change of the manifest adds, or takes away where it is negative."""
        return self.total - self.by_sources


Splits: TypeAlias = "tuple[tuple[str, Split], ...]"
Side: TypeAlias = Literal["both", "new", "old"]


@dataclass(frozen=True, slots=True)
class LinkSplit:
    """The counts of one link that are not zero on either side; `side` says which manifest declares it."""

    address: str
    side: Side
    counts: Splits


@dataclass(frozen=True, slots=True)
class Against:
    """A plan compared with that of an old manifest, made from the same servers at the same time.

    `name` is what the old manifest was called, `has_errors` tells that its plan has errors of its own.
    """

    name: str
    digest: str
    has_errors: bool
    summary: Splits
    links: tuple[LinkSplit, ...]


def against(name: str, old: Plan, new: Plan) -> Against:
    """Return the comparison of two plans."""
    before, after = ({link.address: link for link in plan.links} for plan in (old, new))
    links = []
    for address in sorted({*before, *after}):
        one, other = before.get(address), after.get(address)
        side: Side = "both" if one and other else "new" if other else "old"
        counts = _splits(of_link(one) if one else Totals(), of_link(other) if other else Totals())
        if side != "both" or any(split.by_change for _, split in counts):
            links.append(LinkSplit(address, side, counts))
    return Against(name, old.digest, old.has_errors, _splits(of_plan(old), of_plan(new)), tuple(links))


def against_sentence(compared: Against) -> str:
    """Return how much of the plan the change brings, in one sentence."""
    changed = [_signed(name, split.by_change) for name, split in compared.summary if split.by_change]
    due = [_said(name, split.by_sources) for name, split in compared.summary if split.by_sources]
    return (
        f"Compared with {compared.name}: by this change {', '.join(changed) or 'nothing'}; "
        f"by the sources {', '.join(due) or 'nothing'}."
    )


def against_rows(compared: Against) -> Iterator[Row]:
    """Yield a row for each count and for each link that the change concerns."""
    if compared.has_errors:
        yield Row(TROUBLE, compared.name, OLD_ERRORS)
    for name, split in compared.summary:
        words = f"{split.by_change:+,} by this change, {split.by_sources:,} by the sources"
        yield Row(_symbol(name), _said(name, split.total), words)
    yield from link_rows(compared)


def link_rows(compared: Against) -> Iterator[Row]:
    """Yield rows for each link that the change concerns."""
    for link in compared.links:
        if link.side == "old":
            yield Row(DELETE, link.address, "no longer declared")
        elif not link.counts:
            yield Row(NOTE, link.address, "newly declared, with nothing to do")
        rest = link.address if link.side != "old" else ""
        for name, split in link.counts:
            if split.by_change:
                words = f"{_signed(name, split.by_change)} by this change"
                words += f", {split.by_sources:,} by the sources" if split.by_sources else ""
                yield Row(_symbol(name), rest, words)
                rest = ""


def against_json(compared: Against) -> dict[str, Any]:
    """Return the comparison for the JSON of a plan."""
    return {
        "name": compared.name,
        "digest": compared.digest,
        "has_errors": compared.has_errors,
        "summary": _counts(compared.summary),
        "links": [
            {"address": link.address, "side": link.side, "counts": _counts(link.counts)}
            for link in compared.links
        ],
    }


def _counts(counts: Splits) -> list[dict[str, Any]]:
    return [
        {"what": name, "total": split.total, "by_change": split.by_change, "by_sources": split.by_sources}
        for name, split in counts
    ]


def _splits(old: Totals, new: Totals) -> Splits:
    pairs = ((name, Split(getattr(new, name), getattr(old, name))) for name in WORDS)
    return tuple((name, split) for name, split in pairs if split.total or split.by_sources)


def figures(compared: Against) -> Iterator[tuple[str, str, str, str]]:
    """Yield what is counted, in all, by this change and by the sources, as text for a table."""
    for name, split in compared.summary:
        noun, rest = WORDS[name]
        by_change = f"{split.by_change:+,}" if split.by_change else "0"
        yield f"{noun}s {rest}", f"{split.total:,}", by_change, f"{split.by_sources:,}"


def _signed(name: str, count: int) -> str:
    return f"{'+' if count > 0 else '−'}{_said(name, abs(count))}"


def _said(name: str, count: int) -> str:
    noun, rest = WORDS[name]
    return f"{counted(count, noun)} {rest}"


def _symbol(name: str) -> str:
    if name in DELETING:
        return DELETE
    return TROUBLE if name in TROUBLING else CREATE if name in ("create", "pull") else CHANGE
