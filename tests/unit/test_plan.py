"""The plan as a function: cases from `plan_cases/`, then what must hold of every plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.model.links.entity import EntityTerms, Step, step_for
from djlink_manifest.model.links.graph import Edge, EdgeKind, LinkGraph
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.plan.actions import (
    Action,
    AddForeignKey,
    AlterLocal,
    Approve,
    Blocked,
    ChangeLocal,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    GiveUp,
    MakeViews,
    Mend,
    Move,
    NoteDefinition,
    NoteFilled,
    NoteRequests,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.observation import Observation
from djlink_manifest.reconcile.plan.plan import LinkPlan, make
from djlink_manifest.reconcile.state.snapshot import Refusal
from tests.unit import plan_facts

CASES = sorted((Path(__file__).parent / "plan_cases").glob("*.yaml"))
# what is done of a link of which no row comes
KEY_ALONE = (CreateOutbound, CreateLocal, MakeViews, Claim, Mend, Delete, Approve, NoteRequests, Release)
EXPECTED_OF_A_PLAN = {"changes", "errors", "refused", "spent"}
EXPECTED_OF_A_LINK = {"wave", "after", "actions", "blocked", "drift", "kept", "warnings"}


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_a_plan_follows_from_its_facts(path: Path) -> None:
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    plan = plan_facts.planned(case)
    expected = case["expected"]
    links = {name: value for name, value in expected.items() if name not in EXPECTED_OF_A_PLAN}
    assert plan.has_changes is expected.get("changes", False)
    assert plan.has_errors is expected.get("errors", False)
    assert [approval.until for approval in plan.spent] == expected.get("spent", [])
    assert [refusal.address for refusal in plan.refusals] == expected.get("refused", [])
    assert sorted(link.address for link in plan.links) == sorted(links)
    for link in plan.links:
        assert set(links[link.address]) <= EXPECTED_OF_A_LINK
        assert in_words(link) == {
            "after": [],
            "actions": [],
            "blocked": [],
            "drift": [],
            "kept": 0,
            "warnings": 0,
            **links[link.address],
        }, f"{path.stem}: {case['says']}"


def in_words(link: LinkPlan) -> dict[str, Any]:
    """A link's plan, as the cases say it."""
    return {
        "wave": link.wave,
        "after": list(link.after),
        "actions": [action_in_words(action) for action in link.actions],
        "blocked": [
            f"{each.kind} {'whole' if each.whole else each.count}"
            + (f" with {each.root}" if each.root else "")
            for each in link.blocked
        ],
        "drift": [each.count for each in link.drift],
        "kept": link.kept,
        "warnings": len(link.warnings),
    }


def action_in_words(action: Action) -> str:
    match action:
        case CreateOutbound(tables=tables):
            return f"create outbound {len(tables)}"
        case CreateLocal(tables=tables):
            return f"create local {len(tables)}"
        case Move(tables=renamed):
            return f"move {len(renamed)}"
        case MakeViews(views=views):
            return f"make views {len(views)}"
        case AddForeignKey(table=table):
            return f"add foreign key to {table}"
        case Pull(entities=entities, parts=parts, bytes=size):
            along = f" with {sum(rows for _, rows in parts)} part rows and {size} bytes" if parts else ""
            return f"pull {entities}{along}"
        case AlterLocal(columns=columns, indexes=indexes):
            return f"alter local {', '.join([*columns, *indexes])}"
        case ChangeLocal(changes=changes, cost=cost):
            return f"change local {', '.join(changes)}: {cost}"
        case CopyLineage():
            return "copy lineage"
        case NoteDefinition(server=server, after_rows=after_rows):
            return f"note definition on {server}" + (" after rows" if after_rows else "")
        case NoteFilled():
            return "note filled"
        case NoteServer(upgrade=upgrade):
            return " ".join(["note server", *upgrade])
        case GiveUp(entities=entities):
            return f"give up {entities}"
        case Claim(entities=entities):
            return f"claim {entities}"
        case Refill(entities=entities, cause=cause):
            return f"refill {entities} for {cause}"
        case PullAgain(entities=entities):
            return f"pull again {entities}"
        case Register(entities=entities, reason=reason):
            return f"register {entities}" + (", to be released" if "next plan releases" in reason else "")
        case Release(entities=entities):
            return f"release {entities}"
        case Delete(entities=entities, along=along, cause=cause):
            others = f" along {sum(n for _, n in along)}" if along else ""
            return f"delete {entities}{others} as {cause}"
        case Approve(entities=entities):
            return f"approve {entities}"
        case Mend(entities=entities):
            return f"mend {entities}"
        case NoteRequests(new=new, withdrawn=withdrawn):
            return f"note {new} and {withdrawn}"


