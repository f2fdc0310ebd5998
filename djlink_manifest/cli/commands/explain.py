"""The command that explains one entity."""

from __future__ import annotations

import click

from djlink_manifest.cli.options import completing
from djlink_manifest.cli.options.jobs import check_one, loaded, opened
from djlink_manifest.cli.options.manifest_options import Scope, file_option, json_option, output_options
from djlink_manifest.cli.terminal.screen import current


@click.command(short_help="Explain why one entity is linked or not.")
@click.argument("address", metavar="ADDRESS", shell_complete=completing.addresses)
@click.argument("key", metavar="KEY...", nargs=-1, required=True)
@file_option
@json_option("Print the explanation as JSON.")
@output_options
def explain(address: str, key: tuple[str, ...], files: tuple[str, ...], as_json: bool) -> int:
    """Explain one entity of a link: where it exists, which rule or parent decides, and what an apply would
    do.

    ADDRESS is a link (source.schema.Table). KEY is the entity's primary key, as `attribute=value` words, as
    `attribute=value,…` or as a JSON object; write bytes in hex (0x1f2e). The output contains keys and the SQL
    text of `where`. Nothing is changed.

    \b
    Examples:
      djlink explain princeton.session.Session subject=A1,session=3
      djlink explain princeton.session.Session subject=A1 session=3
      djlink explain princeton.lab.Subject '{"subject":"A1,left"}'
      djlink explain princeton.session.Session subject=A1,session=3 --json
    """
    from djlink_manifest.reconcile.explain import commands
    from djlink_manifest.report.commands.explain import explanation_json, explanation_lines

    check_one("explain", address)
    screen = current()
    scope = Scope(files, (), (), None)
    with opened(loaded(scope, screen, tell_files=not as_json), scope, screen) as (job, spinner), spinner:
        explanation, plan = commands.explain(job, address, *key)
    if as_json:
        screen.json(explanation_json(explanation, plan))
    else:
        screen.show(explanation_lines(explanation, plan))
    return 0
