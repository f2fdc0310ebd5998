"""Render plans and reports as JSON values. They contain counts and names, but no secret, row or key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from djlink_manifest.errors import Location
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.reconcile.plan.actions import (
    Action,
    AddForeignKey,
    AlterLocal,
    Approve,
    ChangeLocal,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    GiveUp,
    MakeViews,
    Mend,
    Move,
    NoteDefinition,
    NoteFilled,
    NoteRequests,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.plan.written import writes_to
from djlink_manifest.reconcile.runtime.events import (
    Advanced,
    Event,
    LinkOutcome,
    LinkStarted,
    Message,
    Report,
)
from djlink_manifest.reconcile.state.deletion_requests import Closure, LinkDeletions, moment_text
from djlink_manifest.report.plan.totals import Totals, of_link, of_plan

FORMAT_VERSION = 1

JSON = dict[str, Any]


def plan_json(plan: Plan) -> JSON:
    """Return the plan in the form of `schemas/plan.schema.json`."""
    return {
        "format_version": FORMAT_VERSION,
        "manifest": {"name": plan.manifest, "digest": plan.digest, "files": list(plan.files)},
        "local": asdict(plan.local),
        "sources": [asdict(server) for server in plan.sources],
        "has_changes": plan.has_changes,
        "has_errors": plan.has_errors,
        "summary": _totals(of_plan(plan)),
        "links": [link_json(link) for link in plan.links],
        "refusals": [
            {"address": r.address, "reason": r.reason, "hint": r.hint, "location": _location(r.location)}
            for r in plan.refusals
        ],
        "forgotten": [
            {"address": f.address, **asdict(f), "location": _location(f.location), "hint": f.hint}
            for f in plan.forgotten
        ],
        "removals": [
            {
                "address": r.address,
                "table": r.table,
                "local_table": f"{r.local_schema}.{r.local_table}",
                "held": r.held,
                "blocked": [asdict(block) for block in r.blocked],
                "location": _location(r.location),
            }
            for r in plan.removals
        ],
        "warnings": list(plan.warnings),
    }


def status_json(plan: Plan) -> JSON:
    """Return the counts of each link and its pending changes."""
    return {
        "format_version": FORMAT_VERSION,
        "manifest": {"name": plan.manifest, "digest": plan.digest, "files": list(plan.files)},
        "has_errors": plan.has_errors,
        "links": [
            {
                "address": link.address,
                "observed": link.observed,
                "source_rows": link.source_rows,
                "outbound_rows": link.outbound_rows,
                "local_rows": link.local_rows,
                "new": link.new,
                "pending": _totals(of_link(link)),
                "blocked": [asdict(block) for block in link.blocked],
                "drift": [asdict(drift) for drift in link.drift],
            }
            for link in plan.links
        ],
    }


def report_json(report: Report) -> JSON:
    """Return the result of an apply."""
    return {
        "format_version": FORMAT_VERSION,
        "succeeded": report.succeeded,
        "interrupted": report.interrupted,
        "seconds": report.seconds,
        "outcomes": [_outcome(outcome) for outcome in report.outcomes],
        "warnings": list(report.warnings),
    }


def event_json(event: Event) -> JSON:
    """Return one line of the stream of `apply --json`."""
    match event:
        case LinkStarted():
            return {"type": "link_started", **asdict(event)}
        case Advanced():
            return {"type": "link_advanced", **asdict(event)}
        case Message():
            return {"type": "said", **asdict(event)}
        case LinkOutcome():
            return {"type": "link_ended", **_outcome(event)}


def _outcome(outcome: LinkOutcome) -> JSON:
    plain = asdict(outcome)
    return {"address": plain.pop("address"), "status": plain.pop("status"), **plain.pop("counts"), **plain}


def link_json(link: LinkPlan) -> JSON:
    """Return one link of a plan."""
    return {
        "address": link.address,
        "wave": link.wave,
        "location": _location(link.location),
        "new": link.new,
        "after": [{"address": edge.parent, "kind": edge.kind} for edge in link.needs],
        "observed": link.observed,
        "source_rows": link.source_rows,
        "outbound_rows": link.outbound_rows,
        "local_rows": link.local_rows,
        "kept": link.kept,
        "left_out": [{"reason": reason, "count": count} for reason, count in link.left_out],
        "actions": [_action(action, source_of(link.address)) for action in link.actions],
        "blocked": [asdict(block) for block in link.blocked],
        "drift": [asdict(drift) for drift in link.drift],
        "warnings": list(link.warnings),
        "requests": _requests(link.requests) if link.requests and link.requests.request_groups else None,
    }


def _action(action: Action, source: str) -> JSON:
    """An action of a link of this source: what is done, where it is written, within which bounds.

    Definitions are told by their names and digests.
    """
    written, names = {"writes_to": sorted(writes_to(action, source))}, tuple[str, ...]()
    match action:
        case CreateOutbound():
            return {"kind": "create_outbound", **_fields(action, "server", "tables", "reason"), **written} | {
                "definitions": _definitions(action.definitions)
            }
        case CreateLocal():
            names = ("tables", "reason", "server", "new_schema", "remade")
            definitions = _definitions(action.definitions)
            refill = action.refill is not None
            return {"kind": "create_local", **_fields(action, *names), **written} | {
                "definitions": definitions,
                "refill": refill,
            }
        case Move():
            tables = [{"from": old, "to": new} for old, new in action.tables]
            named = _fields(action, "before", "reason", "server")
            return {"kind": "move", **named, "tables": tables, **written}
        case MakeViews():
            return {"kind": "make_views", **_fields(action, "server", "views", "reason"), **written}
        case AlterLocal():
            names = ("table", "columns", "indexes", "reason", "server", "after_rows")
            refill = action.refill is not None
            return {"kind": "alter_local", **_fields(action, *names), "refill": refill, **written}
        case ChangeLocal():
            names = ("table", "changes", "cost", "rows", "bytes", "reason", "server")
            return {"kind": "change_local", **_fields(action, *names), **written}
        case CopyLineage():
            return {"kind": "copy_lineage", **_fields(action, "schemas", "reason", "server"), **written}
        case NoteDefinition():
            names = ("server", "digest", "reason", "after_rows")
            return {"kind": "note_definition", **_fields(action, *names), **written}
        case NoteFilled():
            return {"kind": "note_filled", **_fields(action, "reason", "server"), **written}
        case NoteServer():
            names = ("reason", "server", "upgrade")
            identity = action.local_server.identity if action.local_server else None
            return {"kind": "note_server", **_fields(action, *names), "identity": identity, **written}
        case AddForeignKey():
            names = ("table", "columns", "parent", "reason", "server")
            return {"kind": "add_foreign_key", **_fields(action, *names), **written}
        case _:
            return {**_rows(action), **written}


def _rows(
    action: Pull
    | PullAgain
    | Refill
    | Register
    | Release
    | GiveUp
    | Claim
    | Mend
    | Delete
    | Approve
    | NoteRequests,
) -> JSON:
    """What is done with entities."""
    plain = asdict(action)
    match action:
        case Pull():
            return {"kind": "pull", **plain, "parts": _counts(action.parts, "part", "rows")}
        case PullAgain():
            return {"kind": "pull_again", **plain}
        case Refill():
            return {"kind": "refill", **plain}
        case Register():
            return {"kind": "register", **plain}
        case Release():
            return {"kind": "release", **plain}
        case GiveUp():
            return {"kind": "give_up", **plain}
        case Claim():
            return {"kind": "claim", **plain}
        case Delete():
            along = _counts(action.along, "address", "entities")
            return {"kind": "delete", **plain, "along": along, "rows": _counts(action.rows, "table", "rows")}
        case Approve():
            return {"kind": "approve", **plain}
        case Mend():
            return {"kind": "mend", **plain}
        case NoteRequests():
            return {"kind": "note_requests", **plain}


def _fields(action: Action, *names: str) -> JSON:
    found = {name: getattr(action, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _definitions(definitions: Iterable[TableDefinition]) -> list[JSON]:
    return [{"table": f"{t.schema}.{t.name}", "digest": t.digest()} for t in definitions]


def requests_json(plan: Plan, links: Sequence[LinkPlan]) -> JSON:
    """Return the requested deletions link by link, with the rows that would be deleted too.

    `unknown` are the links whose requests could not be read.
    """
    return {
        "format_version": FORMAT_VERSION,
        "manifest": {"name": plan.manifest, "digest": plan.digest, "files": list(plan.files)},
        "links": [
            {"address": link.address, **_requests(link.requests)}
            for link in links
            if link.requests and link.requests.request_groups
        ],
        "unknown": [
            {"address": link.address, "reason": block.reason, "hint": block.hint}
            for link in links
            for block in link.blocked
            if block.whole and not link.observed
        ],
    }


def _requests(seen: LinkDeletions) -> JSON:
    requested = seen.requested
    return {
        "asked": [{**asdict(each), "since": moment_text(each.since)} for each in seen.request_groups],
        "granted": _closure(seen.granted),
        "waiting": {
            "keys": requested.keys,
            "count": requested.count,
            "until": moment_text(requested.until) if requested.until else None,
            **_closure(requested.closure),
        }
        if requested
        else None,
    }


def _closure(closure: Closure) -> JSON:
    return {
        "here": closure.local,
        "can_go": closure.entities,
        "along": _counts(closure.whole, "address", "entities"),
        "rows": _counts(closure.rows, "table", "rows"),
        "held_back_by": [asdict(each) for each in closure.lab],
    }


def _counts(pairs: Iterable[tuple[str, int]], name: str, count: str) -> list[JSON]:
    return [{name: each, count: number} for each, number in pairs]


def _totals(totals: Totals) -> JSON:
    return asdict(totals)


def _location(location: Location | None) -> JSON | None:
    return asdict(location) if location else None
