"""Manifests in Python: their links as classes, and plan and apply as functions that return values."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from djlink_manifest.api.commands import completed_html, errors_name, of_files
from djlink_manifest.api.connecting import connection_to
from djlink_manifest.api.homes import Listed, Tables
from djlink_manifest.api.linked import linked_class
from djlink_manifest.errors import LinkRefused, Unreachable, UsageError
from djlink_manifest.manifest.load import load as read_manifest
from djlink_manifest.manifest.models.secrets import resolve_server
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.next_steps import completed
from djlink_manifest.reconcile.pipeline import Job, open_job
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Event, Listener, Report
from djlink_manifest.reconcile.state.snapshot import Refusal, ServerFacts, refusal_about
from djlink_manifest.report.plan.html import plan_html, table_html
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.summary import outcome_words, report_lines
from djlink_manifest.report.plan.text import plan_lines
from djlink_manifest.report.screen.layout import Item, laid_out

Paths: TypeAlias = "str | Path | Sequence[str | Path]"


@dataclass(frozen=True, slots=True, repr=False)
class ShownPlan(Plan):
    """A plan that a notebook shows as a table, and `print` as the command does.

    `given` are the files and folders that it was made from, which the commands in it name.
    """

    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return _printed(plan_lines(self), self.given)

    def __repr__(self) -> str:
        return f"<plan of {self.manifest}: {closing(self)[0]}>"

    def _repr_html_(self) -> str:
        return completed_html(plan_html(self), of_files(self.given))


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply planned and what it did. `succeeded`: all of it is done, and nothing was in the way."""

    plan: ShownPlan
    report: Report

    @property
    def succeeded(self) -> bool:
        """Whether `djlink apply` would end with 0."""
        return self.report.succeeded and not self.plan.has_errors

    def __str__(self) -> str:
        return _printed(report_lines(self.plan, self.report), self.plan.given)

    def _repr_html_(self) -> str:
        rows = [
            (o.address, outcome_words(o) if o.status == "done" else f"{o.status}: {o.problem}")
            for o in self.report.outcomes
        ]
        return table_html("applied", rows or [("no changes", "")])


class Atlas(Mapping[str, Any]):
    """A manifest's links as classes, by address: `load("atlas.yaml")["princeton.lab.Session"]`.

    The servers are reached when the first link is asked for. A class has all that a decorated one has; its
    `pull` brings what the manifest wants, and the parents it needs.
    """

    def __init__(self, manifest: Manifest, connection: Any = None, files: Sequence[str] = ()) -> None:
        self.manifest = manifest
        self.files = tuple(files)
        self._connection = connection
        self._links: dict[str, Link] | None = None
        self._down: dict[str, ServerFacts] = {}
        self._refused: tuple[Refusal, ...] = ()
        self._classes: dict[str, Any] = {}

    def __getitem__(self, address: str) -> Any:
        if address not in self._classes:
            with errors_name(self.files):
                self._classes[address] = self._made(address)
        return self._classes[address]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))

    def __len__(self) -> int:
        return len(self._all())

    def plan(self, **options: Any) -> ShownPlan:
        """What `djlink_manifest.plan` gives for this manifest."""
        return plan(self, **options)

    def apply(self, **options: Any) -> Applied:
        """What `djlink_manifest.apply` does for this manifest."""
        return apply(self, **options)

    def __repr__(self) -> str:
        return f"Atlas({self.manifest.name!r}, {len(self.manifest.sources)} sources)"

    def _all(self) -> dict[str, Link]:
        if self._links is None:
            with errors_name(self.files), open_job(self.manifest, os.environ) as job:
                self._links = {link.address: link for link in job.links}
                self._down = {facts.name: facts for facts in job.servers if facts.problem}
                self._refused = job.refusals
        return self._links

    def _made(self, address: str) -> Any:
        link = self._all().get(address)
        down = self._down.get(address.split(".", 1)[0])
        if link is None and down is not None:
            self._links = None  # it may be up when it is asked for again
            raise Unreachable(str(down.problem), server=down.name, link=address, hint=down.hint)
        refusal = refusal_about(address, self._refused) if link is None else None
        if refusal is not None:
            self._links = None  # it may be mended when it is asked for again
            raise LinkRefused(
                f"{address}: {refusal.reason}", link=address, location=refusal.location, hint=refusal.hint
            )
        if link is None:
            close = nearest(address, sorted(self._all()))
            hint = f"did you mean `{close}`?" if close else "list(load(...)) names the links"
            raise UsageError(f"{address}: this manifest has no such link", hint=hint)
        connection = self._local()
        tables = Tables(
            (link.definition.schema, link.definition.name),
            (link.outbound_schema, link.outbound_table),
            (link.local.schema, link.local.name),
        )
        if not _stands(connection, tables.local):
            raise LinkRefused(
                f"{address} is not linked yet: the local table {'.'.join(tables.local)} does not exist",
                link=address,
                location=link.location,
                hint="apply the manifest first: djlink_manifest.apply(...), or `djlink apply`",
            )
        name = address.rsplit(".", 1)[1]
        home = Listed(self.manifest, address, name, tables, connection, self.files)
        return linked_class(name, home, tables, {"__doc__": link.definition.comment, "__module__": __name__})

    def _local(self) -> Any:
        """The lab's own connection where it is to the manifest's local server, else one that it names."""
        if self._connection is None:
            import datajoint as dj

            address = resolve_server(self.manifest.local, os.environ)
            configured = (dj.config["database.host"], dj.config["database.port"], dj.config["database.user"])
            if configured == (address.host, address.port, address.user):
                self._connection = dj.conn()
            else:
                self._connection = connection_to(address)
        return self._connection


