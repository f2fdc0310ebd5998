"""The command that changes the servers: it shows the plan, asks for confirmation, and applies it."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options.jobs import loaded, today, unlocked, user_name
from djlink_manifest.cli.options.manifest_options import (
    Scope,
    detail_option,
    json_option,
    limit_option,
    lock_timeout_option,
    output_options,
    scope_options,
    verify_option,
)
from djlink_manifest.cli.terminal.confirm import confirmed
from djlink_manifest.cli.terminal.interrupt import interruptible
from djlink_manifest.cli.terminal.screen import Screen, current, same_place
from djlink_manifest.errors import Interrupted, LinkLocked, ManifestError, UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.reconcile.pipeline import Job
    from djlink_manifest.reconcile.plan.plan import Plan
    from djlink_manifest.report.apply.events import ApplyOutput
    from djlink_manifest.report.plan.text import Detail
    from djlink_manifest.report.screen.spinner import Spinner


@click.command(short_help="Show the plan, ask for confirmation and apply it.")
@click.argument("plan_file", metavar="[PLAN]", required=False)
@scope_options
@click.option(
    "--auto-approve",
    "--yes",
    "auto_approve",
    is_flag=True,
    help="Do not ask for confirmation. Requested deletions are not approved by this.",
)
@verify_option
@limit_option
@lock_timeout_option
@detail_option
@json_option(
    "Print the plan, the progress and the result as JSON, one object per line; requires --auto-approve "
    "or PLAN."
)
@output_options
def apply(
    plan_file: str | None,
    scope: Scope,
    auto_approve: bool,
    verify: bool,
    lock_timeout: float,
    detail: Detail,
    as_json: bool,
) -> int:
    """Show the plan, ask for confirmation, apply it, and report which links are done, failed or not
    attempted.

    PLAN is a file that `djlink plan --out` wrote. It is applied without a question, if it still stands: the
    servers are read again, and what is made, deleted or released must be what the plan says. Only rows to
    pull may have become more, within its --max-growth. Else nothing is done, and what moved is reported
    (exit 1). The manifest must be the same; the plan says which file it was, or name it with -f.

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
      djlink apply plan.json
      djlink apply plan.json --lock-timeout 10m
    """
    if plan_file is not None:
        output = _output(current(), as_json, detail)
        try:
            return _apply_file(plan_file, scope, verify, lock_timeout, output)
        except (UsageError, ManifestError, LinkLocked) as error:
            output.refused(error)
            raise
    if not auto_approve:
        check_terminal(as_json)
    screen = current()
    manifest = loaded(scope, screen, tell_files=False)
    output = _output(screen, as_json, detail)

    def work(job: Job, spinner: Spinner) -> int:
        with spinner:
            plan = job.plan(verify=verify)
        output.plan(plan)
        agreed, given = (plan, ()) if auto_approve else job.approved(plan, user_name(), today())
        if not agreed.has_changes:
            return 1 if plan.has_errors else 0
        if not auto_approve and not confirmed(question(sum(a.count for a in given))):
            screen.note([line("Not applied. Nothing was changed.")])
            return 1
        return _carry_out(job, agreed, output)

    again = ("apply", "--auto-approve") if auto_approve else ("apply",)
    return unlocked(manifest, scope, screen, lock_timeout, work, again)


def _apply_file(name: str, scope: Scope, verify: bool, lock_timeout: float, output: ApplyOutput) -> int:
    """Apply the plan in a file, if it still stands."""
    from djlink_manifest.cli.commands import saved_plans

    for option, given in (
        ("--target", scope.targets),
        ("--exclude", scope.excludes),
        ("--verify", verify),
        ("--max-deletions", scope.limit),
    ):
        if given:
            raise UsageError(
                f"{option} does not go with a plan's file: the plan was made with its own options",
                hint="write `max_deletions` into the manifest, then make the plan again"
                if option == "--max-deletions"
                else f"give {option} to `djlink plan --out FILE`",
            )
    screen = current()
    document = saved_plans.read_plan(name)
    scope, terms = saved_plans.scope_of(document, scope, name)
    manifest = loaded(scope, screen, tell_files=False)
    saved_plans.check_manifest(document, manifest, name)

    def work(job: Job, spinner: Spinner) -> int:
        with spinner:
            plan = job.plan(verify=terms.verify)
        found = saved_plans.what_moved(document, plan, terms.max_growth)
        if found:
            output.stale(found)
            screen.note(saved_plans.stale_lines(name, found))
            return 1
        output.plan(plan)
        if not plan.has_changes:
            return 0
        return _carry_out(job, plan, output)

    return unlocked(manifest, scope, screen, lock_timeout, work, again=("apply", name))


def _carry_out(job: Job, plan: Plan, output: ApplyOutput) -> int:
    """Apply a plan of this job, and report how it ended; the exit code."""
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
