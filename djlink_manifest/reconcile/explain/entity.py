"""Explain one entity: ask its servers where it is, and the rules why it is wanted or not."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from djlink_manifest.model.links.entity import Presence, Standing, State, Step, state_of, step_for
from djlink_manifest.model.links.explanation import Explanation, KeyText, Reason, Records
from djlink_manifest.model.links.link import Link, Reference
from djlink_manifest.model.links.local_rules import Leftover, LocalRule, Obstacle, leftover
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, Equals, Sql
from djlink_manifest.model.links.unique import Unique, uniques
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.reconcile.state.snapshot import EntityClass, Footing, LinkSnapshot
from djlink_manifest.servers.compare.entity_diff import equal_entities
from djlink_manifest.servers.entities import one_entity
from djlink_manifest.servers.entities.local_rules import breaking
from djlink_manifest.servers.entities.obstacles import STALE, obstacle, unmet
from djlink_manifest.servers.entities.set_terms import Scene
from djlink_manifest.servers.keys.predicates import keys_in
from djlink_manifest.servers.query.tables import outbound_table
from djlink_manifest.servers.session.session import RawRow, Session
from djlink_manifest.servers.sql import Sql as SqlText
from djlink_manifest.servers.sql import table

SHOWN = 3  # entities of a parent that are named for one reason
LOOKED_AT = 50  # entities of a parent that are looked at for one reference

Place: TypeAlias = "tuple[str, RawRow]"  # a link's address and the raw key of one of its entities
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Explained:
    """An entity explained, and what a plan is made from for it alone."""

    explanation: Explanation
    snapshot: LinkSnapshot

    @property
    def cannot_come(self) -> bool:
        """Whether it is blocked in a way that blocks those that refer to it."""
        differs = self.explanation.equal is False and self.explanation.state == State.UNPROTECTED.value
        return bool(self.snapshot.stuck or self.snapshot.stuck_again) or differs


# what asks for other entities as it goes, and is sent each of them explained
_Asking: TypeAlias = Generator[Place, Explained, _T]


@dataclass(slots=True)
class Inquiry:
    """What one explanation asks with: the scene of a source's links and a session to each server.

    `footings` are those of the links that have one, `there` and `here` the catalogues of both servers. Each
    entity is looked at once.
    """

    scene: Scene
    footings: Mapping[str, Footing]
    there: Catalog
    here: Catalog
    source: Session
    local: Session
    _known: dict[Place, Explained] = field(default_factory=dict)

    def explain(self, link: Link, values: tuple[str | bytes, ...]) -> Explained:
        """The entity of these values."""
        here = (
            one_entity.find_key(self.local, link.local, link.local.key_columns, values)
            if self._here(link)
            else None
        )
        raw = one_entity.find_key(self.source, link.definition, link.key_columns, values) or here
        if raw is None:
            presence = Presence(False, False, False, False, False)
            asked = (v if isinstance(v, str) else f"0x{v.hex()}" for v in values)
            text = tuple(zip(link.key, asked, strict=True))
            return _explained(link, text, presence, False, False, None, Records(), [])
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

    def _entity(self, address: str, raw: RawRow) -> _Asking[Explained]:
        link = self.scene.links[address]
        ours = table(link.local.schema, link.local.name)
        here = self._here(link) and one_entity.is_in(self.local, ours, link.local.key_columns, raw)
        verdict = one_entity.verdict(self.source, self.scene, link, raw)
        found, (held, requested, approved) = one_entity.records(self.source, self.there, link, raw)
        presence = Presence(verdict is not None, held, here, requested, approved)
        equal = None
        if here and verdict is not None and self._comparable(link):
            equal = bool(equal_entities(self.local, self.source, link, [raw]))
        text = one_entity.key_text(link, raw)
        if verdict is None:
            return _explained(link, text, presence, False, False, equal, found, [])
        pullable = verdict.wanted and not verdict.barred
        reasons = yield from self._rules(link, raw, verdict, held)
        reasons += yield from self._bars(link, raw, verdict, presence)
        taken, waiting, hindered = list[Unique](), list[str](), list[Obstacle]()
        if state_of(presence) in (State.UNSHARED, State.ACTIVATED) and pullable:
            reasons += self._takers(link, raw, taken, hindered)
            reasons += self._unmet(link, raw, hindered)
            if not held:
                reasons += yield from self._waiting(link, raw, waiting)
        broken = self._broken(link, raw) if not here and pullable else []
        reasons += [Reason("local rule", False, rule.words, link.address, text) for rule in broken]
        footing = self.footings.get(link.address)
        remade = footing is not None and footing.remade
        told = _explained(
            link, text, presence, verdict.wanted, pullable, equal, found, reasons, taken, waiting, remade
        )
        if told.snapshot.stuck:
            return told
        if hindered:
            why = ((hindered[0], 1),)
            new, again = ((), why) if held else (why, ())
            return replace(told, snapshot=replace(told.snapshot, hindered=new, hindered_again=again))
        if not broken:
            return told
        counted: tuple[tuple[LocalRule, int], ...] = ((broken[0], 1),)
        if held:
            return replace(told, snapshot=replace(told.snapshot, refused_again=counted))
        return replace(told, snapshot=replace(told.snapshot, refused=counted))

    def _broken(self, link: Link, raw: RawRow) -> list[LocalRule]:
        """The rules of the local tables that the entity's rows at the source break."""
        footing = self.footings.get(link.address)
        found = []
        left = leftover(link)
        if left is not None and isinstance(left.of, Leftover) and self._comparable(link):
            for part in left.of.parts:
                columns = [part.column(n) for n in link.local.entity_columns(part)]
                if one_entity.is_in(self.local, table(part.schema, part.name), columns, raw):
                    return [left]
        for rule in footing.rules if footing is not None else ():
            mine = [keys_in([rule.theirs.column(n) for n in rule.owner], [raw], "t")]
            if list(breaking(rule, self.source, mine, self.local)):
                found.append(rule)
        return found

    def _unmet(self, link: Link, raw: RawRow, hindered: list[Obstacle]) -> Iterator[Reason]:
        def this(alias: str, names: Sequence[str]) -> list[SqlText]:
            return [keys_in(one_entity.renamed(link.key_columns, names), [raw], alias)]

        comparable = {
            a for a in self.footings if a in self.scene.links and self._comparable(self.scene.links[a])
        }
        for number, _ in unmet(self.source, self.local, self.scene, link, comparable, this):
            found = obstacle(link, self.scene, number)
            assert found is not None, "it is a number of `unmet`"
            hindered.append(found)
            reference = link.references[number % STALE]
            yield Reason("foreign key", False, found.words, reference.parent)

    def _here(self, link: Link) -> bool:
        # not by the footing, which a link that is refused has not
        found = self.here.tables.get((link.local.schema, link.local.name))
        return found is not None and set(link.key) <= set(found.column_names)

    def _comparable(self, link: Link) -> bool:
        footing = self.footings.get(link.address)
        return footing is not None and footing.is_comparable(link)

    def _rules(
        self, link: Link, raw: RawRow, verdict: one_entity.Verdict, held: bool
    ) -> _Asking[list[Reason]]:
        if link.pull == "none":
            # a link that is refused is looked at as if nothing new were wanted of it
            why = "`pull: none`" if link.address in self.footings else "the link is blocked"
            words = f"{why}: held rows stay wanted, new rows are not"
            return [Reason("pull", held, words, place=str(link.location))]
        found = list[Reason]()
        if link.where is not None:
            state = {
                True: "is met",
                False: "is not met",
                None: "is NULL for this row, which counts as not met",
            }
            words = f"`where` {state[verdict.meets]}: {spelt(link.where)}"
            found.append(Reason("where", bool(verdict.meets), words, place=str(link.location)))
        holding = dict(verdict.holds)
        for reference in link.references:
            found.append((yield from self._reference(link, reference, raw, holding.get(reference))))
        if link.pull == "needed":
            found += self._needed(link, raw)
        return found

    def _reference(
        self, link: Link, reference: Reference, raw: RawRow, holds: bool | None
    ) -> _Asking[Reason]:
        parent = self.scene.links[reference.parent]
        by = _by(link, reference)
        if holds is not False:
            named = one_entity.parents_named(self.source, self.scene, link, reference, raw, "all", SHOWN)
            if not named:
                return Reason(
                    "foreign key", True, f"{by} refers to no row of {parent.address}", parent.address
                )
            what = "allowed" if holds else "no rule restricts this link"
            key = one_entity.key_text(parent, named[0])
            return Reason("foreign key", True, f"{by}: {what}", parent.address, key)
        out = one_entity.parents_named(self.source, self.scene, link, reference, raw, "left out", SHOWN)
        above = list[Explained]()
        for each in out:
            above.append((yield parent.address, each))
        because = tuple(r for each in above for r in each.explanation.reasons if not r.holds)
        key = one_entity.key_text(parent, out[0]) if out else ()
        return Reason(
            "foreign key", False, f"{by} refers to a row that is not wanted", parent.address, key, because
        )

    def _needed(self, link: Link, raw: RawRow) -> Iterator[Reason]:
        children = self.scene.children.get(link.address, ())
        if not children:
            words = "`pull: needed`, but no link refers to it"
            yield Reason("needed by", False, words, place=str(link.location))
        for child, reference in children:
            rows, wanted = one_entity.users(self.source, self.scene, link, child, reference, raw)
            words = f"{_by(self.scene.links[child], reference)}: {_rows(rows)}"
            words += f", {wanted:,} of them in wanted or held entities" if rows else ""
            yield Reason("needed by", wanted > 0, words, child)

    def _bars(
        self, link: Link, raw: RawRow, verdict: one_entity.Verdict, presence: Presence
    ) -> _Asking[list[Reason]]:
        found = list[Reason]()
        if presence.requested:
            found.append(Reason("request", False, "its deletion is requested"))
        if presence.approved:
            found.append(Reason("request", False, "its deletion was approved: it is not pulled again"))
        if not verdict.barred or found:
            return found
        for reference in link.references:
            parent = self.scene.links[reference.parent]
            named = one_entity.parents_named(self.source, self.scene, link, reference, raw, "barred", SHOWN)
            for each in named:
                above = (yield parent.address, each).explanation
                because = tuple(r for r in above.reasons if r.rule == "request")
                words = "the deletion of an entity that it refers to is requested"
                found.append(Reason("request", False, words, parent.address, above.key, because))
        return found

    def _takers(
        self, link: Link, raw: RawRow, taken: list[Unique], hindered: list[Obstacle]
    ) -> Iterator[Reason]:
        if not self._comparable(link):
            return
        for number, unique in enumerate(uniques(link), STALE):
            for owner in one_entity.takers(self.source, self.local, link, unique, raw):
                held = link.address in self.scene.held and one_entity.is_in(
                    self.source, outbound_table(link), link.key_columns, owner
                )
                why = obstacle(link, self.scene, number)
                if not held:
                    taken.append(unique)
                elif why is not None:
                    hindered.append(why)
                whose = "another entity of this link" if held else "a local row of your own"
                words = f"its value of {unique.words} is used by {whose}"
                yield Reason("unique key", False, words, link.address, one_entity.key_text(link, owner))

    def _waiting(self, link: Link, raw: RawRow, waiting: list[str]) -> _Asking[list[Reason]]:
        found = list[Reason]()
        for reference in link.references:
            parent = self.scene.links[reference.parent]
            for each in one_entity.parents_named(
                self.source, self.scene, link, reference, raw, "unheld", LOOKED_AT
            ):
                above = yield parent.address, each
                if above.cannot_come:
                    waiting.append(parent.address)
                    because = tuple(r for r in above.explanation.reasons if not r.holds)
                    words = f"{_by(link, reference)} refers to an entity that is blocked"
                    key = above.explanation.key
                    found.append(Reason("foreign key", False, words, parent.address, key, because))
                    break
        return found


