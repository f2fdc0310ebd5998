"""The other manifest of a comparison: a file, a folder, or a git revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from djlink_manifest.cli.options.files import DEFAULT_MANIFEST, chosen_if_any
from djlink_manifest.cli.options.jobs import opened
from djlink_manifest.cli.options.manifest_options import Scope, chosen
from djlink_manifest.cli.options.trust_option import trust_file
from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import Diagnostic, DjlinkError, UsageError
from djlink_manifest.report.screen.diagnostics import diagnostic_lines
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.manifest.models.values import Manifest
    from djlink_manifest.manifest.trust.read import TrustFile
    from djlink_manifest.reconcile.plan.plan import Plan


def both_manifests(
    old: str, new: str | None, files: tuple[str, ...], screen: Screen
) -> tuple[Manifest, Manifest]:
    """Return the manifests that two arguments name: `git:REVISION` (of `files`), a file or a folder.

    `new` is by default what `files` name in the working folder. Raises NotValid, after telling for each
    side that is not valid what is wrong with it.
    """
    # what is shown of them must not come from another folder, over a link that a branch has committed
    found = [_read(old, files, links=False), _read(new, files, links=False)]
    for side, said, (manifest, diagnostics) in zip(("old", "new"), (old, new), found, strict=True):
        if manifest is None:
            named = f", {said}," if said is not None else ""
            screen.note([line((f"The {side} manifest{named} is not valid:", "bold"))])
            screen.note(diagnostic_lines(diagnostics))
    before, after = (manifest for manifest, _ in found)
    if before is None or after is None:
        raise NotValid("there is nothing to compare", hint="correct the manifest that is not valid")
    return before, after


class NotValid(UsageError):
    """A manifest of a comparison is not valid, which is told already."""


def old_manifest(said: str, files: tuple[str, ...], screen: Screen) -> Manifest:
    """Return the manifest to compare with, which is planned and so heeds the trust file as well.

    Raises NotValid, after telling what is wrong with it.
    """
    manifest, diagnostics = _read(said, files, trust_file())
    if manifest is None:
        screen.note([line((f"The old manifest, {said}, is not valid:", "bold"))])
        screen.note(diagnostic_lines(diagnostics))
        raise NotValid("there is nothing to compare with", hint="plan without --against")
    return manifest


def old_plan(manifest: Manifest, said: str, scope: Scope, screen: Screen, *, verify: bool) -> Plan:
    """Return the plan of the old manifest. Raises UsageError, which names it, where there can be none."""
    try:
        with opened(manifest, scope, screen) as (job, spinner), spinner:
            return job.plan(verify=verify)
    except DjlinkError as error:
        raise UsageError(
            f"the old manifest, {said}, cannot be planned: {error.message}",
            hint=error.hint or "plan without --against",
            server=error.server,
            location=error.location,
        ) from None


def check_whole(scope: Scope) -> None:
    """Raise UsageError where a comparison is asked for together with a selection of links."""
    if scope.targets or scope.excludes:
        raise UsageError(
            "--against compares whole manifests, not a selection", hint="leave out --target and --exclude"
        )


def _read(
    said: str | None, files: tuple[str, ...], trust: TrustFile | None = None, *, links: bool = True
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    from djlink_manifest.manifest.compare.revision import is_revision, paths_at
    from djlink_manifest.manifest.load import read

    if said is None:
        return read(chosen(files), trust, links=links)
    if is_revision(said):
        return read(paths_at(said, chosen_if_any(files) or (DEFAULT_MANIFEST,)), trust, links=links)
    return read((said,), trust, links=links)
