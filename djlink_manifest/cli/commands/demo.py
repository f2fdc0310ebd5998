"""The command that shows djlink on throwaway servers."""

from __future__ import annotations

from pathlib import Path

import click

from djlink_manifest.cli.options.manifest_options import output_options


@click.command(short_help="Try djlink on throwaway servers.")
@click.argument("folder", default="djlink-demo")
@click.option(
    "--keep", is_flag=True, help="Let the servers run on when the demo ends; how to stop them is said."
)
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Whether the servers run until Enter is pressed.  [default: on a terminal]",
)
@output_options
def demo(folder: str, keep: bool, wait: bool | None) -> int:
    """Start throwaway servers with data, link them in front of you, show how pulled rows are protected.

    The manifest and the credentials of the throwaway servers are written to FOLDER (djlink-demo). Everything
    runs on this machine; the first time, a database server may have to be fetched.

    \b
    Examples:
      djlink demo
      djlink demo --no-wait
      djlink demo /tmp/try --keep
    """
    from djlink_manifest.sandbox.demo.scenario import run

    run(Path(folder), keep=keep, wait=wait)
    return 0
