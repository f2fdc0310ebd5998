"""Render an adoption as lines and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from djlink_manifest.model.server.catalog import Mark
from djlink_manifest.reconcile.adopt.rehearsal import Adoption, Rehearsal
from djlink_manifest.report.plan.json_form import plan_json
from djlink_manifest.report.plan.text import plan_lines, refusal_lines
from djlink_manifest.report.screen.layout import Item
from djlink_manifest.report.screen.terminal import line

FORMAT_VERSION = 1


def rehearsal_lines(rehearsal: Rehearsal) -> list[Item]:
    """Return the tables to adopt with their owners, the refusals, and the plan after the adoption."""
    lines = list[Item]()
    if rehearsal.adoptions:
        lines.append(line(("Adopt", "bold")))
        for each in rehearsal.adoptions:
            lines += _adoption(each)
    for address in rehearsal.right:
        lines.append(
            line(
                ("No change  ", "bold"),
                f"{address}: its tables do not exist yet, or already belong to this manifest",
            )
        )
    if rehearsal.refusals:
        lines += [line(("Refused", "bold")), *refusal_lines(rehearsal.refusals)]
    if rehearsal.plan is not None:
        lines += [
            line(),
            line(("Afterwards, an apply would make these changes:", "bold")),
            *plan_lines(rehearsal.plan),
        ]
    return lines


def rehearsal_json(rehearsal: Rehearsal, *, adopted: bool) -> dict[str, Any]:
    """Return the rehearsal as a JSON value; `adopted` states whether the marks were written."""
    return {
        "format_version": FORMAT_VERSION,
        "adopted": adopted,
        "adoptions": [
            {
                "address": each.address,
                "outbound_before": _whose(each.outbound_before),
                "local_before": _whose(each.local_before),
                "tables": [{"server": server, "table": table} for server, table in each.stands],
                "notes": list(each.notes),
            }
            for each in rehearsal.adoptions
        ],
        "right": list(rehearsal.right),
        "refusals": [
            {**asdict(r), "location": asdict(r.location) if r.location else None} for r in rehearsal.refusals
        ],
        "plan": plan_json(rehearsal.plan) if rehearsal.plan is not None else None,
    }


def _adoption(each: Adoption) -> list[Item]:
    lines = [line("  ", (each.address, "bold"))]
    for server, mark, side in (
        (each.source, each.outbound_before, "outbound"),
        ("local", each.local_before, "local"),
    ):
        tables = [table for where, table in each.stands if where == server]
        if tables:
            words = f"{', '.join(tables)}: {_words(mark)}"
            lines.append(line("    ", (f"{side:<8} ", "cyan"), words))
    return [*lines, *(line("    ", ("note     ", "cyan"), note) for note in each.notes)]


def _words(mark: Mark | None) -> str:
    if mark is None:
        return "owned by no manifest"
    who = f" ({mark.contact})" if mark.contact else ""
    return f"owned by the manifest `{mark.manifest}`{who}, local server `{mark.local_server}`"


def _whose(mark: Mark | None) -> dict[str, Any] | None:
    if mark is None:
        return None
    return {
        "manifest": mark.manifest,
        "contact": mark.contact,
        "local_server": mark.local_server,
        "local_table": f"{mark.local_schema}.{mark.local_table}",
    }
