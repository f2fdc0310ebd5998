"""Render the explanation of one entity as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.text import Text

from djlink_manifest.model.links.entity import Step
from djlink_manifest.model.links.explanation import Explanation, KeyText, Reason, Records, distinct_reasons
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
from djlink_manifest.report.screen.layout import Flow, Hanging, Item
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


def explanation_lines(explanation: Explanation, plan: LinkPlan) -> list[Item]:
    """Return where the entity exists, why it is wanted or not, the next step, and what blocks it."""
    place = f"   {plan.location}" if plan.location else ""
    head = line((explanation.address, "bold"), f"  {keyed(explanation.key)}", (place, "dim"))
    facts = (
        line((f"{letter} {int(value)}", "bold green" if value else "dim"), f" {word}")
        for (letter, word), value in zip(LETTERS, explanation.presence, strict=True)
    )
    lines: list[Item] = [Hanging(head, 2), Flow(tuple(facts)), _fact("state", (explanation.state, "bold"))]
    if explanation.equal is not None:
        same = (
            "its rows are the same on both sides"
            if explanation.equal
            else "its rows differ between the two sides"
        )
        lines.append(_fact("rows", same))
    lines += [_fact("since", words) for words in _records(explanation.records)]
    lines += [line(), line(("Wanted: ", "bold"), _wanted(explanation))]
    lines += _reasons(distinct_reasons(explanation.reasons), "  ")
    return [*lines, line(), *_follows(explanation, plan)]


def _fact(label: str, words: Span) -> Hanging:
    return Hanging(line("  ", (label.ljust(9), "cyan"), words), 11)


def explanation_json(explanation: Explanation, plan: LinkPlan) -> dict[str, Any]:
    """Return the explanation as a JSON value; times are in UTC."""
    stamps = {
        name: value.isoformat(sep=" ") if hasattr(value, "isoformat") else value
        for name, value in asdict(explanation.records).items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "address": explanation.address,
        "key": dict(explanation.key),
        "presence": explanation.presence._asdict(),
        "state": explanation.state,
        "wanted": explanation.wanted,
        "pullable": explanation.pullable,
        "step": explanation.step,
        "equal": explanation.equal,
        "records": stamps,
        "reasons": [_reason(each) for each in distinct_reasons(explanation.reasons)],
        "link": link_json(plan),
    }


def keyed(key: KeyText) -> str:
    """Return a key as text: `subject=A1, session=3`."""
    return ", ".join(f"{name}={value}" for name, value in key)


def _wanted(explanation: Explanation) -> str:
    if not explanation.presence.source:
        return "no: the source has no such row"
    if explanation.wanted and explanation.pullable:
        return "yes, and pullable" if explanation.reasons else "yes: no rule restricts this link"
    return "yes, but not pullable" if explanation.wanted else "no"


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


def _follows(explanation: Explanation, plan: LinkPlan) -> Iterator[Text]:
    step = "nothing" if explanation.step == Step.NOTHING.value else explanation.step
    yield line(("Next step: ", "bold"), step)
    if any(isinstance(action, ROWS) for action in plan.actions):
        yield line("  ", ("✓", "bold green"), " the next `djlink apply` does this")
    elif plan.is_stopped:
        what = "no row is pulled, refilled or protected" if plan.observed else "nothing is done"
        yield line("  ", ("!", "bold yellow"), f" the link is blocked, so {what}")
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
