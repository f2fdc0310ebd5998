"""Estimates of sizes: servers count in pages, people in rows."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from djlink_manifest.model.server.catalog import Size
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.model.vendors.widths import PAGE, pulled_bytes, usual_row
from djlink_manifest.reconcile.plan.actions import Blocked, Pull
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.runtime.events import Counts, LinkOutcome, Report
from djlink_manifest.report.plan.json_form import plan_json, status_json
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.status import status_lines
from djlink_manifest.report.plan.summary import report_lines
from djlink_manifest.report.plan.text import plan_lines
from djlink_manifest.report.plan.totals import of_plan
from djlink_manifest.report.screen.figures import estimated, size
from djlink_manifest.report.screen.layout import laid_out
from tests.unit import plan_samples as samples


def table(*types: str) -> TableDefinition:
    columns = tuple(Column(f"c{n}", each) for n, each in enumerate(types))
    return TableDefinition("lab", "t", columns, ("c0",))


@pytest.mark.parametrize(
    ("held", "count", "types", "least", "most"),
    [
        (Size(5, PAGE), 5, ("int", "varchar(32)"), 100, 400),  # a page, whatever is in it
        (Size(0, PAGE), 5, ("int", "varchar(32)"), 100, 400),  # statistics from before the rows
        (Size(0, 0), 5, ("int", "varchar(32)"), 100, 400),
        (Size(5, PAGE), 0, ("int",), 0, 0),
        (Size(400, PAGE), 400, ("int", "longblob"), 16_000, PAGE),  # they cannot be more than their page
        (Size(10, 10 * PAGE), 5, ("int", "longblob"), 5 * PAGE, 5 * PAGE),  # the mean row
        (Size(1000, 1_000_000), 1000, ("int", "varchar(32)"), 1_000_000, 1_000_000),
    ],
)
def test_a_table_of_one_page_is_estimated_by_its_columns(
    held: Size, count: int, types: tuple[str, ...], least: int, most: int
) -> None:
    assert least <= round(pulled_bytes(count, table(*types), held.rows, held.bytes)) <= most


def test_forty_small_tables_are_no_megabyte() -> None:
    each = pulled_bytes(3, table("int", "varchar(255)", "datetime", "double"), 3, PAGE)
    assert 40 * each < 15_000
    assert estimated(round(each)) == "< 16 kB"


def test_a_usual_row_has_every_column() -> None:
    widths = [usual_row(table(*each)) for each in (("int",), ("int", "json"), ("int", "json", "char(4)"))]
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "< 16 kB"), (5800, "< 16 kB"), (PAGE, "< 16 kB"), (PAGE + 1, "~16 kB"), (18_400_000, "~18 MB")],
)
def test_an_estimate_is_no_finer_than_a_page(count: int, said: str) -> None:
    assert estimated(count) == said


def _number(pattern: str, text: str) -> int:
    return sum(int(each.replace(",", "")) for each in re.findall(pattern, text))


@given(samples.PLANS)
@settings(deadline=None, max_examples=25)
def test_each_number_of_a_plan_is_the_same_wherever_it_is_shown(plan: Plan) -> None:
    summary, said = plan_json(plan)["summary"], " ".join(closing(plan))
    pending = [each["pending"] for each in status_json(plan)["links"]]
    status = "\n".join(each.plain for each in laid_out(status_lines(plan)))
    status = status.replace("\n".join(closing(plan)), "")
    for name, words in (
        ("pull", r"to pull"),
        ("resume", r"to resume"),
        ("refill", r"to refill"),
        ("register", r"to protect"),
        ("release", r"to release"),
        ("delete", r"to delete locally"),
        ("approve", r"to approve"),
        ("mend", r"to repair"),
        ("kept", r"kept"),
    ):
        assert sum(each[name] for each in pending) == summary[name]
        assert _number(rf"([\d,]+) (?:rows? )?{words}", said) == summary[name]
        assert _number(rf"([\d,]+) (?:rows? )?{words}(?= ·|\n|$)", status) == summary[name], name
    pulls = [action for link in plan.links for action in link.actions if isinstance(action, Pull)]
    screen = "\n".join(each.plain for each in laid_out(plan_lines(plan, detail="full")))
    assert _number(r"(?:^|[^\w`])pull ([\d,]+) rows?", screen) == sum(each.entities for each in pulls)
    assert of_plan(plan).bytes == sum(each.bytes for each in pulls) == summary["bytes"]
    if summary["bytes"] > PAGE:
        assert f"~{size(summary['bytes'])}" in said


def test_the_rows_that_a_removed_link_releases_are_those_that_an_apply_counts() -> None:
    gone = Removal("a.lab.Old", "keep", "a", "id", "out", "lab_old", "ours", "old", 3)
    stays = replace(gone, address="a.lab.Kept", held=7, blocked=(Blocked("error", "rows refer to it"),))
    plan = replace(samples.quiet_plan(), removals=(gone, stays))
    assert closing(plan)[0] == "Plan: 1 link to remove (3 rows to release)."
    done = LinkOutcome("a.lab.Old", "done", Counts(released=3), seconds=1.0, taken_out=True)
    ended = [each.plain for each in laid_out(report_lines(plan, Report((done,), seconds=1.0)))]
    assert "Apply: 1 link done; 3 released, 1.0s." in ended
