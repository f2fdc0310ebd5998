"""The plan screen: what is listed, what is counted, and that nothing in a plan can act upon a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import Diagnostic, DjlinkError, Location
from djlink_manifest.reconcile.plan.actions import Blocked, Drift, Pull
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.runtime.events import Report
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.status import status_lines
from djlink_manifest.report.plan.summary import report_lines
from djlink_manifest.report.plan.text import plan_lines
from djlink_manifest.report.screen.diagnostics import diagnostic_lines, error_lines
from djlink_manifest.report.screen.figures import counted, duration, listed, size
from djlink_manifest.report.screen.layout import Item, laid_out
from djlink_manifest.report.screen.terminal import plain
from tests.support.invariants.text import harmless
from tests.unit import plan_samples as samples


def shown(lines: Sequence[Item]) -> str:
    """The lines as a terminal without colours gets them."""
    stream, screen = io.StringIO(), Screen()
    screen.colour = "never"
    for each in laid_out(lines):
        screen.console(stream).print(each, soft_wrap=True)
    return stream.getvalue()


def plan_of(*links: LinkPlan) -> Plan:
    return replace(samples.quiet_plan(), links=links)


@given(samples.PLANS)
@settings(deadline=None)
def test_any_plan_is_shown_without_acting_upon_the_terminal(plan: Plan) -> None:
    lines = list(laid_out(plan_lines(plan)))
    assert harmless(shown(lines))
    assert shown(lines) == "".join(f"{each.plain}\n" for each in lines), "markup was interpreted"


@given(samples.PLANS)
@settings(deadline=None)
def test_the_status_of_any_plan_has_a_line_for_each_link(plan: Plan) -> None:
    lines = list(laid_out(status_lines(plan)))
    assert harmless(shown(lines))
    titles = [number for number, each in enumerate(lines) if each.plain.startswith("link")]
    if plan.links:
        rows = lines[titles[0] + 1 : titles[0] + 1 + len(plan.links)]
        expected = sorted(plain(link.address).strip() for link in plan.links)
        assert sorted(e for e in expected if any(row.plain.strip().startswith(e) for row in rows)) == expected


@given(samples.PLANS, samples.REPORTS)
@settings(deadline=None)
def test_any_report_names_every_outcome(plan: Plan, report: Report) -> None:
    text = shown(report_lines(plan, report))
    assert harmless(text)
    for outcome in report.outcomes:
        assert plain(outcome.address).strip() in text


@given(st.lists(samples.DIAGNOSTICS_OF_ANY_KIND, max_size=3))
@settings(deadline=None)
def test_any_diagnostic_is_shown_without_acting_upon_the_terminal(found: list[Diagnostic]) -> None:
    assert harmless(shown(diagnostic_lines(found)))


@given(samples.PLANS)
@settings(deadline=None)
def test_every_deletion_that_awaits_approval_is_listed(plan: Plan) -> None:
    lines = [each.plain for each in laid_out(plan_lines(plan))]
    text = "\n".join(lines)
    for link in plan.links:
        for block in link.blocked:
            if block.kind == "review" and block.count:
                assert f"{counted(block.count, 'row')}: {plain(block.reason)}".rstrip() in text


def test_a_hundred_deletions_are_listed_each() -> None:
    links = [LinkPlan(f"a.b.T{n:03}", 1, blocked=(Blocked("review", "asked", n + 1),)) for n in range(100)]
    text = "\n".join(each.plain for each in laid_out(plan_lines(plan_of(*links))))
    assert [f"a.b.T{n:03}  {counted(n + 1, 'row')}: asked" in text for n in range(100)] == [True] * 100


def test_deletions_stand_children_first() -> None:
    text = shown(plan_lines(samples.rich_plan())).partition("Deletions")[2]
    assert text.index("lab_a.ephys.Trace") < text.index("lab_a.ephys.Scan")


def test_unchanged_links_are_counted_and_not_listed() -> None:
    text = shown(plan_lines(samples.rich_plan()))
    assert "lab_a.lab.Rig" not in text
    assert "3 unchanged" in text


@pytest.mark.parametrize(
    "worth_knowing",
    [{"drift": (Drift("odd", 1),)}, {"warnings": ("beware",)}, {"kept": 3}],
    ids=["drift", "a warning", "rows that are kept"],
)
def test_an_unchanged_link_is_listed_for(worth_knowing: dict[str, object]) -> None:
    link = replace(samples.QUIET[0], **worth_knowing)  # type: ignore[arg-type]  # one field each
    text = shown(plan_lines(plan_of(link)))
    assert link.address in text
    assert "No changes. 1 link is up to date." in text


def test_a_link_that_waits_stands_below_the_one_that_stops_it_only() -> None:
    text = shown(plan_lines(samples.rich_plan()))
    assert text.count("lab_b.stim.Lick") == 1
    assert "not attempted, because they depend on this link: lab_b.stim.Lick, lab_b.stim.Trial" in text


def test_a_link_that_waits_for_one_outside_the_plan_is_listed_itself() -> None:
    text = shown(plan_lines(plan_of(samples.TRIAL)))
    assert "· lab_b.stim.Trial  not attempted: lab_b.stim.Stimulus is blocked" in text


def test_waves_are_numbered_without_jumps() -> None:
    text = shown(plan_lines(plan_of(replace(samples.PARTLY, wave=2), replace(samples.WIDENED, wave=7))))
    assert re.findall(r"^Wave .*$", text, re.MULTILINE) == ["Wave 1", "Wave 2"]


def test_many_new_links_are_told_by_schema_and_each_where_that_is_asked_for() -> None:
    plan = samples.wide_plan()
    text = shown(plan_lines(plan))
    assert len(text.splitlines()) < 80  # of 217 links
    assert "217 links to create" in text
    assert text.count("links to create") == 1 + 11
    full = shown(plan_lines(plan, detail="full"))
    assert all(f"{link.address} " in full for link in plan.links)
    assert not any(f"{link.address} " in text for link in plan.links)


def test_few_new_links_are_listed_each() -> None:
    plan = samples.wide_plan(20)
    text = shown(plan_lines(plan))
    assert all(f"{link.address} " in text for link in plan.links)


def test_a_new_link_with_anything_in_its_way_is_listed_among_many() -> None:
    plan = samples.wide_plan()
    odd = replace(plan.links[5], blocked=(Blocked("error", "it is odd", 2),))
    links = tuple(odd if link.address == odd.address else link for link in plan.links)
    assert "2 rows blocked: it is odd" in shown(plan_lines(replace(plan, links=links)))


def test_a_summary_counts_every_link_that_changes() -> None:
    text = shown(plan_lines(samples.rich_plan(), detail="schemas"))
    assert "Wave" not in text
    for words in ("lab_a.ephys", "lab_a.lab", "lab_b.stim", "17 rows: deletion requested", "forgotten"):
        assert words in text
    assert plain(closing(samples.rich_plan())[0]) in text


def test_a_quiet_plan_without_errors_is_its_closing_lines() -> None:
    plan = samples.quiet_plan()
    assert shown(plan_lines(plan, detail="closing")) == "".join(f"{each}\n" for each in closing(plan))


def test_a_quiet_plan_names_each_error_with_its_next_step() -> None:
    removal = Removal(
        *("lab_a.lab.Old", "keep", "lab_a", "1", "ours", "lab_old", "lab", "old", 3),
        blocked=(Blocked("error", "rows depend on it", hint="delete them", whole=True),),
    )
    plan = replace(
        samples.rich_plan(),
        local=replace(samples.LOCAL, problem="too old", hint="take 8.0"),
        removals=(removal,),
    )
    text = " ".join(shown(plan_lines(plan, detail="closing")).split())
    errors = [(s.name, s.problem, s.hint) for s in (plan.local, *plan.sources) if s.problem]
    errors += [(x.address, b.reason, b.hint) for x in plan.links for b in x.blocked if b.kind == "error"]
    errors += [(x.address, b.reason, b.hint) for x in plan.removals for b in x.blocked]
    errors += [(r.address, r.reason, r.hint) for r in plan.refusals]
    assert len(errors) >= 5
    for words in (word for error in errors for word in error if word):
        assert words in text
    assert "lab_a.lab.Subject" not in text  # which has changes, and nothing wrong
    assert closing(plan)[0] in text


def test_a_result_that_was_told_is_not_told_again() -> None:
    report = samples.report()
    text = shown(report_lines(samples.quiet_plan(), report, told=True))
    assert "lab_a.lab.Subject" not in text
    assert all(each.address in text for each in report.outcomes if each.status != "done")
    assert "3 links done" in text


def test_an_order_is_explained_only_where_the_link_before_acts() -> None:
    text = shown(plan_lines(samples.rich_plan()))
    assert "after lab_a.lab.Subject (foreign key)" in text
    assert "lab_a.lab.Project" not in text


def test_a_plan_without_changes_but_with_a_blocked_link_does_not_claim_that_all_is_well() -> None:
    text = shown(plan_lines(plan_of(samples.STIMULUS)))
    assert "up to date" not in text
    assert "No changes to make." in text
    assert "1 link blocked" in text


def test_a_problem_of_the_local_server_is_shown() -> None:
    plan = replace(samples.quiet_plan(), local=replace(samples.LOCAL, problem="too old", hint="take 8.0"))
    text = shown(plan_lines(plan))
    assert "✗ local  db.lab.org: too old" in text
    assert "next: take 8.0" in text
    assert "up to date" not in text


def test_a_report_that_was_interrupted_says_how_to_go_on() -> None:
    text = shown(report_lines(samples.quiet_plan(), replace(samples.report(), interrupted=True)))
    assert "Interrupted. Committed changes are kept; run `djlink apply` to continue." in text


def test_many_files_are_abbreviated() -> None:
    plan = replace(samples.quiet_plan(), files=tuple(f"m/{n}.yaml" for n in range(9)))
    assert "m/0.yaml, m/1.yaml, m/2.yaml and 6 more @ 4f1c2e9" in shown(plan_lines(plan))


def test_a_long_line_is_never_wrapped_or_cut() -> None:
    link = replace(samples.SESSION, address="lab_a.ephys." + "X" * 300, actions=(Pull(1, (), 0, "new"),))
    assert any(
        "X" * 300 in line and "atlas.yaml:12" in line for line in shown(plan_lines(plan_of(link))).split("\n")
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain [bold]text[/]", "plain [bold]text[/]"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b", "\\x9b"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202e", "\\u202e"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("\u3000 日本語 é", "\u3000 日本語 é"),
    ],
)
def test_what_a_terminal_might_act_upon_is_made_visible(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (18_400_000, "18 MB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (10**18, "1,000 PB"),
    ],
)
def test_sizes_have_two_or_three_figures(count: int, expected: str) -> None:
    assert size(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0s"), (9.96, "10s"), (59.6, "1m 00s"), (200, "3m 20s"), (7500, "2h 05m")],
)
def test_times_are_short(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_list_is_cut_only_where_that_saves_words() -> None:
    assert listed("abcdef") == "a, b, c, d, e, f"
    assert listed("abcdefg") == "a, b, c, d, e and 2 more"


def test_an_error_is_told_with_everything_that_is_known() -> None:
    error = DjlinkError(
        "the table is in use\nby session 7\x1b[2J",
        hint="try again",
        link="lab_a.lab.Rig",
        server="lab_a",
        location=samples.at(9),
    )
    assert shown(error_lines(error)) == (
        "Error: the table is in use\n"
        "  by session 7\\x1b[2J\n"
        "  link:   lab_a.lab.Rig   (atlas.yaml:9)\n"
        "  server: lab_a\n"
        "  next:   try again\n"
    )


def test_the_caret_stands_below_what_is_meant_in_a_very_long_line() -> None:
    snippet = "日" * 500 + "WRONG" + "x" * 500
    found = Diagnostic("error", "odd", Location("a.yaml", 3, 501), snippet=snippet, width=5)
    lines = [each.plain for each in diagnostic_lines([found])]
    source, carets = lines[2], lines[3]
    before = carets.index("^")
    assert carets.count("^") == 5
    assert cell_len(source[: source.index("WRONG")]) == before
    assert len(source) < 130
