"""The `djlink` command and its subcommands."""

from __future__ import annotations

import click

from djlink_manifest import __version__
from djlink_manifest.cli.commands import (
    adopt,
    apply,
    demo,
    doctor,
    explain,
    grants,
    plan,
    requests,
    source,
    validate,
)
from djlink_manifest.cli.options.manifest_options import output_options


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="djlink")
@output_options
@click.pass_context
def djlink(context: click.Context) -> None:
    """Keep many DataJoint tables linked across database servers from one manifest.

    A link brings the rows of a source table to the local server. What is pulled cannot be deleted at the
    source until the local side has let go of it.

    \b
    Examples:
      djlink init                   write a starter manifest, djlink.yaml
      djlink validate               check it, offline
      djlink doctor                 look the servers over
      djlink plan                   show what would be done
      djlink apply                  show it, ask, do it
      djlink explain ADDRESS KEY    why one entity is here, or is not
      djlink requests               what sources ask to delete
      djlink demo                   try it on throwaway servers

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
    doctor.doctor,
    plan.plan,
    apply.apply,
    adopt.adopt,
    explain.explain,
    plan.status,
    requests.requests,
    requests.approve,
    plan.graph,
    grants.grants,
    source.source,
    demo.demo,
):
    djlink.add_command(command)
