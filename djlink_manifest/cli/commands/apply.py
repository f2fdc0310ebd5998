"""The command that changes the servers: it shows the plan, asks for confirmation, and applies it."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options.jobs import loaded, opened, today, user_name
from djlink_manifest.cli.options.manifest_options import (
    Scope,
    detail_option,
    json_option,
    limit_option,
    output_options,
    scope_options,
    verify_option,
)
from djlink_manifest.cli.terminal.confirm import confirmed
from djlink_manifest.cli.terminal.interrupt import interruptible
from djlink_manifest.cli.terminal.screen import Screen, current, same_place
from djlink_manifest.errors import Interrupted, UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.report.apply.events import ApplyOutput
    from djlink_manifest.report.plan.text import Detail


@click.command(short_help="Show the plan, ask for confirmation and apply it.")
@scope_options
@click.option(
    "--auto-approve",
    is_flag=True,
    help="Do not ask for confirmation. Requested deletions are not approved by this.",
)
@verify_option
@limit_option
@detail_option
@json_option(
    "Print the plan, the progress and the result as JSON, one object per line; requires --auto-approve."
)
@output_options
def apply(scope: Scope, auto_approve: bool, verify: bool, detail: Detail, as_json: bool) -> int:
    """Show the plan, ask for confirmation, apply it, and report which links are done, failed or not
    attempted.

    If the plan lists deletions that await approval, typing `yes` approves them too. --auto-approve does not
    approve them; use `djlink approve`.

    Ctrl-C finishes the current batches; committed changes are kept, and the next apply continues from there.
    A second Ctrl-C stops immediately.

    \b
    Examples:
      djlink apply
      djlink apply --auto-approve
      djlink apply --target princeton.ephys.Session
      djlink apply --verify
      djlink apply --auto-approve --json > apply.jsonl
    """
    if not auto_approve:
        check_terminal(as_json)
    screen = current()
    manifest = loaded(scope, screen)
    output = _output(screen, as_json, detail)
    with opened(manifest, scope, screen) as (job, spinner):
        with spinner:
            plan = job.plan(verify=verify)
        output.plan(plan)
        agreed, given = (plan, ()) if auto_approve else job.approved(plan, user_name(), today())
        if not agreed.has_changes:
            return 1 if plan.has_errors else 0
        if not auto_approve and not confirmed(question(sum(a.count for a in given))):
            screen.note([line("Not applied. Nothing was changed.")])
            return 1
        plan = agreed
        stop = threading.Event()
        with output.display() as display, interruptible(stop, display.announce):
            report = job.apply(plan, display, stop)
    output.end(plan, report)
    if report.interrupted:
        return Interrupted.exit_code
    return 0 if report.succeeded and not plan.has_errors else 1


def check_terminal(as_json: bool, before: str = command("plan"), again: Sequence[str] = ("apply",)) -> None:
    """Raise UsageError if nobody can be asked; the hint names the commands to use instead."""
    if as_json:
        raise UsageError("`apply --json` cannot ask for confirmation", hint="add --auto-approve")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "there is no terminal to ask for confirmation; nothing was planned or changed",
            hint=f"review {before}, then run {command(*again, '--auto-approve')}",
        )


def _output(screen: Screen, as_json: bool, detail: Detail) -> ApplyOutput:
    from djlink_manifest.report.apply.events import JsonEvents, Prose

    console = screen.console(sys.stderr)
    if as_json:
        return JsonEvents(functools.partial(screen.json, indent=None), console)
    return Prose(
        screen.show,
        console,
        animated=sys.stderr.isatty(),
        together=same_place(sys.stdout, sys.stderr),
        detail=detail,
    )


def question(deletions: int) -> str:
    """Return the question before an apply; `yes` also approves the deletions that the plan lists."""
    what = f", and approve the {counted(deletions, 'deletion')} that it lists" if deletions else ""
    return f"Apply this plan{what}?"
