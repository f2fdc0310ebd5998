"""Explain one entity: ask its servers where it is, and the rules why it is wanted or not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from djlink_manifest.model.links.entity import Presence, State, state_of
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.explain.explained import BlockedBy, Explained, Seen, explained
from djlink_manifest.reconcile.explain.reasons import Place, Question, Reasons, Sides
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.servers.compare.entity_diff import equal_entities
from djlink_manifest.servers.entities import one_entity
from djlink_manifest.servers.session.session import RawRow
from djlink_manifest.servers.sql import table

NOWHERE = Presence(False, False, False, False, False)


@dataclass(slots=True)
class Inquiry:
    """One explanation, which looks at each entity once."""

    sides: Sides
    _known: dict[Place, Explained] = field(default_factory=dict)

    def explain(self, link: Link, values: tuple[str | bytes, ...]) -> Explained:
        """The entity of these values."""
        sides, local_key = self.sides, None
        if sides.has_local(link):
            local_key = one_entity.find_key(sides.local, link.local, link.local.key_columns, values)
        raw = one_entity.find_key(sides.source, link.definition, link.key_columns, values) or local_key
        if raw is None:
            steps = (v if isinstance(v, str) else f"0x{v.hex()}" for v in values)
            return explained(link, tuple(zip(link.key, steps, strict=True)), Seen(NOWHERE))
        return self.entity(link, raw)

    def entity(self, link: Link, raw: RawRow) -> Explained:
        """The entity of this raw key, which some table has. Local is read before outbound.

        Those that it depends on come first; not by recursion, since chains are long.
        """
        place = (link.address, raw)
        due = [(place, self._entity(*place))]
        answer: Explained | None = None
        while due:
            of, explaining = due[-1]
            try:
                question = next(explaining) if answer is None else explaining.send(answer)
            except StopIteration as end:
                due.pop()
                answer = self._known[of] = end.value
                continue
            answer = self._known.get(question)
            if answer is None:
                due.append((question, self._entity(*question)))
        return self._known[place]

    def _entity(self, address: str, raw: RawRow) -> Question[Explained]:
        sides = self.sides
        link = sides.source_links.links[address]
        local_table_name = table(link.local.schema, link.local.name)
        is_local = sides.has_local(link) and one_entity.is_in(
            sides.local, local_table_name, link.local.key_columns, raw
        )
        verdict = one_entity.verdict(sides.source, sides.source_links, link, raw)
        found, (held, requested, approved) = one_entity.records(sides.source, sides.source_catalog, link, raw)
        presence = Presence(verdict is not None, held, is_local, requested, approved)
        equal = None
        if is_local and verdict is not None and sides.is_comparable(link):
            equal = bool(equal_entities(sides.local, sides.source, link, [raw]))
        seen, text = Seen(presence, equal=equal, records=found), one_entity.key_text(link, raw)
        if verdict is None:
            return explained(link, text, seen)
        pullable = verdict.wanted and not verdict.blocked_by_request
        of, hindrances = Reasons(sides, link, raw), BlockedBy()
        reasons = yield from of.rules(verdict, held)
        reasons += yield from of.request_reasons(verdict, presence)
        if state_of(presence) in (State.UNSHARED, State.ACTIVATED) and pullable:
            reasons += of.takers(hindrances)
            reasons += of.obstacles(hindrances)
            if not held:
                reasons += yield from of.blocked_by_parent(hindrances)
        if not is_local and pullable:
            reasons += of.broken(hindrances)
        link_tables = sides.link_tables.get(link.address)
        seen = replace(
            seen,
            wanted=verdict.wanted,
            pullable=pullable,
            reasons=tuple(reasons),
            hindrances=hindrances,
            remade=link_tables is not None and link_tables.remade,
        )
        return explained(link, text, seen)


def of_the_set(plan: LinkPlan) -> LinkPlan:
    """The plan of a link for one entity, whose deletion is decided with all others of the link."""
    hint = (
        "deletions are decided for the whole set: see `djlink plan` for the decision, `djlink requests` "
        "for the requests"
    )
    blocked = tuple(replace(b, hint=hint) if b.kind == "review" else b for b in plan.blocked)
    return replace(plan, blocked=blocked)
