"""Screens by width: nothing is lost, nothing is wider than the terminal but what has to stay whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from djlink_manifest.reconcile.plan.actions import Blocked
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.status import status_lines
from djlink_manifest.report.plan.summary import report_lines
from djlink_manifest.report.plan.text import plan_lines
from djlink_manifest.report.screen.diagnostics import diagnostic_lines
from djlink_manifest.report.screen.layout import WHOLE, Item, laid_out
from djlink_manifest.report.screen.terminal import line
from tests.unit import plan_samples as samples
from tests.unit.screen_samples import SCREENS

WIDTHS = st.integers(20, 200)
SIGNS = re.compile(r"[\s↻⏸✗✓·!~+-]")


def _lines(items: Sequence[Item], width: int | None = None) -> list[str]:
    return [each.plain for each in laid_out(items, width)]


def _fits(shown: str, width: int) -> bool:
    """Whether a line fits, or holds one word that stays whole, behind its indentation and sign."""
    if cell_len(shown) <= width:
        return True
    return len(WHOLE.findall(re.sub(r"^\s*(?:[^\w\s] +)?", "", shown))) == 1


def _signs(items: Sequence[Item], width: int | None) -> str:
    """All that is shown, without blanks and symbols, in the order of its characters."""
    return "".join(sorted(SIGNS.sub("", "".join(_lines(items, width)))))


@given(samples.PLANS, WIDTHS)
@settings(deadline=None, max_examples=30)
def test_any_plan_shows_the_same_in_any_width(plan: Plan, width: int) -> None:
    for items in (plan_lines(plan), status_lines(plan)):
        assert _signs(items, width) == _signs(items, None)


@pytest.mark.parametrize("width", range(20, 201))
def test_no_line_is_wider_than_the_terminal_but_what_stays_whole(width: int) -> None:
    plan = samples.rich_plan()
    for items in (plan_lines(plan), status_lines(plan), report_lines(plan, samples.report())):
        assert [each for each in _lines(items, width) if not _fits(each, width)] == []


@pytest.mark.parametrize("name", SCREENS)
def test_screens_of_other_commands_fit_any_terminal_and_lose_nothing(name: str) -> None:
    items = SCREENS[name]()
    for width in (*range(20, 80), 100, 160, 200):
        assert [each for each in _lines(items, width) if not _fits(each, width)] == []
        assert _signs(items, width) == _signs(items, None)


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize("width", [60, 100, 160])
def test_at_usual_widths_every_line_of_other_commands_fits(name: str, width: int) -> None:
    shown = _lines(SCREENS[name](), width)
    assert [each for each in shown if cell_len(each) > width and "GRANT" not in each] == []


@pytest.mark.parametrize("width", [60, 100, 160])
def test_at_usual_widths_every_line_of_the_sample_fits(width: int) -> None:
    shown = _lines(plan_lines(samples.rich_plan()), width)
    assert [each for each in shown if cell_len(each) > width] == []


def test_a_command_is_never_parted() -> None:
    hint = (
        "`djlink requests lab_a.ephys.Trace --keys` lists them; `djlink approve lab_a.ephys.Trace` approves"
    )
    link = replace(samples.TRACE, blocked=(Blocked("review", samples.GONE, 17, hint),))
    plan = replace(samples.quiet_plan(), links=(link,))
    for width in range(20, 201):
        text = "\n".join(_lines(plan_lines(plan), width))
        assert "`djlink requests lab_a.ephys.Trace --keys`" in text
        assert "`djlink approve lab_a.ephys.Trace`" in text


def test_without_a_width_nothing_is_folded() -> None:
    text = line("x " * 500)
    assert _lines([text]) == [text.plain]


def test_carets_stay_below_what_they_mean() -> None:
    shown = _lines(diagnostic_lines(samples.DIAGNOSTICS), 20)
    source = next(each for each in shown if "shcema: v1" in each)
    carets = shown[shown.index(source) + 1]
    assert source.index("shcema") == carets.index("^")


def test_a_completed_command_keeps_the_style_of_its_line() -> None:
    text = line(("next: run `djlink apply` again", "dim"), (" now", "red"))
    [made] = laid_out([text], None, lambda words: words.replace("apply", "apply -f a.yaml"))
    assert made.plain == "next: run `djlink apply -f a.yaml` again now"
    assert [
        (span.style, made.plain[span.start : span.end]) for span in made.spans if span.style == "red"
    ] == [("red", " now")]
    dim = "".join(made.plain[s.start : s.end] for s in made.spans if s.style == "dim")
    assert dim == "next: run `djlink apply -f a.yaml` again"


def test_a_line_that_continues_is_told_from_a_new_one() -> None:
    shown = _lines(plan_lines(samples.rich_plan()), 60)
    at = next(
        n
        for n, each in enumerate(shown)
        if each.endswith("release 3 rows at the source: missing locally and not")
    )
    assert shown[at + 1].index("pullable") == shown[at].index("release") + 2
