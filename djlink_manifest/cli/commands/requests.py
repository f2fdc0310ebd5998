"""Commands for requested deletions: requests shows them, approve approves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options import completing
from djlink_manifest.cli.options.jobs import check_one, loaded, opened, today, user_name
from djlink_manifest.cli.options.manifest_options import (
    Scope,
    chosen,
    json_option,
    output_options,
    scope_options,
)
from djlink_manifest.cli.terminal.files import read_text, replace_file, same_path
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.errors import UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.manifest.models.values import Manifest


@click.command(short_help="Show the deletions that sources request.")
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, shell_complete=completing.addresses)
@scope_options
@click.option("--keys", is_flag=True, help="List the keys of the requested rows.")
@json_option("Print the requests as JSON, without keys.")
@output_options
def requests(scope: Scope, addresses: tuple[str, ...], keys: bool, as_json: bool) -> int:
    """Show the deletions that sources request: how many rows, by whom, since when, why, and which local rows
    would be deleted with them.

    Rows of your own tables that depend on requested rows prevent their deletion; they are listed with the
    DataJoint line that deletes them.

    \b
    Examples:
      djlink requests
      djlink requests princeton.ephys.Recording --keys
      djlink requests --json
    """
    from djlink_manifest.report.plan.json_form import requests_json
    from djlink_manifest.report.plan.requests import key_lines, request_lines, unknown_lines
    from djlink_manifest.report.plan.text import refusal_lines

    screen = current()
    with opened(loaded(scope, screen, tell_files=not as_json), scope, screen) as (job, spinner):
        with spinner:
            plan = job.plan()
        for address in addresses:
            job.check_address(address)
        shown = [p for p in plan.links if not addresses or p.address in addresses]
        if as_json:
            screen.json(requests_json(plan, shown))
        else:
            screen.show(request_lines(shown))
            if keys:
                for each in shown:
                    if each.requests and each.requests.request_groups:
                        screen.show(key_lines(each.address, job.requested(each.address)))
    # the requests of these links could not be read
    if not as_json:
        screen.note(unknown_lines(shown))
    screen.note(refusal_lines(plan.refusals))
    screen.note(line(f"{s.name} is unavailable: {s.problem}") for s in plan.sources if s.problem)
    return 1 if plan.has_errors else 0


@click.command(short_help="Approve the deletions that a source requests.")
@click.argument("address", shell_complete=completing.addresses)
@scope_options
@click.option(
    "--orphans",
    is_flag=True,
    help="Approve the deletion of all local rows without a source row; their keys are listed.",
)
@click.option("--by", metavar="NAME", help="Name of the approver.  [default: the current user]")
@click.option(
    "--into",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to add the entry to.  [default: the one that has `approvals`, else approvals.yaml beside the "
    "manifest]",
)
@output_options
def approve(scope: Scope, address: str, orphans: bool, by: str | None, into: Path | None) -> int:
    """Approve the deletions that are currently requested for the link ADDRESS, as an entry of `approvals`.

    Nothing is deleted yet: the entry can be reviewed in a pull request, and the next apply carries it out. It
    covers exactly the current set of requests and the rows that would currently be deleted with them. Later
    requests wait for the next approval. If the set changes, or if more rows would be deleted with it, the
    approval is void.

    With --orphans, the entry covers the local rows without a source row (deleted at the source or inserted
    locally). Their keys are listed, and the entry covers all of these rows and no others.

    \b
    Examples:
      djlink approve princeton.ephys.Recording
      djlink approve princeton.ephys.Recording --by a.lee --into approvals.yaml
      djlink approve princeton.ephys.Recording --orphans
    """
    from djlink_manifest.manifest.edit.approvals import name_in, with_approval
    from djlink_manifest.reconcile.plan.approvals import standing
    from djlink_manifest.report.plan.requests import key_lines, orphan_lines, request_lines

    check_one("approve", address)
    screen = current()
    manifest = loaded(scope, screen)
    with opened(manifest, scope, screen) as (job, spinner):
        with spinner:
            plan = job.plan(orphans_of=(address,) if orphans else ())
        job.check_address(address)
        given = job.approvals(plan, address, by or user_name(), today(), orphans=orphans)
        if orphans and given:
            screen.note([*orphan_lines(plan, address), *key_lines(address, job.orphans(address))])
    if given and not orphans:
        screen.note(request_lines([p for p in plan.links if p.address == address]))
    link_of = next((p for p in plan.links if p.address == address), None)
    agreed = standing(link_of, given, manifest.approvals, orphans=orphans)
    if agreed is not None:
        what = f"The approval of {counted(agreed.count, 'deletion')} of {address}"
        screen.note([line(f"{what} is already in {agreed.location}. Next: {command('apply')}")])
        return 0
    if not given:
        unread = link_of.blocked if link_of is not None and not link_of.observed else ()
        block = next((b for b in unread if b.whole), None)
        if block is not None:
            raise UsageError(
                f"{address}: {block.reason}", hint=block.hint or "`djlink plan` shows the reason"
            )
        where = (
            "`djlink status` counts orphans" if orphans else "`djlink requests` lists the requested deletions"
        )
        raise UsageError(f"no deletion of {address} awaits approval", hint=where)
    [approval] = given
    target = into or _target(scope, manifest)
    text = read_text(target) if target.exists() else _new_text(target, scope, manifest)
    if (owner := name_in(text)) not in (None, manifest.name):
        raise UsageError(
            f"{target} has the approvals of another manifest, `{owner}`", hint="name another file with --into"
        )
    replace_file(target, with_approval(text, approval, str(target)))
    what = counted(approval.count, "deletion")
    again = _apply_with(scope, target)
    screen.note([line(f"Wrote the approval of {what} of {address} to {target}. Next: {again}")])
    return 0


def _apply_with(scope: Scope, target: Path) -> str:
    """Return the apply that reads the file, which may be none of the files that were read so far."""
    from djlink_manifest.manifest.load import read

    files = chosen(scope.files)
    manifest, _ = read(files)
    if manifest is not None and any(same_path(target, Path(each)) for each in manifest.files):
        return command("apply")
    return command("apply", *(word for each in (*files, str(target)) for word in ("-f", each)))


def prune(scope: Scope) -> Iterator[Path]:
    """Remove spent approvals from the manifest's files, and return the changed files."""
    from djlink_manifest.manifest.edit.approvals import without_approvals

    screen = current()
    with opened(loaded(scope, screen), scope, screen) as (job, spinner), spinner:
        plan = job.plan()
    files: dict[str, set[int]] = {}
    for approval in plan.spent:
        files.setdefault(approval.location.file, set()).add(approval.location.line)
    texts = {Path(name): (read_text(Path(name)), lines) for name, lines in sorted(files.items())}
    new = {path: without_approvals(text, lines, str(path)) for path, (text, lines) in texts.items()}
    for path, text in new.items():
        if text != texts[path][0]:
            replace_file(path, text)
            yield path


def _target(scope: Scope, manifest: Manifest) -> Path:
    """Return the file for a new entry: one with `approvals`, else approvals.yaml beside the last file.

    Where that is another manifest's, it is the last file itself.
    """
    from djlink_manifest.manifest.edit.approvals import has_approvals
    from djlink_manifest.manifest.text.overlay import APPROVALS

    for name in reversed(manifest.files):
        if has_approvals(read_text(Path(name))):
            return Path(name)
    last = Path(chosen(scope.files)[-1])
    beside = (last if last.is_dir() else last.parent) / APPROVALS
    return beside if str(beside) in manifest.files or not beside.exists() else last


def _new_text(target: Path, scope: Scope, manifest: Manifest) -> str:
    """Return what a new file starts with; one that is read without being named says whose it is."""
    from djlink_manifest.manifest.edit.approvals import empty_approvals
    from djlink_manifest.manifest.text.overlay import APPROVALS

    is_found = any(same_path(target, Path(each).parent / APPROVALS) for each in chosen(scope.files))
    return empty_approvals(manifest.name) if is_found else ""
