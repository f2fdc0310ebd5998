"""What hangs on a link's local rows, found along foreign keys."""

from __future__ import annotations

from dataclasses import replace

from djlink_manifest.model.links.holding import OwnedLink
from djlink_manifest.model.links.link import Limit, Link
from djlink_manifest.model.links.referrers import Dependents, Referrer, lab_line
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition
from djlink_manifest.model.tables.naming import constraint_name
from djlink_manifest.reconcile.plan.deletion_actions import kept_by_own_rows
from djlink_manifest.reconcile.state.deletion_requests import Closure, LabRows
from tests.unit import plan_facts

SUBJECT, SESSION, SPIKES = "a.lab.Subject", "a.lab.Session", "a.lab.Spikes"


def made(name: str, *key: str, parts: tuple[TableDefinition, ...] = ()) -> TableDefinition:
    columns = tuple(Column(each, "int") for each in key)
    return TableDefinition("here", name, columns, key, parts=parts)


def refers(table: TableDefinition, parent: str, *pairs: tuple[str, str]) -> TableDefinition:
    own, source = zip(*pairs, strict=True)
    return replace(table, foreign_keys=(ForeignKey(f"to_{parent}", own, "here", parent, source),))


def link(address: str, local: TableDefinition) -> Link:
    asked = refers(
        made(f"{local.name}__asked", *local.key), local.name, *((each, each) for each in local.key)
    )
    whole = replace(local, parts=(*local.parts, asked))
    return replace(plan_facts.link(address), local=whole, definition=local)


TRIAL = refers(made("session__trial", "s", "n", "k"), "session", ("s", "s"), ("n", "n"))
LINKS = (
    link(SUBJECT, made("subject", "s")),
    link(SESSION, refers(made("session", "s", "n", parts=(TRIAL,)), "subject", ("s", "s"))),
    link(SPIKES, refers(made("spikes", "id"), "session__trial", ("a", "s"), ("b", "n"), ("c", "k"))),
)
KEYS = [
    *((("here", t.name), key) for each in LINKS for t in each.local.tables for key in t.foreign_keys),
    (("own", "fit"), ForeignKey("f", ("trial", "day", "subj"), "here", "session__trial", ("k", "n", "s"))),
    (("own", "odd"), ForeignKey("o", ("x",), "here", "subject", ("nick",))),
    (("here", "subject"), ForeignKey("back", ("s",), "here", "spikes", ("id",))),
    (("own", "other"), ForeignKey("u", ("x",), "elsewhere", "thing", ("id",))),
]
DEPENDENTS = Dependents.of(LINKS, KEYS)


def test_a_links_own_parts_are_no_dependents_and_tables_of_the_lab_have_no_address() -> None:
    assert {a: [(r.name, r.address) for r in found] for a, found in DEPENDENTS.referrers.items()} == {
        SUBJECT: [("here.session", SESSION), ("own.odd", None)],
        SESSION: [("here.spikes", SPIKES), ("own.fit", None)],
        # a foreign key against the order of the links is as good as the lab's own
        SPIKES: [("here.subject", None)],
    }


def test_below_a_link_is_all_that_hangs_on_it_parents_first() -> None:
    assert DEPENDENTS.below(SUBJECT) == (SUBJECT, SESSION, SPIKES)
    assert DEPENDENTS.below(SESSION) == (SESSION, SPIKES)
    assert DEPENDENTS.below(SPIKES) == (SPIKES,)


def test_the_line_for_the_lab_names_what_was_asked_for_and_the_way_to_its_rows() -> None:
    fit = DEPENDENTS.referrers[SESSION][1]
    assert lab_line(DEPENDENTS, SESSION, SESSION, fit) == (
        "(dj.Schema('own')['fit'] & dj.Schema('own')['fit'].restrict("
        "dj.Schema('here')['session__trial'].restrict(dj.Schema('here')['session__asked'].proj(), "
        "semantic_check=False).proj(trial='k', day='n', subj='s'), semantic_check=False).keys()).delete()"
    )
    far = lab_line(DEPENDENTS, SUBJECT, SESSION, fit)
    assert far is not None
    assert "dj.Schema('here')['subject__asked'].proj()" in far
    assert "dj.U('s', 'n')" in far


