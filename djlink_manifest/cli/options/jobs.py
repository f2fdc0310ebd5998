"""Open a job for a scope, and show what is being waited for."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from djlink_manifest.cli.options.manifest_options import Scope, chosen
from djlink_manifest.cli.options.trust_option import trust_file
from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import LinkLocked, ManifestError, UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.diagnostics import diagnostic_lines
from djlink_manifest.report.screen.spinner import Spinner
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.manifest.models.values import Manifest
    from djlink_manifest.reconcile.pipeline import Job


def loaded(scope: Scope, screen: Screen, *, tell_files: bool = True) -> Manifest:
    """Return the manifest and report its warnings. Raises ManifestError with every problem.

    `tell_files`: name the files that are read without being named, where the output does not name them and
    is for people.

    Every command that connects to a server or resolves a reference gets its manifest from here, and so heeds
    the trust file.
    """
    from djlink_manifest.manifest.load import read

    manifest, diagnostics = read(chosen(scope.files), trust_file())
    if manifest is None:
        raise ManifestError(diagnostics)
    screen.note(diagnostic_lines(diagnostics))
    if tell_files:
        screen.note(line(f"{each} is read too, as it lies beside the manifest.") for each in manifest.found)
    return manifest


def check_one(verb: str, address: str) -> None:
    """Raise UsageError where a command that takes one link is given a glob."""
    from djlink_manifest.manifest.models.names import is_glob

    if is_glob(address):
        shown = command("list", "--target", address)
        raise UsageError(
            f"{verb} takes one link, and {address} is a glob",
            hint=f"name one as source.schema.Table; {shown} shows what the manifest declares",
        )


def tell_origins(manifest: Manifest, screen: Screen) -> None:
    """Say where the local server's settings are from, where DataJoint's configuration has them."""
    from djlink_manifest.manifest.models.secrets import datajoint_origins

    screen.note(line(words) for words in datajoint_origins(manifest.local, os.environ))


@contextmanager
def opened(manifest: Manifest, scope: Scope, screen: Screen) -> Iterator[tuple[Job, Spinner]]:
    """Open a job, its servers connected and its links resolved, and return it with its progress display.

    The display must be open during further work of the job, and closed before anything else is printed.
    """
    # the drivers and the graph library load here, not for --help or validate
    from djlink_manifest.reconcile.pipeline import open_job

    tell_origins(manifest, screen)
    spinner = Spinner(screen.console(sys.stderr), animated=sys.stderr.isatty())
    with ExitStack() as stack:
        with spinner:
            job = stack.enter_context(
                open_job(
                    manifest,
                    os.environ,
                    targets=scope.targets,
                    excludes=scope.excludes,
                    parallelism=scope.parallelism,
                    limit=scope.limit,
                    listener=spinner,
                )
            )
        yield job, spinner


def unlocked(
    manifest: Manifest,
    scope: Scope,
    screen: Screen,
    seconds: float,
    work: Callable[[Job, Spinner], int],
    again: Sequence[str] = ("apply",),
) -> int:
    """Open a job and do some work with it, once no other djlink works on its links.

    It waits for so many `seconds`, and reads the servers anew after a wait. Raises LinkLocked where the time
    is over; its next step is the command `again`.
    """
    from djlink_manifest.reconcile.pipeline import LockWait

    wait = LockWait(seconds, lambda words: screen.note([line(words)]))
    while True:
        with opened(manifest, scope, screen) as (job, spinner):
            try:
                if seconds and job.wait_for_locks(wait):
                    continue
                return work(job, spinner)
            except LinkLocked as error:
                if wait.left <= 0:
                    error.hint = _once_free(seconds, again)
                    raise
                screen.note([line("Another djlink was faster; the servers are read anew.")])


def _once_free(seconds: float, again: Sequence[str]) -> str:
    """Return the next step where another djlink works on a link: to wait, by oneself or with the option."""
    wait = f"wait until it has ended (its lock ends with it), then run {command(*again)}"
    if seconds:
        return f"{wait}, or allow more time with --lock-timeout"
    return f"{wait}; or let djlink wait: {command(*again, '--lock-timeout', '10m')}"


def user_name() -> str:
    """Return the current user's name, as the approver of deletions."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def today() -> str:
    """Return the current date in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")
