"""The `djlink` command and its subcommands."""

from __future__ import annotations

import click

from djlink_manifest import __version__
from djlink_manifest.cli.commands import (
    adopt,
    apply,
    completion,
    demo,
    diff,
    doctor,
    explain,
    grants,
    plan,
    requests,
    show,
    source,
    tables,
    trust,
    validate,
)
from djlink_manifest.cli.options.manifest_options import output_options


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="djlink")
@output_options
@click.pass_context
def djlink(context: click.Context) -> None:
    """Keep DataJoint tables linked across database servers from one manifest.

    A link copies the rows of a source table to the local server. The source cannot delete a pulled row until
    the local side releases it.

    \b
    Examples:
      djlink init                   write a manifest, djlink.yaml
      djlink validate               check the manifest, offline
      djlink list                   list what it declares, offline
      djlink diff git:main          explain what a change of the manifest means, offline
      djlink doctor                 check the servers for problems
      djlink plan                   show the changes that an apply would make
      djlink apply                  show the plan, confirm it, apply it
      djlink show FILE              show a plan that `djlink plan --out FILE` wrote
      djlink explain ADDRESS KEY    explain why one entity is linked or not
      djlink requests               show the deletions that sources request
      djlink demo                   try djlink on throwaway servers

    \b
    Exit codes: 0 ok, 1 any error, 2 changes (`plan --detailed-exitcode` only),
    3 not formatted (`fmt --check`), 130 interrupted.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(1)


for command in (
    validate.init,
    validate.validate,
    validate.fmt,
    diff.diff,
    doctor.doctor,
    plan.plan,
    show.show,
    apply.apply,
    adopt.adopt,
    explain.explain,
    plan.status,
    requests.requests,
    requests.approve,
    plan.graph,
    tables.list_,
    tables.count,
    grants.grants,
    trust.trust,
    source.source,
    demo.demo,
    completion.completion,
):
    djlink.add_command(command)
