"""The command that tells what a change of a manifest means; it asks no server."""

from __future__ import annotations

import click

from djlink_manifest.cli.options.comparing import both_manifests
from djlink_manifest.cli.options.manifest_options import json_option, manifest_option, output_options
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.errors import UsageError


@click.command(short_help="Explain what a change of the manifest means.")
@click.argument("old")
@click.argument("new", required=False)
@manifest_option
@json_option("Print the changes as JSON.")
@click.option("--markdown", is_flag=True, help="Print them as Markdown, for a comment under a pull request.")
@output_options
def diff(old: str, new: str | None, files: tuple[str, ...], as_json: bool, markdown: bool) -> int:
    """Explain what differs between two manifests and what it means for rows: links added, removed or moved,
    options changed, servers, approvals. No server is asked, and no secret is read.

    OLD and NEW are a file, a folder, or a git revision (git:main), of which the files of -f are read;
    git:main:atlas.yaml names another file, from the top of the repository. NEW is by default what -f names
    in the working folder.

    \b
    Examples:
      djlink diff git:main
      djlink diff git:main -f manifests/
      djlink diff git:v1.0 git:HEAD
      djlink diff old.yaml new.yaml
      djlink diff git:main --markdown > comment.md
    """
    from djlink_manifest.manifest.compare.compare import compare
    from djlink_manifest.report.commands.diff import diff_json, diff_lines, diff_markdown

    screen = current()
    if as_json and markdown:
        raise UsageError("--json and --markdown cannot be combined", hint="use one of them")
    before, after = both_manifests(old, new, files, screen)
    changes = compare(before, after)
    if as_json:
        screen.json(diff_json(before.files, after.files, changes))
    elif markdown:
        screen.data(diff_markdown(changes))
    else:
        screen.show(diff_lines(changes))
    return 0
