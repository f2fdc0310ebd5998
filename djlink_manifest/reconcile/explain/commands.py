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
from djlink_manifest.reconcile.observe.all_links import source_links_of
from djlink_manifest.reconcile.observe.context import Context
from djlink_manifest.reconcile.plan.observation import Head, Observation
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan, make
from djlink_manifest.reconcile.resolve.selection import Selection, check_address, concerns, matching
from djlink_manifest.reconcile.state.snapshot import LinkSnapshot, Refusal


def explain(job: Job, address: str, *key: str) -> tuple[Explanation, LinkPlan]:
    """One entity, by its key as the words that a person writes, and the plan of its link for it alone.

    Raises UsageError for what is no link or no key of it, ServerError.
    """
    context = job.context
    check_address(context.resolved, context.at.facts, address)
    link = context.links[address]
    values = parse_key(key, link)
    source, links, link_tables = context.sources[link.source], context.links, context.link_tables()
    if address in link_tables.moves or address in link_tables.deferred:
        refusal = link_tables.refusals[address]
        raise UsageError(f"{address}: {refusal.reason}", hint=refusal.hint)
    source_links, refusals = source_links_of(links, context.graph, link_tables, source)
    if address not in source_links.links:
        raise UsageError(f"{address}: {refusals[address].reason}", hint=refusals[address].hint)
    stopped = context.graph.downstream(refusals)  # no row of these comes
    with source.readers.session() as source_session, context.local.readers.session() as local:
        sides = Sides(
            source_links,
            {a: tables for a, tables in link_tables.found.items() if a not in stopped},
            source_catalog=source.catalog,
            local_catalog=context.local.catalog,
            source=source_session,
            local=local,
        )
        explained = Inquiry(sides).explain(source_links.links[address], values)
    above = context.graph.upstream([address])
    of = (context.manifest.name, context.manifest.digest, context.manifest.files)
    plan = make(
        tuple(links[a] for a in sorted(above)),
        context.graph.subset(above),
        Observation(
            Head(*of, local=context.local.facts(len(above)), sources=context.at.facts),
            link_tables=link_tables.found,
            snapshots={**{a: LinkSnapshot({}) for a in above}, address: explained.snapshot},
            refusals=tuple(r for r in refusals.values() if r.address in above),
        ),
    )
    return explained.explanation, of_the_set(next(p for p in plan.links if p.address == address))


def rehearse(job: Job, patterns: Sequence[str], given_up: str | None = None) -> Rehearsal:
    """What `adopt` would do for the links that these addresses or globs name. Nothing is changed.

    `given_up` names another lab's manifest whose tables may be taken. Raises UsageError for no link.
    """
    context, found = job.context, dict[str, Adoption | Refusal | None]()
    chosen, nodes = matching(context.resolved, context.at.facts, patterns, "adopt"), context.graph.nodes
    for refusal in context.resolved.refusals:
        if refusal.address not in nodes and any(concerns(p, refusal.address) for p in patterns):
            found[refusal.address] = refusal
    for pattern in patterns:
        named = matching(context.resolved, context.at.facts, [pattern], "adopt")
        if not named and not any(concerns(pattern, address) for address in found):
            check_address(context.resolved, context.at.facts, pattern)  # names the server that is down
    links, contact = context.links, context.manifest.contact
    for address in sorted(chosen):
        link = links[address]
        found[address] = adoption(link, context.catalog_pair(link.source), contact, given_up)
    return rehearsal(found, lambda taken: _as_adopted(context, sorted(chosen), taken))


def adopt(job: Job, rehearsed: Rehearsal) -> None:
    """Write the marks of what was rehearsed. Raises LinkLocked, ServerError."""
    context = job.context
    write_marks.adopt(rehearsed.adoptions, context.links, context.local, context.sources)


def _as_adopted(
    context: Context, chosen: Sequence[str], taken: Sequence[Adoption]
) -> tuple[Plan, Mapping[str, LinkSnapshot]]:
    """The plan of the chosen links, and what was observed, as if those taken were adopted already."""
    sources, local = dict(context.sources), context.local
    for each in taken:
        source = sources[each.source]
        outbound = adopted(source.catalog, each.outbound.outbound_schema, each.outbound)
        sources[each.source] = replace(source, catalog=outbound)
        local = replace(local, catalog=adopted(local.catalog, each.local.local_schema, each.local))
    scope = context.graph.upstream(chosen)
    manifest = context.manifest.model_copy(update={"removed": ()})  # those are no matter of an adoption
    refused = tuple(r for r in context.resolved.refusals if r.address in scope)
    selection = Selection(scope, frozenset(), scope, refused)
    at, options = replace(context.at, local=local, sources=sources), replace(context.options, limit=None)
    job = Job(replace(context, manifest=manifest, at=at, selection=selection, options=options))
    return job.plan(), job.observed.snapshots
