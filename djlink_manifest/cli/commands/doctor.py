"""The command that checks the servers."""

from __future__ import annotations

import os
import sys

import click

from djlink_manifest.cli.options.jobs import loaded, tell_origins
from djlink_manifest.cli.options.manifest_options import Scope, file_option, json_option, output_options
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.report.screen.spinner import Spinner


@click.command(short_help="Check the servers for problems and print the fixes.")
@file_option
@click.option("--quiet", "-q", is_flag=True, help="Omit findings that are ok.")
@json_option("Print all findings as JSON, including those that are ok.")
@output_options
def doctor(files: tuple[str, ...], quiet: bool, as_json: bool) -> int:
    """Check every server of the manifest and report each problem with its cause and its fix.

    The checks cover the login, the TLS state of the session, versions, privileges and roles, settings,
    clocks, the marks on both sides and the stores of external files. Nothing is changed, except that a file
    of 16 bytes is written to each local store in use, read, and removed. A server that is down does not stop
    the checks of the others. Findings are ok, notes (for information), warnings (likely to cause problems)
    and errors (djlink cannot work; exit 1).

    \b
    Examples:
      djlink doctor
      djlink doctor --quiet
      djlink doctor --json | jq '.findings[] | select(.level == "error")'
    """
    from djlink_manifest.reconcile.doctor.examination import examine
    from djlink_manifest.report.commands.doctor import diagnosis_json, diagnosis_lines

    screen = current()
    manifest = loaded(Scope(files, (), (), None), screen, tell_files=not (quiet or as_json))
    tell_origins(manifest, screen)
    with Spinner(screen.console(sys.stderr), animated=sys.stderr.isatty()) as spinner:
        diagnosis = examine(manifest, os.environ, spinner)
    if as_json:
        screen.json(diagnosis_json(diagnosis))
    else:
        screen.show(diagnosis_lines(diagnosis, quiet=quiet))
    return 1 if diagnosis.has_errors else 0
