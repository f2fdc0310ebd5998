"""The command that takes over tables."""

from __future__ import annotations

import click

from djlink_manifest.cli.commands.apply import check_terminal
from djlink_manifest.cli.options import completing
from djlink_manifest.cli.options.jobs import loaded, opened
from djlink_manifest.cli.options.manifest_options import Scope, file_option, json_option, output_options
from djlink_manifest.cli.terminal.confirm import confirmed
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.terminal import line


@click.command(short_help="Take over tables owned by another manifest, or by none.")
@click.argument(
    "addresses", nargs=-1, required=True, metavar="ADDRESS...", shell_complete=completing.selections
)
@file_option
@click.option(
    "--from",
    "given_up",
    metavar="MANIFEST",
    help="Take over tables that the manifest MANIFEST of another lab has given up.",
)
@click.option("--auto-approve", "--yes", "auto_approve", is_flag=True, help="Do not ask for confirmation.")
@json_option("Print the adoption as JSON. Nothing is written without --auto-approve.")
@output_options
def adopt(
    addresses: tuple[str, ...],
    files: tuple[str, ...],
    given_up: str | None,
    auto_approve: bool,
    as_json: bool,
) -> int:
    """Take over the tables of links (source.schema.Table, or globs) that are owned by another manifest, or by
    none.

    Use this after a manifest was renamed, after a local server was moved or restored, for tables whose marks
    were lost, and for tables that were copied by hand. Definitions and keys are compared first; tables that
    do not match are refused and never altered or dropped. The command shows who owns the tables and what an
    apply would do afterwards, asks for confirmation, and writes only the marks. Then run `djlink apply` to
    pull the rows.

    \b
    Examples:
      djlink adopt princeton.ephys.Recording
      djlink adopt 'princeton.*' --auto-approve
      djlink adopt princeton.ephys.Recording --from old-atlas
      djlink adopt princeton.ephys.Recording --json
    """
    from djlink_manifest.reconcile.explain import commands
    from djlink_manifest.report.commands.adoption import rehearsal_json, rehearsal_lines

    if not auto_approve and not as_json:
        check_terminal(as_json, command("adopt", *addresses, "--json"), ("adopt", *addresses))
    screen = current()
    scope = Scope(files, (), (), None)
    with opened(loaded(scope, screen, tell_files=not as_json), scope, screen) as (job, spinner):
        with spinner:
            rehearsed = commands.rehearse(job, addresses, given_up)
        if not as_json:
            screen.show(rehearsal_lines(rehearsed))
        do = bool(rehearsed.adoptions) and (
            auto_approve or (not as_json and confirmed("Adopt these tables?"))
        )
        if do:
            commands.adopt(job, rehearsed)
    if as_json:
        screen.json(rehearsal_json(rehearsed, adopted=do))
    elif do:
        screen.note([line("Adopted. To pull the rows, run: `djlink apply`")])
    elif rehearsed.adoptions:
        screen.note([line("Not adopted. Nothing was changed.")])
    undone = bool(rehearsed.adoptions) and not do and not as_json
    return 1 if rehearsed.refusals or undone else 0
