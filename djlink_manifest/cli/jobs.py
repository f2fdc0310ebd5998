"""From a scope to an open job and its plan; what is waited for is shown meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from djlink_manifest.cli.options import Scope, chosen
from djlink_manifest.cli.screen import Screen
from djlink_manifest.errors import ManifestError
from djlink_manifest.manifest.values import Manifest
from djlink_manifest.report.diagnostics import diagnostic_lines

if TYPE_CHECKING:
    from djlink_manifest.reconcile.pipeline import Job
    from djlink_manifest.reconcile.plan import Plan
    from djlink_manifest.report.waiting import Waiting


def loaded(files: tuple[str, ...], screen: Screen) -> Manifest:
    """The manifest; its warnings are told. Raises ManifestError with every problem."""
    from djlink_manifest.manifest.load import read

    manifest, diagnostics = read(chosen(files))
    if manifest is None:
        raise ManifestError(diagnostics)
    screen.tell(diagnostic_lines(diagnostics))
    return manifest


@contextmanager
def opened(scope: Scope, screen: Screen) -> Iterator[Job]:
    """A job that is open: servers reached, links resolved."""
    manifest = loaded(scope.files, screen)
    with ExitStack() as stack:
        with _waiting(screen) as words:
            job = _enter(stack, manifest, scope, words)
        yield job


@contextmanager
def planned(scope: Scope, screen: Screen) -> Iterator[tuple[Job, Plan]]:
    """An open job and its plan."""
    manifest = loaded(scope.files, screen)
    with ExitStack() as stack:
        with _waiting(screen) as words:
            job = _enter(stack, manifest, scope, words)
            plan = job.plan()
        yield job, plan


def _enter(stack: ExitStack, manifest: Manifest, scope: Scope, words: Waiting) -> Job:
    # the drivers and the graph library load here, not for --help or validate
    from djlink_manifest.reconcile.pipeline import open_job

    return stack.enter_context(
        open_job(
            manifest,
            os.environ,
            targets=scope.targets,
            excludes=scope.excludes,
            parallelism=scope.parallelism,
            listener=words,
        )
    )


def _waiting(screen: Screen) -> Waiting:
    from djlink_manifest.report.waiting import Waiting

    return Waiting(screen.console(sys.stderr), animated=sys.stderr.isatty())
