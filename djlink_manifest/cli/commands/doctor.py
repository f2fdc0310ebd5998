"""The command that looks the servers over."""

from __future__ import annotations

import os
import sys

import click

from djlink_manifest.cli.options.jobs import loaded
from djlink_manifest.cli.options.manifest_options import Scope, file_option, json_option, output_options
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.report.screen.waiting import Waiting


@click.command(short_help="Look the servers over: what hurts, and its fix.")
@file_option
@click.option("--quiet", "-q", is_flag=True, help="Leave out what is well.")
@json_option("Print all findings as JSON, what is well too.")
@output_options
def doctor(files: tuple[str, ...], quiet: bool, as_json: bool) -> int:
    """Look over every server of the manifest and say what hurts, why, and what mends it.

    It asks for the login, TLS as the session really has it, versions, privileges and roles, settings, clocks,
    the marks of both sides and the stores of external files. Nothing is changed, but for a file of 16 bytes
    that is written to each local store in use, read, and taken away. A server that is down does not stop the
    others. Findings are ok, notes (to know), warnings (they will hurt) and errors (djlink cannot work so,
    exit 1).

    \b
    Examples:
      djlink doctor
      djlink doctor --quiet
      djlink doctor --json | jq '.findings[] | select(.level == "error")'
    """
    from djlink_manifest.reconcile.doctor.examination import examine
    from djlink_manifest.report.commands.doctor import diagnosis_json, diagnosis_lines

    screen = current()
    manifest = loaded(Scope(files, (), (), None), screen)
    with Waiting(screen.console(sys.stderr), animated=sys.stderr.isatty()) as waiting:
        diagnosis = examine(manifest, os.environ, waiting)
    if as_json:
        screen.json(diagnosis_json(diagnosis))
    else:
        screen.show(diagnosis_lines(diagnosis, quiet=quiet))
    return 1 if diagnosis.has_errors else 0
