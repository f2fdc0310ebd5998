"""The JSON of plans, reports and problems: as the schema says, and the same facts as on the screen."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import Diagnostic
from djlink_manifest.reconcile.plan.actions import Action
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Event, Report
from djlink_manifest.report.plan.json_form import event_json, plan_json, report_json, status_json
from djlink_manifest.report.plan.totals import Totals, of_link, of_plan
from djlink_manifest.report.screen.diagnostics import diagnostics_json
from tests.unit import plan_samples as samples

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "schemas" / "plan.schema.json").read_text(encoding="utf-8")
)
OF_THE_WHOLE = ("unavailable", "refused", "remove", "remove_blocked", "forgotten", "forgotten_rows")
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def as_read(value: Any) -> Any:
    """The value as a program gets it."""
    return json.loads(json.dumps(value, allow_nan=False))


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for each in schema for found in objects(each)]
    if not isinstance(schema, dict):
        return []
    inside = [found for each in schema.values() for found in objects(each)]
    return [schema, *inside] if schema.get("type") == "object" else inside


@given(samples.PLANS)
@settings(deadline=None)
def test_the_json_of_any_plan_is_as_the_schema_says(plan: Plan) -> None:
    VALIDATOR.validate(as_read(plan_json(plan)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_leaves_nothing_open() -> None:
    for each in objects(SCHEMA):
        assert each["additionalProperties"] is False
        assert sorted(each["required"]) == sorted(each["properties"])


def test_the_schema_knows_each_action() -> None:
    kinds = set(SCHEMA["$defs"]["LinkForm"]["properties"]["actions"]["items"]["discriminator"]["mapping"])
    assert len(kinds) == len(get_args(Action))


def test_the_schema_knows_each_sum() -> None:
    assert list(SCHEMA["$defs"]["SummaryForm"]["properties"]) == [each.name for each in fields(Totals)]


def test_the_json_of_a_plan_says_what_the_plan_says() -> None:
    plan = samples.rich_plan()
    value = as_read(plan_json(plan))
    links = {link["address"]: link for link in value["links"]}
    assert list(links) == [link.address for link in plan.links]
    session = links["lab_a.ephys.Session"]
    assert [action["kind"] for action in session["actions"]] == ["create_outbound", "create_local", "pull"]
    assert session["actions"][2] == {
        "kind": "pull",
        "entities": 1240,
        "parts": [
            {"part": "Probe", "rows": 2480},
            {"part": "Note", "rows": 1},
            {"part": "Trial", "rows": 120_000},
        ],
        "bytes": 18_400_000,
        "reason": "new link",
        "server": "local",
        "objects": {"count": 2481, "bytes": 7_200_000_000, "unsized": 1},
        "writes_to": ["lab_a", "local"],
        "bound": [],
    }
    assert session["location"] == {"file": "atlas.yaml", "line": 12, "column": 9}
    assert links["lab_a.ephys.Scan"]["after"] == [
        {"address": "lab_a.ephys.Session", "kind": "depends_on"},
        {"address": "lab_a.ephys.Session", "kind": "foreign key"},
    ]
    assert (value["has_changes"], value["has_errors"]) == (True, True)
    assert value["summary"] == {
        "links": 15,
        "create": 1,
        "complete": 3,
        "foreign_keys": 1,
        "views": 0,
        "alter": 1,
        "move": 1,
        "pull": 1550,
        "part_rows": 122_481,
        "bytes": 18_400_000,
        "objects": 2481,
        "object_bytes": 7_200_000_000,
        "resume": 2,
        "refill": 41,
        "register": 4,
        "release": 3,
        "delete": 7,
        "along": 8,
        "delete_rows": 15,
        "approve": 2,
        "mend": 1,
        "note": 1,
        "awaiting": 2,
        "awaiting_rows": 21,
        "blocked": 1,
        "blocked_rows": 2,
        "not_attempted": 2,
        "drifting": 1,
        "kept": 9,
        "unchanged": 3,
        "unavailable": 1,
        "refused": 1,
        "remove": 0,
        "remove_blocked": 0,
        "forgotten": 1,
        "forgotten_rows": 0,
    }


@given(samples.PLANS)
@settings(deadline=None)
def test_the_sums_of_a_plan_are_those_of_its_links(plan: Plan) -> None:
    whole, each = of_plan(plan), [of_link(link) for link in plan.links]
    assert tuple(field.name for field in fields(Totals))[-len(OF_THE_WHOLE) :] == OF_THE_WHOLE
    assert (whole.refused, whole.forgotten) == (len(plan.refusals), len(plan.forgotten))
    for field in fields(Totals)[: -len(OF_THE_WHOLE)]:
        assert getattr(whole, field.name) == sum(getattr(one, field.name) for one in each)


@given(samples.PLANS)
@settings(deadline=None)
def test_the_status_of_any_plan_holds_every_link(plan: Plan) -> None:
    value = as_read(status_json(plan))
    assert [link["address"] for link in value["links"]] == [link.address for link in plan.links]


@given(samples.REPORTS)
@settings(deadline=None)
def test_the_json_of_any_report_holds_every_outcome(report: Report) -> None:
    value = as_read(report_json(report))
    assert [each["address"] for each in value["outcomes"]] == [each.address for each in report.outcomes]
    assert value["succeeded"] is report.succeeded


@given(samples.EVENTS)
def test_any_event_is_one_record_with_its_type(event: Event) -> None:
    value = as_read(event_json(event))
    assert value["type"] in {"link_started", "link_advanced", "said", "link_ended"}
    assert value["address"] == event.address


def test_the_json_of_problems_has_ranges_from_one() -> None:
    assert as_read(diagnostics_json(samples.DIAGNOSTICS[:1])) == {
        "format_version": 1,
        "valid": False,
        "error_count": 1,
        "warning_count": 0,
        "diagnostics": [
            {
                "severity": "error",
                "summary": "unknown field `shcema`, did you mean `schema`?",
                "detail": None,
                "path": "sources.lab_a",
                "range": {
                    "filename": "atlas.yaml",
                    "start": {"line": 7, "column": 7},
                    "end": {"line": 7, "column": 13},
                },
                "snippet": "      shcema: v1",
            }
        ],
    }


@given(st.lists(samples.DIAGNOSTICS_OF_ANY_KIND, max_size=4))
def test_a_manifest_with_warnings_alone_is_valid(found: list[Diagnostic]) -> None:
    value = diagnostics_json(found)
    assert value["valid"] is all(each.severity == "warning" for each in found)
    assert value["error_count"] + value["warning_count"] == len(found)