def of_the_set(plan: LinkPlan) -> LinkPlan:
    """The plan of a link for one entity, whose deletion is decided with all others of the link."""
    hint = (
        "deletions are decided for the whole set: see `djlink plan` for the decision, `djlink requests` "
        "for the requests"
    )
    blocked = tuple(replace(b, hint=hint) if b.kind == "review" else b for b in plan.blocked)
    return replace(plan, blocked=blocked)


def spelt(where: Condition) -> str:
    """A condition as a person reads it."""
    match where:
        case Sql(text=text):
            return text
        case Equals(column=name, values=values):
            shown = ["NULL" if v is None else str(v) for v in values]
            return f"{name} = {shown[0]}" if len(shown) == 1 else f"{name} in ({', '.join(shown)})"
        case AllOf(terms=terms):
            return " and ".join(_bracketed(t) for t in terms) or "every row"
        case AnyOf(terms=terms):
            return " or ".join(_bracketed(t) for t in terms) or "no row"


def _bracketed(term: Condition) -> str:
    return spelt(term) if isinstance(term, Equals) else f"({spelt(term)})"


def _by(link: Link, reference: Reference) -> str:
    where = "" if reference.child_table == link.definition.name else f" of part {reference.child_table}"
    return f"({', '.join(reference.columns)}){where}"


