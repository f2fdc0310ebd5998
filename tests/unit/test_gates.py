"""`plan --fail-on`: each cause by itself, and none where the plan has nothing of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from djlink_manifest.cli.options import manifest_options
from djlink_manifest.reconcile.plan.actions import Blocked, Drift
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.report.plan.gates import GATES, Gate, closed_gates
from tests.support.command import called
from tests.unit import plan_samples as samples

[PROJECT, *OTHERS] = samples.QUIET


def with_link(**changes: object) -> Plan:
    return replace(samples.quiet_plan(), links=(replace(PROJECT, **changes), *OTHERS))  # type: ignore[arg-type]


REMOVAL = Removal(
    *("lab_a.lab.Old", "keep", "lab_a", "1", "ours", "lab_old", "lab", "old", 3),
    blocked=(Blocked("error", "rows depend on it"),),
)
CLOSES: dict[str, tuple[Gate, Plan]] = {
    "drift": ("drift", with_link(drift=(Drift("no source row", 2),))),
    "a deletion that waits": ("review", with_link(blocked=(Blocked("review", "requested", 4),))),
    "a forgotten link": ("forgotten", replace(samples.quiet_plan(), forgotten=(samples.FORGOTTEN,))),
    "a link that waits for another": (
        "blocked",
        with_link(blocked=(Blocked("upstream", "lab_a.lab.Rig is blocked", whole=True),)),
    ),
    "rows that cannot come": ("blocked", with_link(blocked=(Blocked("error", "a key is taken", 2),))),
    "a part of the manifest": ("blocked", replace(samples.quiet_plan(), refusals=(samples.REFUSAL,))),
    "a server": ("blocked", replace(samples.quiet_plan(), sources=(samples.LAB_C,))),
    "a removal": ("blocked", replace(samples.quiet_plan(), removals=(REMOVAL,))),
}


@pytest.mark.parametrize("case", CLOSES)
def test_each_cause_closes_its_own_gate_and_no_other(case: str) -> None:
    gate, plan = CLOSES[case]
    assert list(closed_gates(plan, GATES)) == [gate]
    assert closed_gates(plan, [g for g in GATES if g != gate]) == {}


def test_a_plan_with_nothing_in_the_way_passes_all() -> None:
    assert closed_gates(samples.quiet_plan(), GATES) == {}


def test_a_plan_with_everything_says_of_each_gate_how_much() -> None:
    assert closed_gates(samples.rich_plan(), GATES) == {
        "drift": "1 link with drift",
        "review": "2 deletion sets not approved",
        "forgotten": "1 link forgotten",
        "blocked": "1 server unavailable, 1 part of the manifest refused, 3 links blocked, 2 rows blocked",
    }


def test_the_option_knows_the_gates_without_loading_a_plan() -> None:
    assert manifest_options.GATES == GATES


@pytest.mark.parametrize("wrong", ["drfit", "drift,", "drift,,review", ""])
def test_an_unknown_gate_is_an_error_of_the_command_line(wrong: str) -> None:
    ended = called("plan", "--fail-on", wrong, environ={})
    assert ended.returncode == 1
    fault = "`drfit` is none of" if wrong == "drfit" else "a name is missing; write one of"
    assert f"{fault} drift, review, forgotten, blocked" in ended.stderr
