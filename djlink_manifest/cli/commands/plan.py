"""Commands that read and change nothing: plan, status, graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from djlink_manifest.cli.options.comparing import check_whole, old_manifest, old_plan
from djlink_manifest.cli.options.jobs import loaded, opened
from djlink_manifest.cli.options.manifest_options import (
    Scope,
    detail_option,
    fail_on_option,
    growth_option,
    json_option,
    limit_option,
    output_options,
    scope_options,
    verify_option,
)
from djlink_manifest.cli.options.plan_output import PlanOutput, plan_output_options, show_plan
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.errors import UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.model.links.link import Growth
    from djlink_manifest.report.plan.gates import Gate
    from djlink_manifest.report.plan.text import Detail

CHANGES = 2


@click.command(short_help="Show the changes that an apply would make.")
@scope_options
@verify_option
@limit_option
@plan_output_options
@detail_option
@click.option(
    "--against",
    metavar="OLD",
    help="Split each count into what the change of the manifest brings and what the sources account for. OLD "
    "is the manifest before: git:REVISION, a file or a folder.",
)
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit with 2 if there are changes, with 0 if there are none."
)
@fail_on_option
@click.option(
    "--out",
    metavar="FILE",
    help="Write the plan to a file too, for `djlink show FILE` and `djlink apply FILE`.",
)
@growth_option
@output_options
def plan(
    scope: Scope,
    verify: bool,
    output: PlanOutput,
    detail: Detail,
    against: str | None,
    detailed_exitcode: bool,
    fail_on: tuple[Gate, ...],
    out: str | None,
    max_growth: Growth | None,
) -> int:
    """Show the changes that an apply would make, link by link, and what blocks them. Nothing is changed.

    A blocked link is an error (exit 1). A deletion that awaits approval, drift and forgotten links are not
    errors, unless --fail-on names them.

    \b
    Examples:
      djlink plan
      djlink plan -f atlas.yaml --target 'princeton.ephys.*'
      djlink plan --exclude princeton.ephys.Trace
      djlink plan --verify
      djlink plan --summary
      djlink plan --json > plan.json
      djlink plan --detailed-exitcode
      djlink plan --fail-on drift,review,forgotten
      djlink plan --against git:main --markdown > comment.md
      djlink plan --html > plan.html
      djlink plan --out plan.json
      djlink plan --out plan.json --max-growth 5%
    """
    from djlink_manifest.report.plan.gates import closed_gates

    screen = current()
    before = None
    if out is None and max_growth is not None:
        raise UsageError("--max-growth is kept in a plan's file", hint="add --out FILE")
    terms = None
    if out is not None:  # the models of the document load for a plan that is kept alone
        from djlink_manifest.cli.commands import saved_plans

        saved_plans.check_options(scope)
        saved_plans.check_target(out)
        terms = saved_plans.terms(scope, verify=verify, growth=max_growth)
    if against is not None:
        check_whole(scope)
        before = old_manifest(against, scope.files, screen)
    manifest = loaded(scope, screen, tell_files=False)
    with opened(manifest, scope, screen) as (job, spinner), spinner:
        made = job.plan(verify=verify)
    compared = None
    if against is not None and before is not None:
        from djlink_manifest.report.plan.against import against as split

        compared = split(against, old_plan(before, against, scope, screen, verify=verify), made)
    if out is not None and terms is not None:
        saved_plans.write_plan(out, made, terms, compared)
    whole = f"run {command('show', out) if out is not None else command('plan')}"
    show_plan(screen, made, output, compared, whole, terms=terms, detail=detail)
    if out is not None:
        screen.note(saved_plans.written_lines(out, made))
    closed = closed_gates(made, fail_on)
    screen.note(line((f"--fail-on {gate}", "bold red"), f": {words}") for gate, words in closed.items())
    if made.has_errors or closed:
        return 1
    return CHANGES if detailed_exitcode and made.has_changes else 0


@click.command(short_help="Show one line per link.")
@scope_options
@verify_option
@json_option("Print the status as JSON.")
@output_options
def status(scope: Scope, verify: bool, as_json: bool) -> int:
    """Show one line per link: its rows on each side, pending changes, and what blocks them.

    \b
    Examples:
      djlink status
      djlink status --target 'janelia.*'
      djlink status --verify
      djlink status --json
    """
    from djlink_manifest.report.plan.json_form import status_json
    from djlink_manifest.report.plan.status import status_lines

    screen = current()
    with opened(loaded(scope, screen, tell_files=not as_json), scope, screen) as (job, spinner):
        with spinner:
            made = job.plan(verify=verify)
        if as_json:
            screen.json(status_json(made))
        else:
            screen.show(status_lines(made))
    return 1 if made.has_errors else 0


@click.command(short_help="Draw the dependencies between links.")
@scope_options
@click.option(
    "--format",
    "drawing",
    type=click.Choice(["mermaid", "dot"]),
    default="mermaid",
    show_default=True,
    help="Output format: mermaid for Markdown, dot for Graphviz.",
)
@output_options
def graph(scope: Scope, drawing: Literal["mermaid", "dot"]) -> int:
    """Draw the dependencies between links as text for mermaid or Graphviz. Arrows point from parent to child.

    \b
    Examples:
      djlink graph
      djlink graph --format dot | dot -Tsvg > links.svg
    """
    from djlink_manifest.report.plan.graph import dot, mermaid
    from djlink_manifest.report.plan.text import refusal_lines

    screen = current()
    manifest = loaded(scope, screen)
    with opened(manifest, scope, screen) as (job, _):
        screen.data((mermaid if drawing == "mermaid" else dot)(job.graph))
        screen.note(refusal_lines(job.refusals))
        down = [server for server in job.servers if server.problem]
    for server in down:
        screen.note([line(f"The links of source {server.name} are not drawn: {server.problem}")])
    return 1 if job.refusals or down else 0