KINDS: st.SearchStrategy[EdgeKind] = st.sampled_from(["foreign key", "depends_on"])
CLASSES = st.builds(
    lambda letters, flag: f"{letters}{flag}",
    st.sets(st.sampled_from(plan_facts.LETTERS), min_size=1).map(lambda found: "".join(sorted(found))),
    st.sampled_from(["", " unwanted", " barred"]),
)


@st.composite
def facts_of_a_link(draw: st.DrawFn) -> dict[str, Any]:
    """Any counts of any states, and any state of the tables."""
    counts = draw(st.dictionaries(CLASSES, st.integers(0, 50), max_size=8))
    unprotected = sum(n for words, n in counts.items() if set(words.split()[0]) == {"S", "L"})
    unshared = counts.get("S", 0)
    return {
        "new": draw(st.booleans()),
        "make_outbound": draw(st.sampled_from([[], ["out.t"]])),
        "make_local": draw(st.sampled_from([[], ["l.t"], ["l.t", "l.t__p"]])),
        "add_foreign_keys": draw(st.sampled_from([[], ["l.t"]])),
        "make_views": draw(st.sampled_from([[], ["t_held"]])),
        "alter_local": draw(st.sampled_from([{}, {"t": ["contrast float"]}])),
        "change_local": draw(st.sampled_from([{}, {"t": ["v int to bigint"]}])),
        "unrecorded": draw(st.booleans()),
        "refill": draw(st.sampled_from([None, "a part"])),
        "remade": draw(st.booleans()),
        "counts": counts,
        "equal": draw(st.integers(0, unprotected)),
        "taken": {"`u`": taken} if (taken := draw(st.integers(0, unshared))) else {},
        "waiting": {"a.s.P": pending} if (pending := draw(st.integers(0, unshared - taken))) else {},
    }


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Link], LinkGraph, Observation]:
    """Some links, which need some of those before them; some refused, the others observed."""
    addresses = [
        f"{source}.s.T{n}" for n, source in enumerate(draw(st.lists(st.sampled_from("abc"), max_size=7)))
    ]
    edges = [
        Edge(child, parent, draw(KINDS))
        for number, child in enumerate(addresses)
        for parent in addresses[:number]
        if draw(st.booleans())
    ]
    order = draw(st.permutations(addresses))
    links = [plan_facts.link(a, unwanted=draw(st.sampled_from(["keep", "release"]))) for a in order]
    refused = draw(st.sets(st.sampled_from(addresses), max_size=2)) if addresses else set()
    facts = {a: draw(facts_of_a_link()) for a in order if a not in refused}
    refusals = [Refusal(a, "no") for a in sorted(refused)] + draw(
        st.sampled_from([[], [Refusal("a.x", "no")]])
    )
    return links, LinkGraph.build(addresses, edges), plan_facts.observation(facts, refusals)


