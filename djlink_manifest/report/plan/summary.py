"""Render the result of an apply as lines: done, failed, not attempted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import LinkOutcome, Report
from djlink_manifest.report.plan.sentences import left_over
from djlink_manifest.report.screen.figures import counted, duration, size, stored
from djlink_manifest.report.screen.rows import DONE, FAILED, NOTE, WAITS, Row, set_in_columns
from djlink_manifest.report.screen.terminal import line


def report_lines(plan: Plan, report: Report) -> list[Text]:
    """Return the links that are done, failed or not attempted, with reasons, and a line of totals."""
    lines: list[Text] = []
    for title, status in (("Done", "done"), ("Failed", "failed"), ("Not attempted", "skipped")):
        rows = [row for each in report.outcomes if each.status == status for row in _rows(each)]
        if rows:
            lines += [line((title, "bold")), *set_in_columns(rows), line()]
    if report.warnings:
        warnings = [Row(NOTE, "", words, style="yellow") for words in report.warnings]
        lines += [line(("Warnings", "bold")), *set_in_columns(warnings), line()]
    lines.append(line((_sentence(report), "bold")))
    lines += [line((sentence, "bold")) for sentence in left_over(plan)]
    if report.interrupted:
        lines.append(line("Interrupted. Committed changes are kept; run `djlink apply` to continue."))
    elif any(each.status == "failed" for each in report.outcomes):
        lines.append(line("Committed changes are kept; fix the errors, then run `djlink apply` to continue."))
    return lines


def outcome_words(outcome: LinkOutcome) -> str:
    """Return what was committed for a link: `created, 1,240 rows pulled (18 MB), 3.2s`."""
    words = ["created"] if outcome.created else ["removed"] if outcome.taken_out else []
    words += ["altered"] if outcome.altered else []
    if outcome.foreign_keys:
        words.append(f"{counted(outcome.foreign_keys, 'foreign key')} added")
    if outcome.pulled:
        words.append(f"{counted(outcome.pulled, 'row')} pulled{_volume(outcome)}")
    if outcome.objects:
        words.append(f"{stored(outcome.objects, outcome.object_bytes)} copied")
    words += [
        f"{count:,} {what}"
        for count, what in (
            (outcome.refilled, "refilled"),
            (outcome.registered, "protected"),
            (outcome.released, "released"),
            (outcome.deleted, f"deleted locally ({counted(outcome.deleted_rows, 'row')} in total)"),
            (outcome.approved, "approved"),
            (outcome.mended, "repaired"),
            (outcome.noted, "recorded as requested"),
            (outcome.refused, "refused"),
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
    if outcome.hint:
        yield Row(NOTE, "", f"next: {outcome.hint}", style="dim")


def _wrote(outcome: LinkOutcome) -> bool:
    made = outcome.created or outcome.altered or outcome.foreign_keys
    gone = (outcome.deleted, outcome.approved, outcome.mended, outcome.noted)
    return any(gone) or any(
        (made, outcome.pulled, outcome.refilled, outcome.registered, outcome.released, outcome.refused)
    )


def _volume(outcome: LinkOutcome) -> str:
    along = []
    if outcome.rows > outcome.pulled:
        along.append(f"{outcome.rows - outcome.pulled:,} of parts")
    if outcome.bytes:
        along.append(size(outcome.bytes))
    return f" ({', '.join(along)})" if along else ""


def _sentence(report: Report) -> str:
    outcomes: Sequence[LinkOutcome] = report.outcomes
    counts = {s: sum(o.status == s for o in outcomes) for s in ("done", "failed", "skipped")}
    words = [f"{counted(counts['done'], 'link')} done"]
    if counts["failed"]:
        words.append(f"{counts['failed']:,} failed")
    if counts["skipped"]:
        words.append(f"{counts['skipped']:,} not attempted")
    sums = LinkOutcome(
        "",
        "done",
        pulled=sum(o.pulled for o in outcomes),
        rows=sum(o.rows for o in outcomes),
        bytes=sum(o.bytes for o in outcomes),
        refilled=sum(o.refilled for o in outcomes),
        registered=sum(o.registered for o in outcomes),
        released=sum(o.released for o in outcomes),
        refused=sum(o.refused for o in outcomes),
        seconds=report.seconds,
        foreign_keys=sum(o.foreign_keys for o in outcomes),
        objects=sum(o.objects for o in outcomes),
        object_bytes=sum(o.object_bytes for o in outcomes),
        deleted=sum(o.deleted for o in outcomes),
        deleted_rows=sum(o.deleted_rows for o in outcomes),
        approved=sum(o.approved for o in outcomes),
        mended=sum(o.mended for o in outcomes),
        noted=sum(o.noted for o in outcomes),
    )
    return f"Apply: {', '.join(words)}; {outcome_words(sums)}."
