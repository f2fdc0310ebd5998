"""Plans kept as files: write and read them, and check that one may be applied here and now."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from djlink_manifest.cli.options.files import FILES_VARIABLE
from djlink_manifest.cli.options.manifest_options import Scope, chosen
from djlink_manifest.cli.terminal.files import write_atomically
from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.links.link import Growth
from djlink_manifest.model.next_steps import command
from djlink_manifest.reconcile.plan.outline import outline_of
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.plan.staleness import PlanChange, changes_since
from djlink_manifest.reconcile.plan.terms import PlanTerms
from djlink_manifest.report.document.read import anew, parse
from djlink_manifest.report.document.restore import outline_in, terms_of
from djlink_manifest.report.document.write import document_text
from djlink_manifest.report.plan.json_form import plan_json
from djlink_manifest.report.screen.rows import TROUBLE, Row, set_in_columns
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from djlink_manifest.report.document.form import PlanDocument
    from djlink_manifest.report.plan.against import Against

MOST_BYTES = 64 * 2**20  # a plan of 20,000 links


def read_plan(name: str) -> PlanDocument:
    """Return the document in a file. Raises UsageError where it cannot be read, or is no plan."""
    try:
        # not to wait for the writer of a pipe
        number = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            state = os.fstat(number)
            if not stat.S_ISREG(state.st_mode):
                raise UsageError(
                    f"{name} is not a regular file", hint="name a file that `djlink plan --out FILE` wrote"
                )
            content = file.read(MOST_BYTES + 1) if state.st_size <= MOST_BYTES else b""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        missing = isinstance(error, FileNotFoundError)
        hint = "make one with `djlink plan --out FILE`" if missing else "check its permissions"
        raise UsageError(f"{name} cannot be read: {reason}", hint=hint) from None
    if state.st_size > MOST_BYTES or len(content) > MOST_BYTES:
        raise UsageError(
            f"{name} is larger than any plan ({MOST_BYTES >> 20} MiB)",
            hint="name a file that `djlink plan --out FILE` wrote",
        )
    return parse(content, name)


def check_options(scope: Scope) -> None:
    """Raise UsageError where a plan that is to be kept was asked for in a way that is not kept."""
    if scope.limit is not None:
        raise UsageError(
            "--max-deletions is not kept in a plan's file: who can replace the file could raise it",
            hint="write `max_deletions` into the manifest, or give it to an apply without a file",
        )


def check_target(name: str) -> None:
    """Raise UsageError where a plan cannot be written to a file, or would replace what is no plan."""
    path = Path(name)
    if not path.parent.is_dir():
        raise UsageError(
            f"{name} cannot be written: there is no folder {path.parent}", hint="make the folder first"
        )
    if not os.path.lexists(path):
        return
    try:
        read_plan(name)
    except UsageError as error:
        # the reader's own next step, where it is to remove a damaged plan: `show` and `apply` say the same
        remedy = f"; or {anew(name)}" if anew(name) in (error.hint or "") else ""
        raise UsageError(
            f"{name} is there already and is not replaced: {error.message}",
            hint=f"name another file{remedy}",
        ) from None
    if path.is_symlink():
        raise UsageError(f"{name} is a symbolic link and is not replaced", hint="name the file itself")


def write_plan(name: str, plan: Plan, terms: PlanTerms, compared: Against | None) -> None:
    """Write a plan to a file that only its owner can read, atomically. Raises UsageError where it cannot."""
    check_target(name)
    write_atomically(Path(name), document_text(plan_json(plan, terms, against=compared)), 0o600, name)


def terms(scope: Scope, *, verify: bool, growth: Growth | None) -> PlanTerms:
    """Return how a plan was asked for: its files relative to this folder, where they are in it."""
    return PlanTerms(
        datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        tuple(_relative(each) for each in chosen(scope.files)),
        scope.targets,
        scope.excludes,
        verify,
        growth,
    )


def _relative(name: str) -> str:
    inside = Path(name).is_absolute() and Path(name).is_relative_to(Path.cwd())
    return str(Path(name).relative_to(Path.cwd())) if inside else name


def scope_of(document: PlanDocument, scope: Scope, name: str) -> tuple[Scope, PlanTerms]:
    """Return the scope that a plan's apply has, from the plan; `scope` has the options that it may be given.

    Raises UsageError for a plan that cannot be applied at all.
    """
    anew = f"run {command('plan', '--out', name)}"
    if document.terms is None:
        raise UsageError(
            f"{name} can be shown but not applied: it lacks `terms`, which say how the plan was asked for; "
            "only `djlink plan --out FILE` writes them, `djlink plan --json` does not",
            hint=f"{anew}, then apply that",
        )
    if document.has_errors:
        raise UsageError(
            f"{name} has errors and is not applied",
            hint=f"{command('show', name)} shows them; mend them, then {anew}; or plan the other "
            "links alone, with --target ADDRESS",
        )
    found = terms_of(document.terms)
    files = scope.files
    if not files and not os.environ.get(FILES_VARIABLE):
        files = found.files
        outside = [each for each in files if not _is_inside(each)]
        if outside or not files:
            raise UsageError(
                f"the manifest of {name} is not in this folder: {', '.join(outside) or 'it names none'}",
                hint="name the manifest with `-f FILE`; it must be the one that the plan was made from",
            )
    return replace(scope, files=files, targets=found.targets, excludes=found.excludes), found


def _is_inside(name: str) -> bool:
    """Whether a path that a plan names is in this folder: who wrote the plan must not choose any file."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return False
    try:
        return path.resolve().is_relative_to(Path.cwd().resolve())
    except (OSError, ValueError, RuntimeError):
        return False


