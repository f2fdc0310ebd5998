"""Commands about the tables that a manifest declares: list shows them, count tries a condition."""

from __future__ import annotations

import os
import sys

import click

from djlink_manifest.cli.options import completing
from djlink_manifest.cli.options.jobs import check_one, loaded
from djlink_manifest.cli.options.manifest_options import Scope, file_option, json_option, output_options
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.report.screen.spinner import Spinner
from djlink_manifest.report.screen.terminal import line


@click.command("list", short_help="List the addresses that the manifest declares, with their options.")
@file_option
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="ADDRESS",
    shell_complete=completing.selections,
    help="Only what this address or glob may name. Repeatable.",
)
@click.option(
    "--exclude",
    "excludes",
    multiple=True,
    metavar="ADDRESS",
    shell_complete=completing.selections,
    help="Without this address or glob. Repeatable.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print the addresses alone.")
@json_option("Print the addresses with all their options as JSON.")
@output_options
def list_(
    files: tuple[str, ...], targets: tuple[str, ...], excludes: tuple[str, ...], quiet: bool, as_json: bool
) -> None:
    """List what the manifest declares: each table or glob by its address, with its local schema, the options
    that hold for it where they are not the usual ones, and its place in the manifest. No server is contacted,
    so globs are shown as they are; `djlink status` lists the links that they give.

    \b
    Examples:
      djlink list
      djlink list --target 'princeton.*'
      djlink list --target princeton.ephys.Recording --json
      djlink list --quiet
    """
    from djlink_manifest.manifest.models.declared import declared
    from djlink_manifest.report.commands.declared import declared_json, declared_lines

    screen = current()
    scope = Scope(files, (), (), None)
    found = declared(loaded(scope, screen, tell_files=not (quiet or as_json)), targets, excludes)
    if as_json:
        screen.json(declared_json(found))
    elif quiet:
        screen.show(line(each.address) for each in found)
    else:
        screen.show(declared_lines(found))


@click.command(short_help="Try a condition on a source's table, and count the rows that meet it.")
@click.argument("address", metavar="ADDRESS", shell_complete=completing.addresses)
@click.argument("pairs", nargs=-1, metavar="[COLUMN=VALUE]...")
@file_option
@click.option(
    "--where",
    "texts",
    multiple=True,
    metavar="SQL",
    help="A condition on the table's own columns. Repeatable: all conditions must hold.",
)
@json_option("Print the counts as JSON.")
@output_options
def count(
    address: str, pairs: tuple[str, ...], files: tuple[str, ...], texts: tuple[str, ...], as_json: bool
) -> None:
    """Try a condition on the table ADDRESS (source.schema.Table) at its source: count the rows of the table
    and those that meet it. Without a condition, that of the manifest is tried.

    The condition is checked as a `where` of the manifest is. Only the table's source is contacted, as the
    link user; nothing is changed. The table need not be in the manifest yet, but its source must be.
    Conditions of parents are not considered: `djlink plan` counts what they leave.

    \b
    Examples:
      djlink count princeton.ephys.Recording
      djlink count princeton.ephys.Recording --where "session_date > '2020-01-01'"
      djlink count princeton.lab.Subject subject=A001 --json
    """
    from djlink_manifest.manifest.models.restriction import restriction
    from djlink_manifest.reconcile.explain.trial import try_condition
    from djlink_manifest.report.commands.declared import trial_json, trial_lines

    screen = current()
    check_one("count", address)
    where = restriction(pairs, texts)
    manifest = loaded(Scope(files, (), (), None), screen, tell_files=not as_json)
    with Spinner(screen.console(sys.stderr), animated=sys.stderr.isatty()) as spinner:
        trial = try_condition(manifest, address, where, os.environ, spinner)
    if as_json:
        screen.json(trial_json(trial))
    else:
        screen.show(trial_lines(trial))
