"""What is declared and gives no link blocks what lies below it; circles concern the links in them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.graph import LinkGraph, circles
from djlink_manifest.model.server.catalog import Catalog, Mark
from djlink_manifest.model.server.rights import Grant
from djlink_manifest.model.tables.definition import ForeignKey, TableDefinition
from djlink_manifest.reconcile.resolve.links import Resolved
from djlink_manifest.reconcile.resolve.selection import check_address, concerns, select
from djlink_manifest.reconcile.state.snapshot import Refusal, ServerFacts
from tests.unit.catalogs import catalog, resolved, table

TABLES = (
    table("lab.mouse"),
    table("lab.rig"),
    table("img.session", "lab.mouse"),
    table("img._scan", "img.session"),
    table("img.field", "img._scan"),
    table("img.note", "lab.rig?"),
    table("img.alone"),
)
MOUSE, REST = TABLES[0], TABLES[1:]
ONE_BY_ONE = tuple(
    Grant(frozenset({"SELECT", "REFERENCES"}), t.schema, t.name) for t in REST if t.name != "rig"
)


def waiting(found: Resolved) -> dict[str, tuple[str, ...]]:
    """The links that wait for something that gives no link, with what they wait for."""
    links = {link.address for link in found.links}
    return {r.address: r.causes for r in found.refusals if r.address in links and r.causes}


@pytest.mark.parametrize(
    ("schemas", "source", "expected"),
    [
        pytest.param(
            {"img": {"tables": ["Sessoin", "Scan", "Field", "Note", "Alone"]}},
            catalog(TABLES),
            {"k.img.Scan": ("k.img.Sessoin",)},
            id="a mistyped parent",
        ),
        pytest.param(
            {"img": {"tables": ["Session", "Scan", "Note"]}},
            catalog(TABLES),
            {},
            id="parents that are not declared stay plain columns",
        ),
        pytest.param(
            {"img": {"tables": ["Sessoin", "Scan"], "exclude": ["Session"]}},
            catalog(TABLES),
            {},
            id="a parent that is left out by name is not the mistyped one",
        ),
        pytest.param(
            {"img": {"tables": ["Session", "Note"]}, "lab": {"tables": ["Mouse"]}},
            catalog(REST[1:]),
            {"k.img.Session": ("k.lab",)},
            id="a schema that is not seen",
        ),
        pytest.param(
            {"img": {"tables": ["Session", "Note"]}, "lba": {"tables": ["Mouse"]}},
            catalog(TABLES),
            {"k.img.Session": ("k.lba",), "k.img.Note": ("k.lba",)},
            id="a mistyped schema",
        ),
        pytest.param(
            {"img": {"tables": ["Session", "Note"]}, "lab": {"tables": "*", "exclude": ["Mou*"]}},
            catalog(REST[1:]),
            {"k.img.Note": ("k.lab",)},
            id="a parent that is left out of a schema that is not seen",
        ),
        pytest.param(
            {"img": {"tables": ["Session", "Note"]}, "lab": {"tables": ["Mouse", "Rig"]}},
            catalog(REST, grants=ONE_BY_ONE),
            {"k.img.Session": ("k.lab.Mouse",)},
            id="a name without a right on it is known by the foreign key, so that it means no other",
        ),
        pytest.param(
            {"img": {"tables": ["Session", "Note"]}, "lab": {"tables": "*"}},
            catalog(REST, grants=ONE_BY_ONE),
            {"k.img.Session": ("k.lab.Mouse",)},
            id="a glob that takes what is not seen",
        ),
        pytest.param(
            {"img": {"tables": ["Session"]}, "lab": {"tables": {"*": {}, "Mosue": {"where": {"id": 1}}}}},
            catalog(TABLES),
            {"k.lab.Mouse": ("k.lab.Mosue",), "k.lab.Rig": ("k.lab.Mosue",)},
            id="a mistyped name whose options a glob would drop",
        ),
        pytest.param(
            {"img": {"tables": ["Session"]}, "lab": {"tables": ["*", "Mosue"]}},
            catalog(TABLES),
            {},
            id="a mistyped name with the options of the glob that takes its table",
        ),
        pytest.param(
            {"img": {"tables": ["Session"]}, "lab": {"tables": ["Mouse"]}},
            catalog([TableDefinition("lab", "mouse", (), ("id",)), *REST]),
            {"k.img.Session": ("k.lab.Mouse",)},
            id="columns that are not seen",
        ),
        pytest.param(
            {"img": {"tables": ["Session"]}, "lab": {"tables": ["Mouse"]}},
            catalog([table("lab.mouse", key=""), *REST]),
            {"k.img.Session": ("k.lab.Mouse",)},
            id="a parent without a primary key, of which no key is the one",
        ),
        pytest.param(
            {"img": {"tables": {"Note": {"depends_on": ["k.lab.Mouse"]}}}, "lab": {"tables": ["Mouse"]}},
            catalog(REST, grants=ONE_BY_ONE),
            {"k.img.Note": ("k.lab.Mouse",)},
            id="depends_on",
        ),
        pytest.param(
            {"img": {"tables": {"Note": {"depends_on": ["k.lab.Mouse"]}}}, "lab": {"tables": "*"}},
            catalog(REST[1:]),
            {"k.img.Note": ("k.lab",)},
            id="depends_on a table of a schema that is not seen",
        ),
    ],
)
def test_a_link_waits_for_what_is_declared_and_gives_no_link(
    tmp_path: Path, schemas: dict[str, Any], source: Catalog, expected: dict[str, tuple[str, ...]]
) -> None:
    found = resolved(tmp_path, schemas, source)
    assert waiting(found) == expected
    refusal = {r.address: r for r in found.refusals}
    for address, causes in expected.items():
        for cause in causes:
            assert cause in refusal[address].reason
            assert refusal[cause].reason in refusal[address].reason
        link = next(link for link in found.links if link.address == address)
        assert not any(name.startswith("lab.mouse") for name in link.plain)


def test_parts_wait_and_are_waited_for_like_their_masters(tmp_path: Path) -> None:
    tables = [
        table("lab.mouse"),
        table("lab.mouse__ear", "lab.mouse="),
        table("lab.cage"),
        table("lab.cage__door", "lab.cage=", "lab.mouse__ear?"),
    ]
    found = resolved(tmp_path, {"lab": {"tables": ["Muose", "Cage"]}}, catalog(tables))
    assert waiting(found) == {"k.lab.Cage": ("k.lab.Muose",)}
    unseen = [t for t in tables if t.name != "mouse__ear"]
    found = resolved(tmp_path, {"lab": {"tables": ["Mouse", "Cage"]}}, catalog(unseen))
    assert waiting(found) == {"k.lab.Cage": ("k.lab.Mouse",)}
    assert "mouse__ear no longer exists, or the link user has no privilege" in next(
        r.reason for r in found.refusals if r.address == "k.lab.Mouse"
    )


def test_a_table_to_which_two_globs_are_equally_close_is_refused_alone_and_all_below_it_waits(
    tmp_path: Path,
) -> None:
    lab = {"tables": {"m*": {}, "*e": {"pull": "needed"}, "rig": {}}}
    found = resolved(tmp_path, {"img": {"tables": "*"}, "lab": lab}, catalog(TABLES))
    [refusal] = [r for r in found.refusals if r.address == "k.lab.Mouse"]
    assert refusal.reason == "`*e` and `m*` match `lab.mouse` and are equally specific"
    assert "name the table" in str(refusal.hint)
    assert waiting(found) == {"k.img.Session": ("k.lab.Mouse",)}
    assert {link.address for link in found.links} >= {"k.lab.Rig", "k.img.Alone"}
    assert found.declared["k"] == {"lab.mouse"}


@pytest.mark.parametrize(
    ("rules", "hint"),
    [("*", "exclude it (`exclude`)"), (["Mouse"], "remove it from the manifest")],
    ids=["glob", "name"],
)
def test_the_way_out_of_a_table_that_cannot_be_linked_fits_how_it_is_declared(
    tmp_path: Path, rules: object, hint: str
) -> None:
    found = resolved(tmp_path, {"lab": {"tables": rules}}, catalog([table("lab.mouse", key="")]))
    assert [r.hint for r in found.refusals] == [hint]


@pytest.mark.parametrize(
    ("rules", "seen", "address"),
    [
        (["_mouse"], REST, "k.lab.Mouse"),
        (["_mouse", "m*"], TABLES, "k.lab._mouse"),
        ("*", REST, "k.lab.Mouse"),
        ("*", TABLES, "k.lab._mouse"),
    ],
)
def test_a_refusal_has_the_address_that_the_link_would_have_and_never_that_of_another(
    tmp_path: Path, rules: object, seen: Sequence[TableDefinition], address: str
) -> None:
    source = catalog([*seen, table("img.tail", "lab._mouse")], ["lab"], grants=ONE_BY_ONE)
    found = resolved(tmp_path, {"img": {"tables": ["Tail"]}, "lab": {"tables": rules}}, source)
    told = {r.address: r.reason for r in found.refusals}
    assert told.keys() == {address, "k.img.Tail"}
    assert "lab._mouse no longer exists" in told[address]
    with pytest.raises(UsageError, match="_mouse no longer exists"):
        check_address(found, [], address)
    assert select(found, [], [address]).refusals


def _mark(table: str) -> Mark:
    place = ("img", table, "out", f"img_{table}")
    return Mark("1", f"img_{table}", "atlas", "", *place, "here", "our_img", table, "print", "digest")


@pytest.mark.parametrize(
    ("name", "today", "words"),
    [("session", "session", "no longer exists"), ("session", "sitting", "renamed to `sitting`")],
)
def test_a_name_that_was_linked_means_the_table_that_its_outbound_table_refers_to(
    tmp_path: Path, name: str, today: str, words: str
) -> None:
    outbound = TableDefinition(
        "out", "img_session", (), ("id",), foreign_keys=(ForeignKey("f", ("id",), "img", today, ("id",)),)
    )
    tables = [outbound, table("img.scan", f"img.{today}"), table("img.note", "img.other"), table("img.other")]
    tables += [table("img.sitting")] if today == "sitting" else []
    source = catalog(tables, marks={"out": (_mark(name),)})
    found = resolved(tmp_path, {"img": {"tables": ["Session", "Scan", "Note"]}}, source)
    assert waiting(found) == {"k.img.Scan": ("k.img.Session",)}
    assert words in found.refusals[0].reason + found.refusals[-1].reason
    assert found.declared["k"] == {f"img.{today}"}


def test_a_table_that_was_linked_and_is_seen_no_longer_is_told_where_a_glob_declares_it(
    tmp_path: Path,
) -> None:
    source = catalog([table("img.scan")], marks={"out": (_mark("session"),)})
    found = resolved(tmp_path, {"img": {"tables": "*"}}, source)
    assert [r.address for r in found.refusals] == ["k.img.Session"]
    removed = {"k.img.Session": {"table": "keep"}}
    found = resolved(
        tmp_path, {"img": {"tables": {"*": {}}, "exclude": ["Session"]}}, source, removed=removed
    )
    assert found.refusals == ()


# circles


@pytest.mark.parametrize("turned", [False, True])
def test_a_key_that_may_be_null_cuts_a_circle_and_the_choice_stays(tmp_path: Path, turned: bool) -> None:
    tables = [table("s.a", "s.b?"), table("s.b", "s.a?"), table("s.c", "s.b")]
    rules = {"tables": ["C", "B", "A"] if turned else ["A", "B", "C"]}
    found = resolved(tmp_path, {"s": rules}, catalog(tables[::-1] if turned else tables))
    assert found.refusals == ()
    assert found.graph.waves() == (("k.s.A",), ("k.s.B",), ("k.s.C",))
    a, b, _ = found.links
    [words] = a.loose
    assert "becomes plain columns" in words
    assert "k.s.A → k.s.B → k.s.A" in words
    assert (a.references, a.local.foreign_keys, a.plain) == ((), (), ())
    assert [(k.parent_schema, k.parent_table) for k in b.local.foreign_keys] == [("our_s", "a")]
    again = resolved(tmp_path, {"s": rules}, catalog(tables), catalog([x.local for x in found.links]))
    assert again.links == found.links


def test_a_key_that_stands_locally_is_not_the_one_that_is_cut(tmp_path: Path) -> None:
    tables = [table("s.a", "s.b?"), table("s.b")]
    before = resolved(tmp_path, {"s": {"tables": "*"}}, catalog(tables))
    standing = catalog([link.local for link in before.links])
    tables[1] = table("s.b", "s.a?")
    found = resolved(tmp_path, {"s": {"tables": "*"}}, catalog(tables), standing)
    assert found.graph.waves() == (("k.s.B",), ("k.s.A",))
    assert [bool(link.loose) for link in found.links] == [False, True]


def test_a_key_that_a_local_table_lacks_is_cut_before_those_of_tables_that_are_not_there(
    tmp_path: Path,
) -> None:
    tables = [table("s.a", "s.b?"), table("s.b", "s.a?")]
    local = catalog([TableDefinition("our_s", "b", table("s.b", "s.a?").columns, ("id",))])
    found = resolved(tmp_path, {"s": {"tables": "*"}}, catalog(tables), local)
    assert found.graph.waves() == (("k.s.B",), ("k.s.A",))


def test_a_circle_without_a_key_that_may_be_null_refuses_its_links_alone(tmp_path: Path) -> None:
    tables = [
        table("s.m"),
        table("s.m__a", "s.m="),
        table("s.m__b", "s.m=", "s.c"),
        table("s.c", "s.m__a"),
        table("s.below", "s.c"),
        table("s.above"),
        table("s.d", "s.above"),
    ]
    found = resolved(tmp_path, {"s": {"tables": "*"}}, catalog(tables))
    assert [r.address for r in found.refusals] == ["k.s.C", "k.s.M"]
    for refusal in found.refusals:
        assert "k.s.C needs k.s.M by c (m__a_id)" in refusal.reason
        assert "k.s.M needs k.s.C by m__b (c_id)" in refusal.reason
        assert "exclude" in str(refusal.hint)
    assert found.graph.downstream(["k.s.C"]) == {"k.s.C", "k.s.Below"}
    mended = resolved(tmp_path, {"s": {"tables": "*", "exclude": ["C"]}}, catalog(tables))
    assert mended.refusals == ()


def test_a_circle_of_foreign_keys_and_depends_on_refuses_its_links_alone(tmp_path: Path) -> None:
    tables = [table("s.a", "s.b?"), table("s.b"), table("s.c")]
    rules = {"A": {}, "B": {"depends_on": ["k.s.A"]}, "C": {}}
    found = resolved(tmp_path, {"s": {"tables": rules}}, catalog(tables))
    assert [r.address for r in found.refusals] == ["k.s.A", "k.s.B"]
    assert "k.s.B needs k.s.A (depends_on)" in found.refusals[0].reason
    assert found.links[0].loose == ()
    assert "depends_on" in str(found.refusals[0].hint)


PAIRS_OF_FOUR = [(a, b) for a, b in itertools.product("abcd", repeat=2) if a != b]


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(
    keys=st.dictionaries(st.sampled_from(PAIRS_OF_FOUR), st.booleans()),
    depends=st.sets(st.sampled_from([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])),
)
def test_any_keys_between_links_give_a_graph_and_the_same_one_once_its_tables_stand(
    tmp_path: Path, keys: dict[tuple[str, str], bool], depends: set[tuple[str, str]]
) -> None:
    tables = [
        table(f"s.{name}", *(f"s.{p}{'?' if null else ''}" for (c, p), null in keys.items() if c == name))
        for name in "abcd"
    ]
    rules = {
        name.upper(): {"depends_on": sorted(f"k.s.{p.upper()}" for c, p in depends if c == name)}
        for name in "abcd"
    }
    found = resolved(tmp_path, {"s": {"tables": rules}}, catalog(tables))
    assert sum(map(len, found.graph.waves())) == 4
    firm = {address for group in circles(p for p, null in keys.items() if not null) for address in group}
    refused = {r.address.rpartition(".")[2].lower() for r in found.refusals}
    assert firm <= refused
    if not depends:
        assert firm == refused
        whole = {address for group in circles(keys) for address in group}
        assert {x.definition.name for x in found.links if x.loose} <= whole - firm
    made = {x.address: x.local for x in found.links if x.definition.name not in refused}
    again = resolved(tmp_path, {"s": {"tables": rules}}, catalog(tables), catalog(made.values()))
    assert made.items() <= {x.address: x.local for x in again.links}.items()
    assert refused or (again.links, again.graph) == (found.links, found.graph)
    some = dict(list(made.items())[:2])
    again = resolved(tmp_path, {"s": {"tables": rules}}, catalog(tables), catalog(some.values()))
    assert some.items() <= {x.address: x.local for x in again.links}.items()
    with pytest.raises(ValueError, match="in a circle"):
        LinkGraph.build("ab", [*_both_ways()])


def _both_ways() -> Any:
    from djlink_manifest.model.links.graph import Edge

    return Edge("a", "b", "foreign key"), Edge("b", "a", "depends_on")


# selections

DOWN = ServerFacts("d", "host", problem="refused the login", hint="check `password`")


@pytest.mark.parametrize(
    ("pattern", "address", "meant"),
    [
        ("k.lab.Mouse", "k.lab.Mouse", True),
        ("k.lab.Mouse", "k.lab", True),
        ("k.lab.Mouse", "k", True),
        ("k.lab.*", "k.lab", True),
        ("k.*.Mouse", "k.lab", True),
        ("*.Mouse", "k.lab", True),
        ("*Mouse", "k", True),
        ("k.l[ab]b.Mouse", "k.lab", True),
        ("k.lab.[M]ouse", "k.lab", True),
        ("*", "k.lab.Mouse", True),
        ("k.img.*", "k.lab", False),
        ("k.img.*", "k.lab.Mouse", False),
        ("k2.lab.Mouse", "k", False),
        ("k.lab.Mouse", "k.lab.Rig", False),
    ],
)
def test_a_target_concerns_what_it_names_and_what_that_lies_in(
    pattern: str, address: str, meant: bool
) -> None:
    assert concerns(pattern, address) is meant


TYPO = {"img": {"tables": ["Sessoin", "Scan", "Field", "Alone"]}, "lab": {"tables": ["Mous", "Rig"]}}


@pytest.mark.parametrize(
    ("targets", "excludes", "links", "told"),
    [
        ([], [], {"Alone", "Field", "Scan", "Rig"}, {"Sessoin", "Scan", "Mous"}),
        (["k.img.*"], [], {"Alone", "Field", "Scan"}, {"Sessoin", "Scan"}),
        (["k.img.Field"], [], {"Field", "Scan"}, {"Sessoin", "Scan"}),
        (["k.img.Alone"], [], {"Alone"}, set()),
        (["k.img.Sessoin"], [], set(), {"Sessoin"}),
        (["k.lab.Rig"], [], {"Rig"}, set()),
        ([], ["k.img.Sessoin"], {"Alone", "Field", "Scan", "Rig"}, {"Sessoin", "Scan", "Mous"}),
        ([], ["k.img.Scan"], {"Alone", "Rig"}, {"Sessoin", "Mous"}),
        (["d.x.Y"], [], set(), set()),
    ],
)
def test_a_selection_says_what_is_done_and_tells_what_keeps_it_from_being_done(
    tmp_path: Path, targets: list[str], excludes: list[str], links: set[str], told: set[str]
) -> None:
    found = resolved(tmp_path, TYPO, catalog(TABLES))
    selection = select(found, [DOWN], targets, excludes)
    assert {a.rpartition(".")[2] for a in selection.links} == links
    assert {r.address.rpartition(".")[2] for r in selection.refusals} == told


def test_the_refusal_of_a_link_that_is_left_out_is_told_and_what_follows_from_it_is_not(
    tmp_path: Path,
) -> None:
    tables = [*TABLES, table("lab.keyless", key=""), table("img.after", "lab.keyless")]
    rules = {"img": {"tables": ["After", "Alone"]}, "lab": {"tables": ["Keyless"]}}
    found = resolved(tmp_path, rules, catalog(tables))
    selection = select(found, [], [], ["k.lab.*", "k.img.After"])
    assert selection.links == {"k.img.Alone"}
    assert [r.address for r in selection.refusals] == ["k.lab.Keyless"]
    later = [Refusal("k.img.After", "no right"), Refusal("k.img.After", "", causes=("k.lab.Keyless",))]
    assert [selection.reports(r) for r in later] == [True, False]
    assert not select(found, [], ["k.img.Alone"]).refusals


def test_what_is_not_declared_is_no_target(tmp_path: Path) -> None:
    found = resolved(tmp_path, TYPO, catalog(TABLES))
    for targets, excludes in ((["k.img.Feild"], []), ([], ["k.img.Feild"])):
        with pytest.raises(UsageError, match="this manifest has no such link") as caught:
            select(found, [DOWN], targets, excludes)
        assert "k.img.Field" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("k.img.Sessoin", "the source has no such table"),
        ("k.gone.Any", "k.gone: the schema does not exist"),
        ("d.img.Scan", "d is unavailable: refused the login"),
        ("k.img.Nothing", "this manifest has no such link"),
    ],
)
def test_an_address_that_is_no_link_is_answered_with_the_cause(
    tmp_path: Path, address: str, words: str
) -> None:
    found = resolved(tmp_path, {**TYPO, "gone": {"tables": "*"}}, catalog(TABLES))
    check_address(found, [DOWN], "k.img.Scan")
    with pytest.raises(UsageError, match=words):
        check_address(found, [DOWN], address)
