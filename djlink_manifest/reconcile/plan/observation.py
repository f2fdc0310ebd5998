"""All that a plan is made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.model.links.link import Limit
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.state.deletion_requests import DeletionFacts
from djlink_manifest.reconcile.state.moves import LinkMove
from djlink_manifest.reconcile.state.snapshot import (
    BlockedKey,
    Forgotten,
    LinkSnapshot,
    LinkTables,
    Refusal,
    ReliedOn,
    ServerFacts,
)


@dataclass(frozen=True, slots=True)
class Head:
    """What a plan is of: the manifest by name, digest and files, and the servers."""

    manifest: str
    digest: str
    files: tuple[str, ...]
    local: ServerFacts
    sources: tuple[ServerFacts, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a plan is made from, beside the links and their graph.

    `deletions` is what was observed of them; `limit` replaces every `max_deletions`. `relied` names, by link,
    the entities that are not refilled for what refers to them, `blocked_keys` the foreign keys that rows keep
    from being added; `lineage`, by source, the schemas that have DataJoint's lineage; `rejecting` has the
    servers that reject what djlink writes there, and why. `moves` are links that have another name now,
    `deferred` those that wait for them, by address: of neither anything else was observed. `sets`, by link,
    are digests of the sets of keys that deletions and releases are bound to.
    """

    head: Head
    link_tables: Mapping[str, LinkTables]
    snapshots: Mapping[str, LinkSnapshot]
    refusals: tuple[Refusal, ...] = ()
    forgotten: tuple[Forgotten, ...] = ()
    warnings: tuple[str, ...] = ()
    deletions: DeletionFacts = field(default_factory=DeletionFacts)
    approvals: tuple[Approval, ...] = ()
    limit: Limit | None = None
    removals: tuple[Removal, ...] = ()
    relied: Mapping[str, ReliedOn] = field(default_factory=dict)
    blocked_keys: Mapping[str, tuple[BlockedKey, ...]] = field(default_factory=dict)
    lineage: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rejecting: Mapping[str, Refusal] = field(default_factory=dict)
    moves: Mapping[str, LinkMove] = field(default_factory=dict)
    deferred: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
