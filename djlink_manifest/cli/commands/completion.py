"""The command that prints what a shell needs to complete djlink's arguments."""

from __future__ import annotations

import click

from djlink_manifest.cli.options.manifest_options import output_options
from djlink_manifest.cli.terminal.screen import current


@click.command(short_help="Print the script that completes commands and addresses at a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@output_options
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for SHELL that completes commands, options, and the sources, schemas and addresses of
    the manifest. The manifest is read where djlink would read it (-f, DJLINK_FILE, djlink.yaml); no server is
    contacted.

    \b
    Bash, in ~/.bashrc:    eval "$(djlink completion bash)"
    Zsh, in ~/.zshrc:      eval "$(djlink completion zsh)"     (after compinit)
    Fish, once:            djlink completion fish > ~/.config/fish/completions/djlink.fish

    \b
    Examples:
      djlink completion bash
      djlink completion zsh > ~/.zfunc/_djlink
    """
    from djlink_manifest.cli.terminal.shells import script

    current().data(script(context.find_root().command, shell))