def test_there_is_no_line_where_none_would_be_sure() -> None:
    odd = DEPENDENTS.referrers[SUBJECT][1]
    assert lab_line(DEPENDENTS, SUBJECT, SUBJECT, odd) is None
    named = Referrer(("own", "fit"), ("my subject",), ("here", "subject"), ("s",))
    assert lab_line(DEPENDENTS, SUBJECT, SUBJECT, named) is None


def test_a_limit_is_a_number_or_a_share_and_at_least_one() -> None:
    assert Limit(5.0, percent=True).entities(100) == 5
    assert Limit(5.0, percent=True).entities(3) == 1
    assert Limit(20.0, percent=False).entities(3) == 20


def test_a_line_over_many_layers_of_diamonds_is_given_up_before_it_is_written() -> None:
    links, above = [link("a.lab.t0", made("t0", "k"))], ["t0"]
    for layer in range(1, 30):
        names = [f"t{layer}_{place}" for place in range(2)]
        for name in names:
            table = made(name, "k")
            lab_rows = tuple(ForeignKey(f"to_{p}", ("k",), "here", p, ("k",)) for p in above)
            links.append(link(f"a.lab.{name}", replace(table, foreign_keys=lab_rows)))
        above = names
    keys = [(("here", t.name), key) for each in links for t in each.local.tables for key in t.foreign_keys]
    own = (("own", "fit"), ForeignKey("f", ("k",), "here", above[0], ("k",)))
    dependents = Dependents.of(links, [*keys, own])
    last = f"a.lab.{above[0]}"
    [fit] = [r for r in dependents.referrers[last] if r.address is None]
    assert lab_line(dependents, "a.lab.t0", last, fit) is None
    assert lab_line(dependents, last, last, fit) is not None


def of_another(base: str) -> tuple[tuple[str, str], ForeignKey]:
    """The foreign key to `session` of a table that another djlink made."""
    place = ("theirs", base)
    return place, ForeignKey(constraint_name(*place), ("s", "n"), "here", "session", ("s", "n"))


def test_another_labs_outbound_table_holds_rows_and_its_requests_and_approvals_go_along() -> None:
    keys = [of_another(f"base{suffix}") for suffix in ("", "_deletion_requested", "_deletion_approved")]
    alike = (
        ("theirs", "fit"),
        ForeignKey("djlink_0123456789abcdef", ("s", "n"), "here", "session", ("s", "n")),
    )
    found = Dependents.of(LINKS, [*KEYS, *keys, alike]).referrers[SESSION]
    others = {r.table[1]: r.holder for r in found if r.table[0] == "theirs"}
    assert others == {"base": "theirs.base", "fit": None}, "a name like djlink's makes no table djlink's"


def test_a_lab_that_the_owner_views_name_is_said_by_its_name_once() -> None:
    known = OwnedLink(("here", "session"), "map", "map@theirs.example", "theirs_owner", "theirs", "base")
    found = Dependents.of(LINKS, [*KEYS, of_another("base")], [known]).referrers[SESSION]
    assert [(r.table, r.name) for r in found if r.holder] == [
        (("theirs_owner", "base_held"), "map (map@theirs.example) of here.session")
    ]


def test_what_holds_rows_back_is_said_with_its_own_way_out() -> None:
    lab = (LabRows("map of here.session", 2, None, outbound=True), LabRows("analysis.fit", 3, "a line"))
    blocked = kept_by_own_rows(LINKS[1], Closure(held=4, lab=lab), "deletion requested")
    assert (blocked.kind, blocked.count) == ("review", 4)
    assert blocked.reason == (
        "deletion requested; another lab links the local table and holds them: map of here.session (2 rows);"
        " rows of your own depend on them: analysis.fit (3 rows)"
    )
    assert "djlink source request here.session --relay" in str(blocked.hint)
    assert str(blocked.hint).endswith("delete those rows yourself, then apply again: a line")
