"""The command that writes a trust file."""

from __future__ import annotations

from pathlib import Path

import click

from djlink_manifest.cli.options.manifest_options import chosen, manifest_option, output_options
from djlink_manifest.cli.terminal.files import new_file
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.terminal import line


@click.command(short_help="Write a trust file: what a manifest may use before its review.")
@manifest_option
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this file, which must not exist.  [default: stdout]",
)
@output_options
def trust(files: tuple[str, ...], out: Path | None) -> None:
    """Write a trust file from the manifest as it is now, for review: its servers, references, files and
    stores. No server is contacted, and no password is read.

    With `--trust FILE`, or DJLINK_TRUST, every command refuses a manifest that uses anything else, before it
    connects to a server. Use it to plan the pull requests of people who could otherwise send your passwords
    to a server of theirs. Keep the file where a pull request cannot change it: a file inside the manifest's
    own checkout is refused.

    \b
    Examples:
      djlink trust
      djlink trust -f manifests/ --out ../trust.yaml
    """
    from djlink_manifest.manifest.load import checkout_of, load
    from djlink_manifest.manifest.trust.draft import refused_anyway, trust_text

    screen = current()
    paths = chosen(files)
    manifest = load(paths, links=False)  # what is shown must not come from another folder
    checkout = checkout_of([*paths, *manifest.files])
    text = trust_text(manifest, checkout)
    screen.note(line(("warning", "yellow"), f": {each}") for each in refused_anyway(manifest, checkout))
    if out is None:
        screen.data(text)
        return
    new_file(out, text)
    note = f"Wrote {out}. Review it, then run {command('plan', '--trust', str(out))}."
    if checkout.holds(out):
        note = f"Wrote {out}. Review it, and move it out of the manifest's checkout: it is refused there."
    screen.note([line(note)])
