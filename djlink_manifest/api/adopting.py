"""Confirming that the local server is the one that a link belongs to, as `djlink adopt` does."""

from __future__ import annotations

import glob

from djlink_manifest.api.homes import Home
from djlink_manifest.api.runs import opened, refused
from djlink_manifest.reconcile.explain import commands


def adopt(home: Home) -> bool:
    """Take over the marks of the link and of those that it needs; whether there were any to take over.

    Raises LinkRefused with nothing done, LinkLocked.
    """
    with opened(home, home.pulling(None)) as job:
        rehearsed = commands.rehearse(job, [glob.escape(link.address) for link in job.links])
        for refusal in rehearsed.refusals:
            raise refused(home, refusal.reason, refusal.hint)
        if rehearsed.adoptions:
            commands.adopt(job, rehearsed)
        return bool(rehearsed.adoptions)
