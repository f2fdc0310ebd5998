"""The command that changes things: it shows the plan, asks, does it, and tells how each link ended."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.interrupt import interruptible
from djlink_manifest.cli.jobs import planned
from djlink_manifest.cli.options import Scope, json_option, output_options, scope_options
from djlink_manifest.cli.screen import Screen, current
from djlink_manifest.errors import Interrupted, UsageError
from djlink_manifest.report.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.reconcile.pipeline import Job
    from djlink_manifest.reconcile.plan import Plan
    from djlink_manifest.reconcile.progress import Event, Report
    from djlink_manifest.report.progress import Display


@click.command()
@scope_options
@click.option(
    "--auto-approve", is_flag=True, help="Do not ask. Deletions that the source asked for stay as they are."
)
@json_option("Print the plan, the progress and the end as JSON, one object a line; needs --auto-approve.")
@output_options
def apply(scope: Scope, auto_approve: bool, as_json: bool) -> int:
    """Show the plan, ask for `yes`, and do it; then say what is done, failed and not attempted.

    Ctrl-C finishes the batches in hand; what was committed stays, and the next apply goes on from there. A
    second Ctrl-C aborts at once.

    \b
    Examples:
      djlink apply
      djlink apply --auto-approve
      djlink apply --target princeton.ephys.Session
      djlink apply --auto-approve --json > apply.jsonl
    """
    if not auto_approve:
        _check_that_one_can_ask(as_json)
    screen = current()
    with planned(scope, screen) as (job, plan):
        _show(plan, screen, as_json)
        if not plan.has_changes:
            return 1 if plan.has_errors else 0
        if not auto_approve and not _agreed():
            screen.tell([line("Not applied. Nothing was changed.")])
            return 1
        report = _carried_out(job, plan, screen, as_json)
    _show_end(plan, report, screen, as_json)
    if report.interrupted:
        return Interrupted.exit_code
    return 0 if report.succeeded and not plan.has_errors else 1


def _check_that_one_can_ask(as_json: bool) -> None:
    if as_json:
        raise UsageError("`apply --json` asks nothing", hint="say that you agree: --auto-approve")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "there is no terminal to ask on, so nothing was planned or changed",
            hint="look at `djlink plan`, then run `djlink apply --auto-approve`",
        )


def _show(plan: Plan, screen: Screen, as_json: bool) -> None:
    if as_json:
        from djlink_manifest.report.jsonform import plan_json

        screen.json({"type": "plan", "plan": plan_json(plan)}, indent=None)
    else:
        from djlink_manifest.report.text import plan_lines

        screen.show(plan_lines(plan))


def _agreed() -> bool:
    """Whether the person at the terminal types the word `yes`, and nothing else."""
    sys.stderr.write("\nApply this plan? Only `yes` will do: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip() == "yes"


def _carried_out(job: Job, plan: Plan, screen: Screen, as_json: bool) -> Report:
    from djlink_manifest.report.progress import Bars, Lines

    console = screen.console(sys.stderr)
    display: Display = Bars(console) if sys.stderr.isatty() and not as_json else Lines(console)
    listener: Callable[[Event], None] = _streamed(screen) if as_json else display
    stop = threading.Event()
    with display, interruptible(stop, display.announce):
        return job.apply(plan, listener, stop)


def _streamed(screen: Screen) -> Callable[[Event], None]:
    from djlink_manifest.report.jsonform import event_json

    return lambda event: screen.json(event_json(event), indent=None)


def _show_end(plan: Plan, report: Report, screen: Screen, as_json: bool) -> None:
    if as_json:
        from djlink_manifest.report.jsonform import report_json

        screen.json({"type": "report", "report": report_json(report)}, indent=None)
    else:
        from djlink_manifest.report.summary import report_lines

        screen.show([line(), *report_lines(plan, report)])
