"""Report an apply from its plan to its end: for a person, or as JSON, one object per line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from rich.console import Console

from djlink_manifest.errors import DjlinkError
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.plan.staleness import PlanChange
from djlink_manifest.reconcile.runtime.events import Event, Report
from djlink_manifest.report.apply.progress import Bars, Display, Lines, NoProgress
from djlink_manifest.report.plan.json_form import event_json, plan_json, report_json
from djlink_manifest.report.plan.summary import report_lines
from djlink_manifest.report.plan.text import Detail, plan_lines
from djlink_manifest.report.screen.layout import Item
from djlink_manifest.report.screen.terminal import line


class ApplyOutput(Protocol):
    """Reports the plan, the progress and the result of an apply."""

    def plan(self, plan: Plan) -> None:
        """Report the plan before it is applied."""

    def stale(self, found: Sequence[PlanChange]) -> None:
        """Report that a plan that was kept does not stand any more."""

    def refused(self, error: DjlinkError) -> None:
        """Report that a plan that was kept is not applied at all, and nothing was changed."""

    def display(self) -> Display:
        """Return the display that receives the events of the apply."""

    def end(self, plan: Plan, report: Report) -> None:
        """Report the result."""


class Prose:
    """Reports to a person: plan and result go to `show`, progress to a console, `animated` on a terminal.

    `together`: both go to one place, so that a link that is done is not named there twice. With `detail`
    "closing", nothing is shown while the apply runs, and of its links only those that are not done.
    """

    def __init__(
        self,
        show: Callable[[Iterable[Item]], None],
        console: Console,
        *,
        animated: bool,
        together: bool = False,
        detail: Detail = "links",
    ) -> None:
        self._show = show
        self._console = console
        self._animated = animated
        self._detail = detail
        self._told = together or detail == "closing"

    def plan(self, plan: Plan) -> None:
        """Write the plan screen."""
        self._show(plan_lines(plan, detail=self._detail))

    def stale(self, found: Sequence[PlanChange]) -> None:
        """Write nothing: it is told with the errors."""

    def refused(self, error: DjlinkError) -> None:
        """Write nothing: it is told with the errors."""

    def display(self) -> Display:
        """Return progress bars, or occasional lines."""
        if self._detail == "closing":
            return NoProgress(self._console)
        return Bars(self._console) if self._animated else Lines(self._console)

    def end(self, plan: Plan, report: Report) -> None:
        """Write the summary."""
        self._show([line(), *report_lines(plan, report, told=self._told)])


class JsonEvents:
    """Reports to a program: each value goes to `write`; djlink's own messages go to a console."""

    def __init__(self, write: Callable[[Any], None], console: Console) -> None:
        self._write = write
        self._console = console

    def plan(self, plan: Plan) -> None:
        """Write the plan."""
        self._write({"type": "plan", "plan": plan_json(plan)})

    def stale(self, found: Sequence[PlanChange]) -> None:
        """Write what moved."""
        moved = [{"address": each.address, "reason": each.words} for each in found]
        self._write({"type": "stale", "moved": moved})

    def refused(self, error: DjlinkError) -> None:
        """Write why, and the next step."""
        place = str(error.location) if error.location else None
        self._write(
            {
                "type": "refused",
                "address": error.link,
                "server": error.server,
                "location": place,
                "reason": error.message,
                "hint": error.hint,
            }
        )

    def display(self) -> Display:
        """Return a display that writes a record for each event."""
        return _Stream(self._console, self._write)

    def end(self, plan: Plan, report: Report) -> None:
        """Write the report."""
        self._write({"type": "report", "report": report_json(report)})


class _Stream(Lines):
    def __init__(self, console: Console, write: Callable[[Any], None]) -> None:
        super().__init__(console)
        self._write = write

    def __call__(self, event: Event) -> None:
        """Write a record. A closed reader does not stop the apply; writing the result fails instead."""
        with suppress(OSError):
            self._write(event_json(event))
