"""Render the result of an apply as lines: done, failed, not attempted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Counts, LinkOutcome, Report
from djlink_manifest.report.plan.sentences import left_over
from djlink_manifest.report.screen.figures import counted, duration, size, stored
from djlink_manifest.report.screen.layout import Item, Rows
from djlink_manifest.report.screen.rows import DONE, FAILED, NOTE, WAITS, Row
from djlink_manifest.report.screen.terminal import line


def report_lines(plan: Plan, report: Report, *, told: bool = False) -> list[Item]:
    """Return the links that are done, failed or not attempted, with reasons, and a line of totals.

    `told`: who is done was shown while the apply ran, and is left out here unless something of it is blocked.
    """
    lines: list[Item] = []
    for title, status in (("Done", "done"), ("Failed", "failed"), ("Not attempted", "skipped")):
        shown = [o for o in report.outcomes if o.status == status and not (told and _is_plain(o))]
        rows = [row for each in shown for row in _rows(each)]
        if rows:
            lines += [line((title, "bold")), Rows(tuple(rows)), line()]
    if report.warnings:
        warnings = [Row(NOTE, "", words, style="yellow") for words in report.warnings]
        lines += [line(("Warnings", "bold")), Rows(tuple(warnings)), line()]
    lines.append(line((_sentence(report), "bold")))
    lines += [line((sentence, "bold")) for sentence in left_over(plan)]
    if report.interrupted:
        lines.append(line("Interrupted. Committed changes are kept; run `djlink apply` to continue."))
    elif any(each.status == "failed" for each in report.outcomes):
        lines.append(line("Committed changes are kept; fix the errors, then run `djlink apply` to continue."))
    return lines


def outcome_words(outcome: LinkOutcome) -> str:
    """Return what was committed for a link: `created, 1,240 rows pulled (18 MB), 3.2s`."""
    words = ["created"] if outcome.counts.created else ["removed"] if outcome.taken_out else []
    words += ["altered"] if outcome.counts.altered else []
    words += ["moved"] if outcome.counts.moved else []
    if outcome.counts.foreign_keys:
        words.append(f"{counted(outcome.counts.foreign_keys, 'foreign key')} added")
    if outcome.counts.pulled:
        words.append(f"{counted(outcome.counts.pulled, 'row')} pulled{_volume(outcome)}")
    if outcome.counts.objects:
        words.append(f"{stored(outcome.counts.objects, outcome.counts.object_bytes)} copied")
    words += [
        f"{count:,} {what}"
        for count, what in (
            (outcome.counts.refilled, "refilled"),
            (outcome.counts.registered, "protected"),
            (outcome.counts.released, "released"),
            (
                outcome.counts.deleted,
                f"deleted locally ({counted(outcome.counts.deleted_rows, 'row')} in total)",
            ),
            (outcome.counts.approved, "approved"),
            (outcome.counts.mended, "repaired"),
            (outcome.counts.noted, "recorded as requested"),
            (outcome.counts.refused, "refused"),
        )
        if count
    ]
    return ", ".join([*(words or ["no rows written"]), duration(outcome.seconds)])


def _rows(outcome: LinkOutcome) -> Iterator[Row]:
    if outcome.status == "done":
        yield Row(DONE, outcome.address, outcome_words(outcome))
        if outcome.problem:
            yield Row(NOTE, "", outcome.problem, style="yellow")
    elif outcome.status == "failed":
        yield Row(FAILED, outcome.address, outcome.problem or "no reason given", style="red")
        if _wrote(outcome):
            yield Row(NOTE, "", f"committed before: {outcome_words(outcome)}", style="dim")
    else:
        yield Row(WAITS, outcome.address, outcome.problem or "no reason given", style="dim")
    for block in outcome.blocked:
        if block.reason != outcome.problem:
            yield Row(NOTE, "", f"{counted(block.count, 'row')} blocked: {block.reason}", style="yellow")
            if block.hint:
                yield Row(NOTE, "", f"next: {block.hint}", style="dim")
    if outcome.hint:
        yield Row(NOTE, "", f"next: {outcome.hint}", style="dim")


def _is_plain(outcome: LinkOutcome) -> bool:
    """Whether a link is done, and there is nothing more to say of it."""
    return outcome.status == "done" and not (outcome.problem or outcome.blocked or outcome.hint)


def _wrote(outcome: LinkOutcome) -> bool:
    made = outcome.counts.created or outcome.counts.altered or outcome.counts.moved
    gone = (outcome.counts.deleted, outcome.counts.approved, outcome.counts.mended, outcome.counts.noted)
    return any(gone) or any(
        (
            made,
            outcome.counts.foreign_keys,
            outcome.counts.pulled,
            outcome.counts.refilled,
            outcome.counts.registered,
            outcome.counts.released,
            outcome.counts.refused,
        )
    )


def _volume(outcome: LinkOutcome) -> str:
    along = []
    if outcome.counts.rows > outcome.counts.pulled:
        along.append(f"{outcome.counts.rows - outcome.counts.pulled:,} of parts")
    if outcome.counts.bytes:
        along.append(size(outcome.counts.bytes))
    return f" ({', '.join(along)})" if along else ""


def _sentence(report: Report) -> str:
    outcomes: Sequence[LinkOutcome] = report.outcomes
    states = {s: sum(o.status == s for o in outcomes) for s in ("done", "failed", "skipped")}
    words = [f"{counted(states['done'], 'link')} done"]
    if states["failed"]:
        words.append(f"{states['failed']:,} failed")
    if states["skipped"]:
        words.append(f"{states['skipped']:,} not attempted")
    # what was made is told link by link
    total = replace(sum((o.counts for o in outcomes), Counts()), created=False, altered=False, moved=False)
    sums = LinkOutcome("", "done", total, seconds=report.seconds)
    return f"Apply: {', '.join(words)}; {outcome_words(sums)}."
