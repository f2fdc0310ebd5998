"""Explain one entity: ask its servers where it is, and the rules why it is wanted or not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from djlink_manifest.model.links.entity import Presence, State, state_of
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.explain.explained import Explained, Hindrances, Seen, explained
from djlink_manifest.reconcile.explain.reasons import Asking, Place, Reasons, Sides
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
        sides, here = self.sides, None
        if sides.has_local(link):
            here = one_entity.find_key(sides.local, link.local, link.local.key_columns, values)
        raw = one_entity.find_key(sides.source, link.definition, link.key_columns, values) or here
        if raw is None:
            asked = (v if isinstance(v, str) else f"0x{v.hex()}" for v in values)
            return explained(link, tuple(zip(link.key, asked, strict=True)), Seen(NOWHERE))
        return self.entity(link, raw)

    def entity(self, link: Link, raw: RawRow) -> Explained:
        """The entity of this raw key, which some table has. Local is read before outbound.

        Those that it depends on come first; not by recursion, since chains are long.
        """
        place = (link.address, raw)
        due = [(place, self._entity(*place))]
        answer: Explained | None = None
        while due:
            of, asking = due[-1]
            try:
                asked = next(asking) if answer is None else asking.send(answer)
            except StopIteration as end:
                due.pop()
                answer = self._known[of] = end.value
                continue
            answer = self._known.get(asked)
            if answer is None:
                due.append((asked, self._entity(*asked)))
        return self._known[place]

    def _entity(self, address: str, raw: RawRow) -> Asking[Explained]:
        sides = self.sides
        link = sides.scene.links[address]
        ours = table(link.local.schema, link.local.name)
        here = sides.has_local(link) and one_entity.is_in(sides.local, ours, link.local.key_columns, raw)
        verdict = one_entity.verdict(sides.source, sides.scene, link, raw)
        found, (held, requested, approved) = one_entity.records(sides.source, sides.there, link, raw)
        presence = Presence(verdict is not None, held, here, requested, approved)
        equal = None
        if here and verdict is not None and sides.is_comparable(link):
            equal = bool(equal_entities(sides.local, sides.source, link, [raw]))
        seen, text = Seen(presence, equal=equal, records=found), one_entity.key_text(link, raw)
        if verdict is None:
            return explained(link, text, seen)
        pullable = verdict.wanted and not verdict.barred
        of, hindrances = Reasons(sides, link, raw), Hindrances()
        reasons = yield from of.rules(verdict, held)
        reasons += yield from of.bars(verdict, presence)
        if state_of(presence) in (State.UNSHARED, State.ACTIVATED) and pullable:
            reasons += of.takers(hindrances)
            reasons += of.unmet(hindrances)
            if not held:
                reasons += yield from of.waiting(hindrances)
        if not here and pullable:
            reasons += of.broken(hindrances)
        footing = sides.footings.get(link.address)
        seen = replace(
            seen,
            wanted=verdict.wanted,
            pullable=pullable,
            reasons=tuple(reasons),
            hindrances=hindrances,
            remade=footing is not None and footing.remade,
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
