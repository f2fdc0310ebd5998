"""Texts as they are shown, kept in files beside this one.

After a change that is meant, `python -m tests.unit.golden` writes them anew; read the difference before
committing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from djlink_manifest.report.plan.graph import dot, mermaid
from djlink_manifest.report.plan.status import status_lines
from djlink_manifest.report.plan.summary import report_lines
from djlink_manifest.report.plan.text import plan_lines
from djlink_manifest.report.screen.diagnostics import diagnostic_lines
from djlink_manifest.report.screen.layout import Item, laid_out
from tests.unit import plan_samples as samples
from tests.unit.screen_samples import SCREENS

FOLDER = Path(__file__).parent


def _joined(lines: Iterable[Item], width: int | None = None) -> str:
    return "".join(f"{each.plain}\n" for each in laid_out(lines, width))


def _plan_in(width: int) -> Callable[[], str]:
    return lambda: _joined(plan_lines(samples.rich_plan()), width)


def _screen_in(screen: Callable[[], list[Item]], width: int) -> Callable[[], str]:
    return lambda: _joined(screen(), width)


TEXTS: dict[str, Callable[[], str]] = {
    "plan.txt": lambda: _joined(plan_lines(samples.rich_plan())),
    **{f"plan_{width}.txt": _plan_in(width) for width in (20, 60, 100, 160)},
    **{
        f"{name}_{width}.txt": _screen_in(screen, width)
        for name, screen in SCREENS.items()
        for width in (60, 100)
    },
    "plan_wide.txt": lambda: _joined(plan_lines(samples.wide_plan()), 100),
    "plan_summary.txt": lambda: _joined(plan_lines(samples.rich_plan(), detail="schemas"), 100),
    "plan_quiet.txt": lambda: _joined(plan_lines(samples.quiet_plan())),
    "status_60.txt": lambda: _joined(status_lines(samples.rich_plan()), 60),
    "status.txt": lambda: _joined(status_lines(samples.rich_plan())),
    "report.txt": lambda: _joined(report_lines(samples.rich_plan(), samples.report())),
    "diagnostics.txt": lambda: _joined(diagnostic_lines(samples.DIAGNOSTICS)),
    "graph.mermaid": lambda: mermaid(samples.graph()),
    "graph.dot": lambda: dot(samples.graph()),
}
