"""What of a plan concerns a reviewer, as annotations at the lines of the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from djlink_manifest.errors import Location
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.state.snapshot import Forgotten
from djlink_manifest.report.plan.deletions import deletion_rows
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.screen.annotations import Annotation, Level, joined
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.rows import DELETE


def plan_annotations(plan: Plan) -> list[Annotation]:
    """Return errors, then what waits, drifts or goes, each link's findings at its line, and the summary."""
    top = Location(plan.files[0] if plan.files else plan.manifest or "djlink.yaml", 1, 1)
    found = [
        *_servers(plan, top),
        *(
            Annotation("error", "refused", f"{r.address}: {joined(r.reason, r.hint)}", r.location or top)
            for r in plan.refusals
        ),
        *(each for link in plan.links for each in _link(link, link.location or top)),
        *_removals(plan, top),
        *(
            Annotation(
                "warning", "forgotten", f"{f.address}: {_held(f.held)}{f.hint}", _place_of(f, plan) or top
            )
            for f in plan.forgotten
        ),
        *(Annotation("warning", "warning", words, _place_in(words, plan) or top) for words in plan.warnings),
    ]
    order: dict[Level, int] = {"error": 0, "warning": 1, "notice": 2}
    found.sort(key=lambda each: order[each.level])
    return [*found, Annotation("notice", "summary", " ".join(words.strip() for words in closing(plan)), top)]


def _place_in(words: str, plan: Plan) -> Location | None:
    """Return the place with which words begin, if it is in one of the plan's files: `approvals.yaml:5: …`."""
    for name in plan.files:
        rest = words.removeprefix(f"{name}:")
        if rest != words and (found := re.match(r"([1-9][0-9]{0,8})(?=:|$)", rest)):
            return Location(name, int(found[1]), 1)
    return None


def _place_of(forgotten: Forgotten, plan: Plan) -> Location | None:
    """Return where `removed` stands, else the first link of the same schema, else of the same source: the
    declaration was near it.
    """
    if forgotten.location:
        return forgotten.location
    schema = forgotten.address.rpartition(".")[0]
    for above in (schema, schema.partition(".")[0]):
        places = [p.location for p in plan.links if p.location and p.address.startswith(f"{above}.")]
        if places:
            return min(places)
    return None


def _servers(plan: Plan, top: Location) -> Iterator[Annotation]:
    for server in (plan.local, *plan.sources):
        if server.problem:
            yield Annotation("error", "server", f"{server.name}: {joined(server.problem, server.hint)}", top)


def _link(link: LinkPlan, place: Location) -> Iterator[Annotation]:
    for block in link.blocked:
        count = f"{counted(block.count, 'row')}: " if block.count else ""
        words = f"{link.address}: {count}{joined(block.reason, block.hint)}"
        if block.kind == "review":
            yield Annotation("warning", "review", words, place)
        else:
            yield Annotation("error" if block.kind == "error" else "warning", "blocked", words, place)
    for drift in link.drift:
        count = f"{counted(drift.count, 'row')}: " if drift.count else ""
        yield Annotation(
            "warning", "drift", f"{link.address}: {count}{joined(drift.reason, drift.hint)}", place
        )
    for row in deletion_rows(link):
        if row.symbol == DELETE:
            yield Annotation("warning", "deletion", f"{link.address}: {row.words}", place)
    for warning in link.warnings:
        yield Annotation("notice", "warning", f"{link.address}: {warning}", place)


def _removals(plan: Plan, top: Location) -> Iterator[Annotation]:
    for each in plan.removals:
        place = each.location or top
        for block in each.blocked:
            yield Annotation("error", "blocked", f"{each.address}: {joined(block.reason, block.hint)}", place)
        if not each.blocked:
            words = f"{each.address}: {counted(each.held, 'row')} released, local table: {each.table}"
            yield Annotation("warning", "deletion", words, place)


def _held(count: int | None) -> str:
    return f"{counted(count, 'row')} still held; " if count else ""
