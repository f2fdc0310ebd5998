"""Render the explanation of one entity as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.text import Text

from djlink_manifest.model.links.entity import Step
from djlink_manifest.model.links.explanation import Explanation, KeyText, Reason, Records, told_once
from djlink_manifest.reconcile.plan.actions import (
    Approve,
    Delete,
    Mend,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.report.plan.json_form import link_json
from djlink_manifest.report.screen.terminal import Span, line

FORMAT_VERSION = 1
ROWS = (Pull, PullAgain, Refill, Register, Release, Delete, Approve, Mend)
LETTERS = (
    ("S", "source"),
    ("O", "outbound"),
    ("L", "local"),
    ("R", "requested"),
    ("A", "approved"),
)


def explanation_lines(told: Explanation, plan: LinkPlan) -> list[Text]:
    """Return where the entity exists, why it is wanted or not, the next step, and what blocks it."""
    place = f"   {plan.location}" if plan.location else ""
    lines = [line((told.address, "bold"), f"  {keyed(told.key)}", (place, "dim"))]
    facts: list[Span] = ["  "]
    for (letter, word), value in zip(LETTERS, told.presence, strict=True):
        facts += [(f"{letter} {int(value)}", "bold green" if value else "dim"), f" {word}   "]
    lines += [line(*facts), line("  ", ("state    ", "cyan"), (told.state, "bold"))]
    if told.equal is not None:
        same = (
            "its rows are the same on both sides" if told.equal else "its rows differ between the two sides"
        )
        lines.append(line("  ", ("rows     ", "cyan"), same))
    lines += [line("  ", ("since    ", "cyan"), words) for words in _records(told.records)]
    lines += [line(), line(("Wanted: ", "bold"), _wanted(told))]
    lines += _reasons(told_once(told.reasons), "  ")
    return [*lines, line(), *_follows(told, plan)]


def explanation_json(told: Explanation, plan: LinkPlan) -> dict[str, Any]:
    """Return the explanation as a JSON value; times are in UTC."""
    stamps = {
        name: value.isoformat(sep=" ") if hasattr(value, "isoformat") else value
        for name, value in asdict(told.records).items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "address": told.address,
        "key": dict(told.key),
        "presence": told.presence._asdict(),
        "state": told.state,
        "wanted": told.wanted,
        "pullable": told.pullable,
        "step": told.step,
        "equal": told.equal,
        "records": stamps,
        "reasons": [_reason(each) for each in told_once(told.reasons)],
        "link": link_json(plan),
    }


def keyed(key: KeyText) -> str:
    """Return a key as text: `subject=A1, session=3`."""
    return ", ".join(f"{name}={value}" for name, value in key)


def _wanted(told: Explanation) -> str:
    if not told.presence.source:
        return "no: the source has no such row"
    if told.wanted and told.pullable:
        return "yes, and pullable" if told.reasons else "yes: no rule restricts this link"
    return "yes, but not pullable" if told.wanted else "no"


def _reasons(reasons: Iterable[Reason], indent: str) -> Iterator[Text]:
    for each in reasons:
        sign = ("✓", "bold green") if each.holds else ("✗", "bold red")
        who = f": {each.parent}" if each.parent else ""
        key = f" ({keyed(each.key)})" if each.key else ""
        key += ", see above" if each.repeated else ""
        place = f"   {each.place}" if each.place else ""
        yield line(
            indent,
            sign,
            " ",
            (each.rule.ljust(11), "cyan"),
            f" {each.words}",
            (who, "bold"),
            key,
            (place, "dim"),
        )
        yield from _reasons(each.because, indent + "    ")


def _records(records: Records) -> Iterator[str]:
    if records.pulled_at:
        yield f"held since {records.pulled_at} UTC"
    if records.requested_at:
        reason = f": {records.reason}" if records.reason else ""
        yield f"deletion requested by {records.requested_by} at {records.requested_at} UTC{reason}"
    if records.granted_at:
        yield f"deletion granted at {records.granted_at} UTC"
    if records.approved_at:
        yield f"deletion approved by {records.approved_by} at {records.approved_at} UTC"


def _follows(told: Explanation, plan: LinkPlan) -> Iterator[Text]:
    step = "nothing" if told.step == Step.NOTHING.value else told.step
    yield line(("Next step: ", "bold"), step)
    if plan.is_stopped:
        yield line("  ", ("!", "bold yellow"), " the link is blocked, so nothing is done")
    elif any(isinstance(action, ROWS) for action in plan.actions):
        yield line("  ", ("✓", "bold green"), " the next `djlink apply` does this")
    for block in plan.blocked:
        sign = ("⏸", "bold magenta") if block.kind == "review" else ("!", "bold yellow")
        yield line("  ", sign, f" {block.reason}")
        if block.hint:
            yield line("      ", (f"next: {block.hint}", "dim"))
    for drift in plan.drift:
        if drift.count:
            yield line("  ", ("!", "bold yellow"), f" {drift.reason}")


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "rule": reason.rule,
        "holds": reason.holds,
        "words": reason.words,
        "parent": reason.parent or None,
        "key": dict(reason.key) or None,
        "place": reason.place or None,
        "because": [_reason(each) for each in reason.because],
        "repeated": reason.repeated,
    }
