"""The command that shows a plan from its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options.manifest_options import detail_option, output_options
from djlink_manifest.cli.options.plan_output import PlanOutput, plan_output_options, show_plan
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.model.next_steps import command

if TYPE_CHECKING:
    from djlink_manifest.report.plan.text import Detail


@click.command(short_help="Show a plan from its file.")
@click.argument("plan_file", metavar="FILE")
@detail_option
@plan_output_options
@output_options
def show(plan_file: str, detail: Detail, output: PlanOutput) -> int:
    """Show the plan in a file that `djlink plan --out FILE` wrote, as `djlink plan` showed it. No server is
    contacted, and nothing tells whether the plan is stale.

    \b
    Examples:
      djlink show plan.json
      djlink show plan.json --summary
      djlink show plan.json --json
      djlink show plan.json --markdown > comment.md
      djlink show plan.json --html > plan.html
    """
    from djlink_manifest.cli.commands.saved_plans import read_plan
    from djlink_manifest.report.document.comparison import against_of
    from djlink_manifest.report.document.restore import plan_of

    screen = current()
    document = read_plan(plan_file)
    if output == "json":
        screen.json(document.model_dump(mode="json", by_alias=True))
    else:
        compared = against_of(document.against) if document.against else None
        show_plan(
            screen, plan_of(document), output, compared, f"run {command('show', plan_file)}", detail=detail
        )
    return 0