def _rows(count: int) -> str:
    return f"{count:,} row refers to it" if count == 1 else f"{count:,} rows refer to it"


def _explained(
    link: Link,
    key: KeyText,
    presence: Presence,
    wanted: bool,
    pullable: bool,
    equal: bool | None,
    found: Records,
    reasons: list[Reason],
    taken: list[Unique] | None = None,
    waiting: list[str] | None = None,
    remade: bool = False,
) -> Explained:
    state = state_of(presence)
    granted = link.deletions == "auto" or found.granted_at is not None
    standing = Standing(
        wanted, pullable, release_unwanted=link.unwanted == "release", granted=granted, remade=remade
    )
    step = step_for(presence, standing)
    alone = state is State.UNPROTECTED and equal is True
    stuck_by = [(u.words, 1) for u in taken or []][:1] if step is Step.PULL else []
    stuck_above = [(a, 1) for a in waiting or []][:1] if step is Step.PULL and not stuck_by else []
    snapshot = LinkSnapshot(
        counts={} if state is State.ABSENT else {EntityClass(presence, wanted, pullable): 1},
        equal=1 if alone else 0,
        changed=1 if state is State.SHARED and equal is False else None,
        taken=tuple(stuck_by),
        waiting=tuple(stuck_above),
    )
    explanation = Explanation(
        link.address, key, presence, state.value, wanted, pullable, step.value, equal, found, tuple(reasons)
    )
    return Explained(explanation, snapshot)
