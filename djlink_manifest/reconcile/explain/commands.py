"""What is asked of single links while a job is open: why an entity stands as it does, what may be adopted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.explanation import Explanation
from djlink_manifest.reconcile.adopt import write_marks
from djlink_manifest.reconcile.adopt.rehearsal import Adoption, Rehearsal, adopted, adoption, rehearsal
from djlink_manifest.reconcile.explain.entity import Inquiry, of_the_set
from djlink_manifest.reconcile.explain.key import parse_key
from djlink_manifest.reconcile.explain.reasons import Sides
from djlink_manifest.reconcile.job import Job
from djlink_manifest.reconcile.observe.all_links import source_scene
from djlink_manifest.reconcile.observe.context import Stage
from djlink_manifest.reconcile.plan.observation import Head, Observation
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan, make
from djlink_manifest.reconcile.resolve.selection import Selection, check_address, concerns, matching
from djlink_manifest.reconcile.state.snapshot import LinkSnapshot, Refusal


def explain(job: Job, address: str, key: str) -> tuple[Explanation, LinkPlan]:
    """One entity, by its key as a person writes it, and the plan of its link for it alone.

    Raises UsageError for what is no link or no key of it, ServerError.
    """
    stage = job.stage
    check_address(stage.resolved, stage.at.facts, address)
    link = stage.links[address]
    values = parse_key(key, link)
    source, links, footings = stage.sources[link.source], stage.links, stage.footings()
    scene, refusals = source_scene(links, footings, source)
    if address not in scene.links:
        raise UsageError(f"{address}: {refusals[address].reason}", hint=refusals[address].hint)
    with source.readers.session() as there, stage.local.readers.session() as here:
        sides = Sides(
            scene,
            footings.found,
            there=source.catalog,
            here=stage.local.catalog,
            source=there,
            local=here,
        )
        explained = Inquiry(sides).explain(scene.links[address], values)
    above = stage.graph.upstream([address])
    of = (stage.manifest.name, stage.manifest.digest, stage.manifest.files)
    plan = make(
        tuple(links[a] for a in sorted(above)),
        stage.graph.subset(above),
        Observation(
            Head(*of, stage.local.facts(len(above)), stage.at.facts),
            footings=footings.found,
            snapshots={**{a: LinkSnapshot({}) for a in above}, address: explained.snapshot},
            refusals=tuple(r for r in refusals.values() if r.address in above),
        ),
    )
    return explained.explanation, of_the_set(next(p for p in plan.links if p.address == address))


def rehearse(job: Job, patterns: Sequence[str], given_up: str | None = None) -> Rehearsal:
    """What `adopt` would do for the links that these addresses or globs name. Nothing is changed.

    `given_up` names another lab's manifest whose tables may be taken. Raises UsageError for no link.
    """
    stage, found = job.stage, dict[str, Adoption | Refusal | None]()
    chosen, nodes = matching(stage.resolved, stage.at.facts, patterns, "adopt"), stage.graph.nodes
    for refusal in stage.resolved.refusals:
        if refusal.address not in nodes and any(concerns(p, refusal.address) for p in patterns):
            found[refusal.address] = refusal
    for pattern in patterns:
        named = matching(stage.resolved, stage.at.facts, [pattern], "adopt")
        if not named and not any(concerns(pattern, address) for address in found):
            check_address(stage.resolved, stage.at.facts, pattern)  # names the server that is down
    links, contact = stage.links, stage.manifest.contact
    for address in sorted(chosen):
        link = links[address]
        found[address] = adoption(link, stage.ground(link.source), contact, given_up)
    return rehearsal(found, lambda taken: _as_adopted(stage, sorted(chosen), taken))


def adopt(job: Job, rehearsed: Rehearsal) -> None:
    """Write the marks of what was rehearsed. Raises LinkLocked, ServerError."""
    stage = job.stage
    write_marks.adopt(rehearsed.adoptions, stage.links, stage.local, stage.sources)


def _as_adopted(
    stage: Stage, chosen: Sequence[str], taken: Sequence[Adoption]
) -> tuple[Plan, Mapping[str, LinkSnapshot]]:
    """The plan of the chosen links, and what was observed, as if those taken were adopted already."""
    sources, local = dict(stage.sources), stage.local
    for each in taken:
        there = sources[each.source]
        outbound = adopted(there.catalog, each.outbound.outbound_schema, each.outbound)
        sources[each.source] = replace(there, catalog=outbound)
        local = replace(local, catalog=adopted(local.catalog, each.local.local_schema, each.local))
    scope = stage.graph.upstream(chosen)
    manifest = stage.manifest.model_copy(update={"removed": ()})  # those are no matter of an adoption
    refused = tuple(r for r in stage.resolved.refusals if r.address in scope)
    selection = Selection(scope, frozenset(), scope, refused)
    at, options = replace(stage.at, local=local, sources=sources), replace(stage.options, limit=None)
    job = Job(replace(stage, manifest=manifest, at=at, selection=selection, options=options))
    return job.plan(), job.observed.snapshots
