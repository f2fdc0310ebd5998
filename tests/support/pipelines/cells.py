"""Plans and applies that compare every row, of a pipeline whose rows were changed."""

from __future__ import annotations

import threading
from typing import Any

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import LinkOutcome
from tests.support.rig import Rig, quiet
from tests.support.sql import ask


def document(rig: Rig, changed: str = "mend") -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": {"*": {"changed": changed}}}}})


def verified(rig: Rig, changed: str = "mend") -> Plan:
    with rig.job(document(rig, changed)) as job:
        return job.plan(verify=True)


def mended(rig: Rig, listener: Any = quiet, stop: threading.Event | None = None) -> LinkOutcome:
    with rig.job(document(rig)) as job:
        plan = job.plan(verify=True)
        assert not plan.has_errors
        [outcome] = job.apply(plan, listener, stop or threading.Event()).outcomes
        return outcome


def locally(rig: Rig, text: str) -> list[tuple[Any, ...]]:
    return ask(rig.servers.local, text.replace("@here", f"`{rig.local_schema('lab_a', 'lab')}`"))