def check_manifest(document: PlanDocument, manifest: Manifest, name: str) -> None:
    """Raise UsageError where a plan was made from another manifest than this one."""
    was = document.manifest
    if was.name != manifest.name:
        raise UsageError(
            f"{name} was made from the manifest `{was.name}`, and this is `{manifest.name}`",
            hint="name the manifest of the plan with `-f FILE`",
        )
    if was.digest != manifest.digest:
        raise UsageError(
            f"the manifest says something else than when {name} was made (digest {was.digest[:7]}, now "
            f"{manifest.digest[:7]})",
            hint=f"check out the manifest that the plan was made from, or run "
            f"{command('plan', '--out', name)}",
        )


def what_moved(document: PlanDocument, plan: Plan, growth: Growth | None) -> tuple[PlanChange, ...]:
    """Return what is otherwise than when the plan in the document was made.

    Raises UsageError where a server is another one.
    """
    was = {server.name: server.identity for server in (document.local, *document.sources)}
    for server in (plan.local, *plan.sources):
        if not server.problem and was.get(server.name) != server.identity:
            raise UsageError(
                f"{server.name} ({server.host}) is another server than the one that the plan was made for",
                hint="check the host in the manifest and in the environment; for this server make a new plan "
                "with `djlink plan --out FILE`",
            )
    return changes_since(outline_in(document), outline_of(plan), growth)


def written_lines(name: str, plan: Plan) -> Iterator[Text]:
    """Yield where the plan is, and how it is applied."""
    yield line(f"The plan is in {name}.")
    if plan.has_errors:
        yield line((f"next: it has errors and cannot be applied; {command('show', name)} shows it", "dim"))
    elif not plan.has_changes:
        yield line(("next: nothing to apply: the plan has no changes", "dim"))
    else:
        yield line((f"next: {command('apply', name)}", "dim"))


def stale_lines(name: str, found: Sequence[PlanChange]) -> Iterator[Text]:
    """Yield the words for a plan that is stale: what moved, and the next step."""
    yield line(
        ("Error: ", "bold red"), (f"{name} is stale: it was not applied, and nothing was changed", "bold")
    )
    yield from set_in_columns(_rows(found))
    yield line((f"next: review the servers' present state: {command('plan', '--out', name)}", "dim"))


def _rows(found: Iterable[PlanChange]) -> list[Row]:
    rows, before = list[Row](), ""
    for each in found:
        rows.append(Row(TROUBLE, each.address if each.address != before else "", each.words))
        before = each.address
    return rows
