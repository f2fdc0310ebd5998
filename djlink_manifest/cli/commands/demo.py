"""The command that demonstrates djlink on throwaway servers."""

from __future__ import annotations

from pathlib import Path

import click

from djlink_manifest.cli.options.manifest_options import output_options


@click.command(short_help="Try djlink on throwaway servers.")
@click.argument("folder", default="djlink-demo")
@click.option(
    "--keep",
    is_flag=True,
    help="Keep the servers running when the demo ends; the demo prints how to stop them.",
)
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Keep the servers running until Enter is pressed.  [default: on a terminal]",
)
@output_options
def demo(folder: str, keep: bool, wait: bool | None) -> int:
    """Start throwaway servers with data, link them step by step, and show how pulled rows are protected.

    The manifest and the credentials of the throwaway servers are written to FOLDER (default: djlink-demo).
    Everything runs on this machine; on the first run, a database server may be downloaded.

    \b
    Examples:
      djlink demo
      djlink demo --no-wait
      djlink demo /tmp/try --keep
    """
    from djlink_manifest.sandbox.demo.scenario import run

    run(Path(folder), keep=keep, wait=wait)
    return 0
