"""A process that applies a manifest in children of its own, and kills a child at a statement of its choice.

It reads a request a line, `{"manifest": path, "at": 7, "sent": false}`, and answers with a line. Children are
forked, so that a try costs no start of an interpreter.
"""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymysql.constants.COMMAND import COM_QUERY

from djlink_manifest.errors import DjlinkError
from djlink_manifest.manifest.load import load
from djlink_manifest.reconcile.apply import pull
from djlink_manifest.reconcile.deletion import confirmations, requested
from djlink_manifest.reconcile.pipeline import open_job
from djlink_manifest.reconcile.runtime import batches
from tests.support.statements import Statement, watched

CHANGES = ("INSERT", "LOAD", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "RENAME", "COMMIT")


# the temporary tables of a session: none but the first table that a statement names is written to
_OWN = re.compile(r"\s*(?:(?:CREATE|DROP) TEMPORARY TABLE|(?:ALTER TABLE|INSERT INTO|DELETE) \S+`~djlink_)")


def changes(statement: Statement) -> bool:
    """Whether the statement changes what other sessions see; djlink's key tables are nobody else's."""
    return statement.begins(*CHANGES) and not _OWN.match(statement.text)


def apply_once(
    manifest: str,
    at: int | None = None,
    sent: bool = False,
    verify: bool = False,
    every: bool = False,
    parallelism: int = 1,
    typed: bool = False,
    spread: bool = False,
    twice: bool = True,
) -> dict[str, Any]:
    """Plan, apply, plan again, with or without `verify`; `typed`: somebody says yes to all deletions;
    `spread`: every link is pulled by ranges, several at once, by as many workers as `parallelism` lets;
    `twice`: False where nobody asks what the second plan says.

    At the `at`-th change, from 1, or with `every` at the `at`-th statement of whatever kind, it kills
    itself: before it is sent or, with `sent`, before its answer is read.
    """
    made, loading = list[str](), set[int]()

    def stop_here(statement: Statement) -> None:
        if not every and not changes(statement):
            return
        made.append(statement.text[:60])
        if statement.begins("LOAD"):
            loading.add(statement.session)
        if len(made) == at:
            if sent:
                statement.connection._execute_command(COM_QUERY, statement.whole)
            os.kill(os.getpid(), signal.SIGKILL)

    batches.BATCH_ENTITIES = 2
    if spread:
        pull.SPREAD_ENTITIES = 1
    requested.ENTITIES_AT_ONCE = confirmations.ENTITIES_AT_ONCE = 2
    with open_job(load([Path(manifest)]), os.environ, parallelism=parallelism) as job:
        plan = job.plan(verify=verify)
        if typed:
            plan, _ = job.approved(plan, "a.lee", "2026-11-24")
        with watched(stop_here):
            report = job.apply(plan, lambda event: None, threading.Event())
    answer = {
        "changes": made,
        "loading": len(loading),
        "kinds": sorted({type(a).__name__ for link in plan.links for a in link.actions}),
        "problems": [o.problem for o in report.outcomes if o.status != "done"],
    }
    if not twice:
        return answer
    with open_job(load([Path(manifest)]), os.environ, parallelism=parallelism) as job:
        again = job.plan(verify=verify)
    return answer | {
        "again": again.has_changes or again.has_errors,
        "changes_again": again.has_changes,
        "blocked": [[link.address, b.kind, b.reason] for link in again.links for b in link.blocked],
    }


def rehearse(manifest: str) -> None:
    """Do once, before any child is forked, what each would do anew: late imports, models made when used."""
    import djlink_manifest.reconcile.apply.scheduler  # noqa: F401  # by side effect

    with suppress(DjlinkError):
        load([Path(manifest)])
    gc.disable()  # a child soon ends
    gc.freeze()


def main() -> None:
    rehearsed = False
    for line in sys.stdin:
        request = json.loads(line)
        if not rehearsed:
            rehearse(request["manifest"])
            rehearsed = True
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(receiving)
                answer = apply_once(**request)
                os.write(sending, json.dumps(answer).encode())
            finally:
                os._exit(0)
        os.close(sending)
        with os.fdopen(receiving, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        answer = json.loads(text) if text else {"killed": os.WIFSIGNALED(status) and os.WTERMSIG(status)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class Applier:
    """The process above, as the test holds it."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faults.crash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
            cwd=folder,
            text=True,
        )

    def __call__(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


if __name__ == "__main__":
    main()
