"""Render plans and reports as JSON values. They contain counts and names, but no secret, row or key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from djlink_manifest import __version__
from djlink_manifest.errors import Location
from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.reconcile.plan.bounds import removal_bound
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.plan.terms import PlanTerms
from djlink_manifest.reconcile.runtime.events import (
    Advanced,
    Event,
    LinkOutcome,
    LinkStarted,
    Message,
    Report,
)
from djlink_manifest.reconcile.state.deletion_requests import Closure, LinkDeletions, moment_text
from djlink_manifest.report.plan.against import Against, against_json
from djlink_manifest.report.plan.json_actions import JSON, action_json, bound_json, counts_json
from djlink_manifest.report.plan.totals import Totals, of_link, of_plan

FORMAT_VERSION = 1
PLAN_VERSION = 2  # of the plan alone, which is kept as a file


def plan_json(plan: Plan, terms: PlanTerms | None = None, against: Against | None = None) -> JSON:
    """Return the plan in the form of `schemas/plan.schema.json`, with a comparison where one was made.

    `terms` say how the plan was asked for, so that it can be applied from a file; without them it can only be
    shown.
    """
    found = {
        "format_version": PLAN_VERSION,
        "document": "djlink plan",
        "djlink": __version__,
        "terms": _terms(terms) if terms else None,
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
                "local_schema": r.local_schema,
                "drop_keys": [
                    {"table": f"{schema}.{name}", "foreign_key": key} for (schema, name), key in r.drop_keys
                ],
                "bound": bound_json(removal_bound(r)),
            }
            for r in plan.removals
        ],
        "warnings": list(plan.warnings),
        "against": against_json(against) if against else None,
    }
    return {**found, "checksum": checksum(found)}


def checksum(value: JSON) -> str:
    """Return a digest of a plan's JSON but for its checksum: it tells a file that was damaged or edited."""
    rest = {name: each for name, each in value.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


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
        "actions": [action_json(action, source_of(link.address), dict(link.sets)) for action in link.actions],
        "blocked": [asdict(block) for block in link.blocked],
        "drift": [asdict(drift) for drift in link.drift],
        "warnings": list(link.warnings),
        "requests": _requests(link.requests) if link.requests and _is_told(link.requests) else None,
        "definitions": dict(link.definitions) or None,
    }


def _is_told(seen: LinkDeletions) -> bool:
    return bool(seen.request_groups or seen.requested)


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
        "now": moment_text(seen.now) if seen.now else None,
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
        "along": counts_json(closure.whole, "address", "entities"),
        "going": counts_json(closure.along, "address", "entities"),
        "rows": counts_json(closure.rows, "table", "rows"),
        "held_back_by": [asdict(each) for each in closure.lab],
    }


def _totals(totals: Totals) -> JSON:
    return asdict(totals)


def _terms(terms: PlanTerms) -> JSON:
    return {
        "made": terms.made,
        "files": list(terms.files),
        "targets": list(terms.targets),
        "excludes": list(terms.excludes),
        "verify": terms.verify,
        "max_growth": asdict(terms.max_growth) if terms.max_growth else None,
    }


def _location(location: Location | None) -> JSON | None:
    return asdict(location) if location else None