@given(situations(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_plan_does_not_depend_on_the_order_of_anything(
    situation: tuple[list[Link], LinkGraph, Observation], random: Any
) -> None:
    links, graph, seen = situation
    shuffled = list(links)
    random.shuffle(shuffled)
    facts = list(seen.snapshots)
    random.shuffle(facts)
    other = Observation(
        seen.head,
        {a: seen.link_tables[a] for a in facts},
        {a: seen.snapshots[a] for a in facts},
        seen.refusals,
    )
    assert make(shuffled, graph, other) == make(links, graph, seen)


@given(situations())
@settings(deadline=None)
def test_below_a_stopped_link_no_row_comes_and_elsewhere_nothing_is_stopped(
    situation: tuple[list[Link], LinkGraph, Observation],
) -> None:
    links, graph, seen = situation
    stopped = graph.downstream({refusal.address for refusal in seen.refusals})
    for link in make(links, graph, seen).links:
        assert link.is_stopped is (link.address in stopped)
        assert not link.is_stopped or all(isinstance(a, KEY_ALONE) for a in link.actions)
        assert link.observed or not link.actions


@given(situations())
@settings(deadline=None)
def test_every_link_has_one_plan_after_those_of_the_links_it_needs(
    situation: tuple[list[Link], LinkGraph, Observation],
) -> None:
    links, graph, seen = situation
    plan = make(links, graph, seen)
    waves = {link.address: link.wave for link in plan.links}
    assert len(plan.links) == len(waves) == len(links)
    assert [link for wave in plan.waves for link in wave] == list(plan.links)
    for link in plan.links:
        assert link.after == graph.parents(link.address)
        assert all(waves[parent] < link.wave for parent in link.after)


@given(situations())
@settings(deadline=None)
def test_every_entity_is_accounted_for_once(situation: tuple[list[Link], LinkGraph, Observation]) -> None:
    links, graph, seen = situation
    by_address = {link.address: link for link in links}
    for link in make(links, graph, seen).links:
        if link.is_stopped:
            continue
        idle = 0
        for entities, count in seen.snapshots[link.address].counts.items():
            release = by_address[link.address].unwanted == "release"
            remade = seen.link_tables[link.address].remade
            terms = EntityTerms(entities.wanted, entities.pullable, release, remade=remade)
            idle += count if step_for(entities.presence, terms) is Step.NOTHING else 0
        acts = Pull | PullAgain | Register | Release | Approve | Mend
        acted = sum(a.entities for a in link.actions if isinstance(a, acts))
        told = sum(b.count for b in link.blocked) + sum(d.count for d in link.drift) + link.kept
        assert acted + told + idle == sum(seen.snapshots[link.address].counts.values())


@given(situations())
@settings(deadline=None)
def test_no_action_and_no_block_concerns_nothing(
    situation: tuple[list[Link], LinkGraph, Observation],
) -> None:
    for link in make(*situation).links:
        for action in link.actions:
            assert (
                not isinstance(action, Pull | PullAgain | Refill | Register | Release) or action.entities > 0
            )
        assert all(block.whole or block.count > 0 for block in link.blocked)


@given(situations())
@settings(deadline=None)
def test_every_refusal_is_told(situation: tuple[list[Link], LinkGraph, Observation]) -> None:
    links, graph, seen = situation
    plan = make(links, graph, seen)
    blocked = [
        link.address for link in plan.links for each in link.blocked if each.kind == "error" and each.whole
    ]
    told = blocked + [refusal.address for refusal in plan.refusals]
    assert sorted(told) == sorted(refusal.address for refusal in seen.refusals)
    assert not seen.refusals or plan.has_errors


def test_a_link_that_was_neither_observed_nor_refused_is_a_defect() -> None:
    link = plan_facts.link("a.b.C")
    with pytest.raises(ValueError, match=r"a\.b\.C has no observation and no refusal"):
        make([link], LinkGraph.build(["a.b.C"], []), plan_facts.observation({}))


def test_a_blocked_link_points_at_its_next_step() -> None:
    seen = plan_facts.observation({}, [Refusal("a.b.C", "no right", "GRANT it")])
    plan = make([plan_facts.link("a.b.C", line=7)], LinkGraph.build(["a.b.C"], []), seen)
    assert plan.links[0].blocked == (Blocked("error", "no right", hint="GRANT it", whole=True),)
    assert str(plan.links[0].location) == "atlas.yaml:7"


def test_a_parent_that_the_link_user_cannot_see_is_told_with_its_grant() -> None:
    grant = "GRANT SELECT, REFERENCES ON `b`.`p` TO 'link'@'%';"
    link = plan_facts.link("a.b.C", plain=["b.p", "b.q"], unseen=[("b.p", grant)])
    [plan] = make([link], LinkGraph.build(["a.b.C"], []), plan_facts.observation({"a.b.C": {}})).links
    hidden, plain = plan.warnings
    assert hidden.startswith("its parent b.p is not linked and not visible to the link user:")
    assert hidden.endswith(f"ask the source's administrator to run: {grant}")
    assert plain == "its parent b.q is not linked: the foreign key becomes plain columns"
