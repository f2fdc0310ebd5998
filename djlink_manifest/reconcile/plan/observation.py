"""All that a plan is made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.links.link import Limit
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.state.deletion_requests import LinkDeletions
from djlink_manifest.reconcile.state.snapshot import (
    Footing,
    Forgotten,
    LinkSnapshot,
    Refusal,
    ReliedOn,
    ServerFacts,
)


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a plan is made from, beside the links and their graph.

    `deletions` is what was observed of them by link, `lately` how many entities of each went in 24 hours
    without a review; `limit` replaces every `max_deletions`. `unseen` names, by link, tables that the local
    account cannot see and that refer with ON DELETE CASCADE or SET NULL; None where it cannot know.
    `unfilled` names, by link, the links below it whose local tables were dropped or lack a part: what of
    theirs would go along with a deletion is not known until they are filled. `relied` names, by link, the
    entities that are not refilled for what refers to them. `lineage` names, by source, the schemas that have
    DataJoint's lineage.
    """

    manifest: str
    digest: str
    files: tuple[str, ...]
    local: ServerFacts
    sources: tuple[ServerFacts, ...]
    footings: Mapping[str, Footing]
    snapshots: Mapping[str, LinkSnapshot]
    refusals: tuple[Refusal, ...] = ()
    forgotten: tuple[Forgotten, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    deletions: Mapping[str, LinkDeletions] = field(default_factory=dict)
    lately: Mapping[str, int] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    limit: Limit | None = None
    removals: tuple[Removal, ...] = ()
    unseen: Mapping[str, tuple[str, ...]] | None = field(default_factory=dict)
    unfilled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    relied: Mapping[str, ReliedOn] = field(default_factory=dict)
    lineage: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
