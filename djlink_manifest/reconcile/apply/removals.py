"""Find the links that `removed` takes out, and take them out: here first, then at the source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from djlink_manifest.errors import (
    ConnectionLost,
    DjlinkError,
    Interrupted,
    TableInUse,
    Unreachable,
    with_server,
)
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.runtime.context import ApplyContext
from djlink_manifest.reconcile.runtime.epochs import Epochs, MarkPlace
from djlink_manifest.reconcile.runtime.events import Counts, LinkOutcome, Status
from djlink_manifest.retry import Retry
from djlink_manifest.servers.ddl import drop
from djlink_manifest.servers.session.errors import is_transient, note_defect
from djlink_manifest.servers.session.session import Writer


def removed_place(wanted: Removal) -> MarkPlace:
    """Where the marks of a link that is taken out are, and what they said when the plan was made."""
    return MarkPlace(
        *(wanted.address, wanted.source, wanted.outbound_schema, wanted.local_schema),
        link_id=wanted.link_id,
        state=wanted.epochs,
        going=True,
    )


def take_out(
    wanted: Removal,
    apply_context: ApplyContext,
    epochs: Epochs,
    stop: threading.Event,
    report: Callable[[str], None],
) -> LinkOutcome:
    """Take a link out. What is gone already is passed over, so that an interrupted one is finished.

    `stop` ends it after the step in hand.
    """
    started = time.monotonic()

    def outcome(status: Status, problem: str | None = None, hint: str | None = None) -> LinkOutcome:
        seconds = time.monotonic() - started
        return LinkOutcome(wanted.address, status, problem=problem, hint=hint, seconds=seconds)

    if stop.is_set():
        return outcome("skipped", "interrupted before it started")
    try:
        _with_retries(wanted, apply_context, epochs, stop, report)
    except Interrupted:
        return outcome("failed", "interrupted; completed steps are kept, and the next apply continues")
    except DjlinkError as error:
        return outcome("failed", with_server(error), error.hint)
    except Exception as error:  # of this removal, and of no other link
        note_defect(error)
        return outcome(
            "failed", f"unexpected {type(error).__name__}", "run it again with --debug and report its output"
        )
    return replace(outcome("done"), counts=Counts(released=wanted.held), taken_out=True)


def _with_retries(
    wanted: Removal,
    apply_context: ApplyContext,
    epochs: Epochs,
    stop: threading.Event,
    report: Callable[[str], None],
) -> None:
    """Again, a little later, where a session was lost or a table was in use."""

    def once() -> None:
        apply_context.locks.take(wanted, wanted.link_id)
        with apply_context.sources[wanted.source].session() as source, apply_context.local.session() as local:
            epochs.check(removed_place(wanted), source, local)
            for step in _steps(wanted, source, local):
                if stop.is_set():
                    raise Interrupted("stopped after the current step", link=wanted.address)
                apply_context.locks.check(wanted, wanted.link_id, source, local)
                step()

    AGAIN.run(once, stop, report)


def _passes(error: Exception) -> bool:
    lost = isinstance(error, ConnectionLost | Unreachable) and is_transient(error)
    return lost or isinstance(error, TableInUse)


AGAIN = Retry(5, float, _passes)


def _steps(wanted: Removal, source: Writer, local: Writer) -> Iterator[Callable[[], None]]:
    """What is to be done, in order. Each step can be repeated."""
    for of, name in wanted.drop_keys:
        yield partial(drop.drop_foreign_key, local, of, name)
    for of in wanted.drop_local:
        yield partial(drop.drop_table, local, of)
    if wanted.ledger is not None:
        place = (wanted.outbound_schema, wanted.outbound_table)
        yield partial(drop.record_release, source, wanted.ledger, place, wanted.key)
    for of in wanted.drop_views:  # they read what goes next
        yield partial(drop.drop_view, source, of)
    for of in wanted.drop_outbound:
        yield partial(drop.drop_table, source, of)
    # the source's mark is what an interrupted removal is found by, so it goes last
    yield partial(drop.drop_mark, local, wanted.local_schema, wanted.link_id)
    yield partial(drop.drop_mark, source, wanted.outbound_schema, wanted.link_id)