def load(paths: Paths, *, connection: Any = None) -> Atlas:
    """A manifest from a file, a folder, or several laid over each other.

    Local classes are on DataJoint's own connection where that is configured for the manifest's local server
    and account, else on one that the manifest describes, or on `connection`. Raises ManifestError with every
    problem; nothing is asked of a server yet.
    """
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    return Atlas(read_manifest(listed), connection, tuple(map(str, listed)))


def plan(
    manifest: Atlas | Paths,
    *,
    targets: Sequence[str] = (),
    excludes: Sequence[str] = (),
    verify: bool = False,
    parallelism: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> ShownPlan:
    """What an apply would do, as `djlink plan` shows it; nothing is changed and nothing printed.

    `verify` compares the rows too. `progress` is called with what is being done. Raises ManifestError,
    SecretError, UsageError for a target that is no link, and ServerError where the local server
    cannot be used.
    """
    options: dict[str, Any] = {"targets": targets, "excludes": excludes, "parallelism": parallelism}
    atlas = _atlas(manifest)
    with (
        errors_name(atlas.files),
        open_job(atlas.manifest, os.environ, listener=progress, **options) as job,
    ):
        return _shown(job, verify, atlas.files)


def apply(
    manifest: Atlas | Paths,
    *,
    targets: Sequence[str] = (),
    excludes: Sequence[str] = (),
    verify: bool = False,
    parallelism: int | None = None,
    progress: Listener | None = None,
    stop: threading.Event | None = None,
) -> Applied:
    """Plan and carry the plan out, as `djlink apply --auto-approve` does; nothing is printed.

    `progress` is called with each event, by one thread at a time; `stop`, once set, ends it after the batches
    in hand. Raises what `plan` raises, and LinkLocked, before anything is done, where another djlink works on
    one of the links.
    """
    options: dict[str, Any] = {"targets": targets, "excludes": excludes, "parallelism": parallelism}
    atlas = _atlas(manifest)
    with errors_name(atlas.files), open_job(atlas.manifest, os.environ, **options) as job:
        made = _shown(job, verify, atlas.files)
        if not made.has_changes:
            return Applied(made, Report(()))
        return Applied(made, job.apply(made, progress or _quiet, stop or threading.Event()))


def _quiet(event: Event) -> None:
    return None


def _atlas(manifest: Atlas | Paths) -> Atlas:
    return manifest if isinstance(manifest, Atlas) else load(manifest)


def _shown(job: Job, verify: bool, files: tuple[str, ...]) -> ShownPlan:
    made = job.plan(verify=verify)
    return ShownPlan(**{each.name: getattr(made, each.name) for each in fields(made)}, given=files)


def _printed(items: Iterable[Item], files: Sequence[str]) -> str:
    options = of_files(files)
    return "\n".join(each.plain for each in laid_out(items, None, lambda text: completed(text, options)))


def _stands(connection: Any, table: tuple[str, str]) -> bool:
    from datajoint import FreeTable

    schema, name = (each.replace("`", "``") for each in table)
    return bool(FreeTable(connection, f"`{schema}`.`{name}`").is_declared)
