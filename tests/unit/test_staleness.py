"""When a plan that was kept still stands, from the outlines of the two plans alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from djlink_manifest.model.links.link import Growth
from djlink_manifest.reconcile.plan.actions import Claim, Delete, Pull, Refill
from djlink_manifest.reconcile.plan.outline import outline_of
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.plan.staleness import changes_since
from djlink_manifest.report.document.form import PlanDocument
from djlink_manifest.report.document.read import parse
from djlink_manifest.report.document.restore import outline_in
from djlink_manifest.report.document.write import document_text
from djlink_manifest.report.plan.json_form import plan_json
from tests.unit import plan_facts

CASES = sorted((Path(__file__).parent / "plan_cases").glob("*.yaml"))
SETS = ("granted", "requested", "unwanted", "unwanted_alone", "gone", "released", "lost", "mended", "orphans")
LETTING = {"claim", "delete", "approve", "mend", "release", "give_up"}
WORDS = {"reason", "records", "writes_to"}  # which decide nothing
# nor do these, where the set of keys says what goes
LATER = {"granted": {"until", "unheld"}, "approved": {"unheld"}}


def planned(path: Path) -> Plan:
    """The plan of a case, its sets of keys with digests."""
    plan = plan_facts.planned(yaml.safe_load(path.read_text(encoding="utf-8")))
    sets = tuple((name, name * 3) for name in SETS)
    return replace(plan, links=tuple(replace(link, sets=sets) for link in plan.links))


def kept(plan: Plan) -> PlanDocument:
    return parse(document_text(plan_json(plan)).encode(), "plan.json")


def words(plan: Plan, now: Plan, growth: Growth | None = None) -> list[str]:
    found = changes_since(outline_in(kept(plan)), outline_of(now), growth)
    return [f"{each.address}: {each.words}" for each in found]


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_a_plan_without_errors_stands_while_nothing_moves(path: Path) -> None:
    plan = planned(path)
    assert bool(words(plan, plan, Growth(0, percent=False))) == any(
        (plan.refusals, *(server.problem for server in plan.sources))
    )


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_what_is_left_of_a_plan_is_part_of_it_unless_it_let_something_go(path: Path) -> None:
    plan = planned(path)
    if plan.refusals or any(server.problem for server in plan.sources):
        return
    for number, link in enumerate(plan.links):
        for action in link.actions:
            rest = tuple(each for each in link.actions if each is not action)
            left = replace(link, actions=rest)
            now = replace(plan, links=(*plan.links[:number], left, *plan.links[number + 1 :]))
            kind = next(a["kind"] for a in as_json(replace(link, actions=(action,)), plan)["actions"])
            assert bool(words(plan, now)) is (kind in LETTING), kind


def as_json(link: LinkPlan, plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document_text(plan_json(replace(plan, links=(link,)))))["links"][0]
    return found


def edits(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place of a JSON value with something else in it: what holds it, its key; undone afterwards."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, old in list(items):
        if key in WORDS:
            continue
        for new in other_values(old):
            value[key] = new
            yield key, new
        value[key] = old
        if isinstance(old, dict | list):
            yield from edits(old)


def other_values(old: Any) -> list[Any]:
    match old:
        case bool():
            return [not old]
        case int():
            return [old + 1, 0] if old else [1]
        case str():
            return [f"{old}x"]
        case None:
            return ["x"]
        case list():
            return [[*old, copy.deepcopy(old[-1])], old[:-1]] if old else []
    return []


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_no_edited_field_of_what_lets_go_is_overlooked(path: Path) -> None:
    """Whoever edits a plan may order what is due now, or nothing; never what a reader did not see."""
    plan = planned(path)
    if plan.refusals or any(server.problem for server in plan.sources):
        return
    now, tried = outline_of(plan), 0
    value = json.loads(document_text(plan_json(plan)))
    for link in value["links"]:
        for action in link["actions"]:
            if action["kind"] not in LETTING:
                continue
            later = LATER.get(action.get("cause", ""), set())
            for key, _ in edits(action):
                if key in later:
                    continue
                try:
                    document = PlanDocument.model_validate_json(json.dumps(value))
                except ValueError:
                    continue
                tried += 1
                assert changes_since(outline_in(document), now, None), action
    assert bool(tried) is any(a["kind"] in LETTING for link in value["links"] for a in link["actions"])


NAMED = {"tables", "views", "columns", "indexes", "changes", "table", "parent", "before", "schemas", "bound"}


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_no_edited_name_of_what_is_made_is_overlooked(path: Path) -> None:
    plan = planned(path)
    if plan.refusals or any(server.problem for server in plan.sources):
        return
    now = outline_of(plan)
    value = json.loads(document_text(plan_json(plan)))
    for link in value["links"]:
        for action in link["actions"]:
            if action["kind"] in LETTING:
                continue
            for name in NAMED & action.keys():
                old = action[name]
                if not old or (name == "bound" and old[-1]["what"] == "refill"):  # which two actions have
                    continue
                action[name] = f"{old}x" if isinstance(old, str) else old[:-1]
                document = PlanDocument.model_validate_json(json.dumps(value))
                assert changes_since(outline_in(document), now, None), (action["kind"], name)
                action[name] = old


def a_plan(*actions: Any, address: str = "a.b.C", **more: Any) -> Plan:
    base = plan_facts.planned(yaml.safe_load((CASES[0]).read_text(encoding="utf-8")))
    sets = tuple((name, name * 3) for name in SETS)
    return replace(
        base,
        links=(LinkPlan(address, 1, actions=actions, sets=sets, **more),),
        refusals=(),
        removals=(),
        sources=(),
    )


def pull(entities: int) -> Pull:
    return Pull(entities, (), 0, "new")


def test_rows_may_come_in_as_many_more_as_the_plan_allows() -> None:
    plan, more = a_plan(pull(10), source_rows=1000), a_plan(pull(15), source_rows=1005)
    assert words(plan, more) == []
    assert words(plan, more, Growth(5, percent=False)) == []
    assert words(plan, more, Growth(0.5, percent=True)) == []
    for growth in (Growth(0, percent=False), Growth(4, percent=False), Growth(0.4, percent=True)):
        most = 10 + growth.rows(1000)
        told = f"a.b.C: 10 rows to come in the plan; now 15, and at most {most} may"
        assert words(plan, more, growth) == [told]
    assert words(plan, a_plan(pull(3)), Growth(0, percent=False)) == []
    assert words(plan, a_plan(), Growth(0, percent=False)) == []


def test_other_keys_in_the_same_number_are_told() -> None:
    delete = Delete(2, (), (("t", 2),), "auto", "requested")
    plan = a_plan(delete)
    link = plan.links[0]
    other = replace(plan, links=(replace(link, sets=(("requested", "others"),)),))
    assert words(plan, other) == [
        "a.b.C: 2 rows to delete locally in the plan; now as many, but others or in another way"
    ]
    assert words(plan, a_plan(replace(delete, entities=3))) == [
        "a.b.C: 2 rows to delete locally in the plan; now 3"
    ]
    assert words(a_plan(), plan) == ["a.b.C: 0 rows to delete locally in the plan; now 2"]


def test_an_approval_is_told_in_the_words_of_the_screen() -> None:
    claim = Claim("a", 1, "approved by lee", "1" * 64, "2026-11-20T09:00:00Z", "lee")
    plan = a_plan(claim)
    assert words(plan, a_plan()) == ["a.b.C: the approval of 1 request is in the plan; now none holds"]
    assert words(a_plan(), plan) == ["a.b.C: the approval of 1 request is not in the plan"]
    assert words(plan, a_plan(replace(claim, entities=2))) == [
        "a.b.C: the approval of 1 request is in the plan; now of 2"
    ]
    assert words(plan, a_plan(replace(claim, keys="2" * 64))) == [
        "a.b.C: the approval of 1 request is in the plan; now of as many other requests"
    ]


def test_requests_that_came_since_are_told_where_they_need_no_approval() -> None:
    early, late = "2026-11-20T09:00:00Z", "2026-11-20T09:30:00Z"
    delete = Delete(1, (), (("t", 1),), "auto", "requested", keys="1" * 64, until=early)
    more = replace(delete, entities=2, keys="2" * 64, until=late)
    since = ": a request came in since"
    assert words(a_plan(delete), a_plan(more)) == [
        f"a.b.C: 1 row to delete locally in the plan; now 2{since}"
    ]
    assert words(a_plan(), a_plan(delete)) == [f"a.b.C: 0 rows to delete locally in the plan; now 1{since}"]
    assert words(a_plan(more), a_plan(delete)) == ["a.b.C: 2 rows to delete locally in the plan; now 1"]


def test_what_is_approved_is_bound_to_its_own_keys_and_not_to_what_is_requested_later() -> None:
    until = "2026-11-20T09:00:00Z"
    delete = Delete(1, (), (("t", 1),), "approved", "x", keys="1" * 64, until=until, by="lee")
    link = a_plan(delete).links[0]

    def with_sets(*sets: tuple[str, str]) -> Plan:
        return replace(a_plan(), links=(replace(link, sets=sets),))

    before = with_sets(("requested", "a" * 64))
    assert words(before, with_sets(("requested", "b" * 64), (f"requested until {until}", "a" * 64))) == []
    for other in ("b" * 64, ""):
        now = with_sets(("requested", "a" * 64), (f"requested until {until}", other))
        assert words(before, now), other


def test_links_that_came_and_went_are_told() -> None:
    assert words(a_plan(), a_plan(address="a.b.D")) == [
        "a.b.C: it is in the plan, and no link now",
        "a.b.D: it is a link now, and the plan does not have it",
    ]


def test_other_definitions_are_told() -> None:
    one = a_plan(definitions=(("source", "1"), ("local", "2")))
    assert words(one, a_plan(definitions=(("source", "3"), ("local", "2")))) == [
        "a.b.C: the source table has another definition now"
    ]
    assert words(one, a_plan(definitions=(("source", "1"), ("local", "3")))) == [
        "a.b.C: what the local table is to be has another definition now"
    ]


def test_refills_of_rows_that_differ_are_as_many_as_planned() -> None:
    plan = a_plan(Refill(3, "rows", "they differ"))
    assert words(plan, a_plan(Refill(4, "rows", "they differ"))) == [
        "a.b.C: 3 rows to refill in the plan; now 4"
    ]
    assert words(plan, a_plan()) == []
    assert words(a_plan(), plan) == ["a.b.C: 3 rows to refill that the plan does not have"]
    assert words(a_plan(Refill(3, "definition", "x")), a_plan(Refill(9, "definition", "x"))) == []
