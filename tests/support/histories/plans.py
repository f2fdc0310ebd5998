"""A manifest written in another order, and what of a plan does not depend on it."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

from djlink_manifest.reconcile.plan.actions import Action, Pull
from djlink_manifest.reconcile.plan.plan import Plan

PLACES = re.compile(r"\S*djlink\.yaml:\d+(:\d+)?")


def shuffled(value: Any, by: random.Random) -> Any:
    """The same mappings with their keys in another order."""
    if not isinstance(value, dict):
        return value
    items = [(key, shuffled(each, by)) for key, each in value.items()]
    by.shuffle(items)
    return dict(items)


def without_places(plan: Plan) -> Any:
    """A plan without the lines of the manifest, the seconds of the servers and the sizes they estimate.

    InnoDB counts a table's statistics anew in the background, so that two plans of the same rows may differ
    in the bytes that a pull is said to bring.
    """

    def told(action: Action) -> Action:
        return replace(action, bytes=0) if isinstance(action, Pull) else action

    return (
        plan.digest,
        tuple(
            replace(
                link,
                location=None,
                actions=tuple(map(told, link.actions)),
                blocked=tuple(replace(b, reason=PLACES.sub("", b.reason)) for b in link.blocked),
            )
            for link in plan.links
        ),
        tuple(replace(refusal, location=None) for refusal in plan.refusals),
        tuple(replace(removal, location=None) for removal in plan.removals),
        plan.forgotten,
    )
