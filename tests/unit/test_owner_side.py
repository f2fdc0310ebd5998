"""The owner's side without a server: restrictions, what hangs on what, views, texts."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from djlink_manifest.cli.terminal.confirm import confirmed
from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.models.restriction import restriction
from djlink_manifest.model.links.dependents import below, children_first, cut, ties
from djlink_manifest.model.links.holding import LinkHolding, OwnedLink, TableHolding
from djlink_manifest.model.links.selection import AllOf, Equals, SqlCondition
from djlink_manifest.model.server.catalog import Catalog, ServerIdentity, Version
from djlink_manifest.model.server.rights import OWNER_SCHEMA_RIGHTS, Needed, parse_grants
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition
from djlink_manifest.model.tables.owner_views import owner_views
from djlink_manifest.reconcile.diff.owner_views import missing_owner_rights
from djlink_manifest.report.commands.owner import age, board_lines, progress, touched_lines
from djlink_manifest.report.screen.layout import laid_out
from djlink_manifest.servers.ddl.owner_views import create_view
from tests.support.command import called


def table(name: str, *parents: str, parts: tuple[TableDefinition, ...] = ()) -> TableDefinition:
    """A table with the key `id` and one more column for each parent."""
    columns = tuple(Column(c, "int") for c in ("id", *parents))
    keys = tuple(ForeignKey(f"fk_{p}", (p,), "s", p, ("id",)) for p in parents)
    return TableDefinition("s", name, columns, ("id",), foreign_keys=keys, parts=parts)


def part(name: str, *parents: str) -> TableDefinition:
    """A part of `name`'s master, whose key it holds in `id`."""
    master = name.split("__")[0]
    made = table(name, *parents)
    to_master = ForeignKey("fk_master", ("id",), "s", master, ("id",))
    return TableDefinition("s", name, made.columns, ("id",), foreign_keys=(to_master, *made.foreign_keys))


def masters(*tables: TableDefinition) -> dict[tuple[str, str], TableDefinition]:
    return {("s", each.name): each for each in tables}


@pytest.mark.parametrize(
    ("variable", "option", "words"),
    [
        ("1", (), ":1 cannot be reached"),
        ("1", ("--port", "2"), ":2 cannot be reached"),
        ("", ("--port", "2"), ":2 cannot be reached"),
        ("one", (), "'--port': 'one' is not a valid"),
    ],
)
@pytest.mark.parametrize(
    "command", [("held",), ("delete", "s.Table"), ("detach", "atlas")], ids=lambda c: c[0]
)
def test_the_port_is_the_option_else_datajoints(
    command: tuple[str, ...], variable: str, option: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    given = ("source", *command, "--host", "127.0.0.1", *option)
    given += ("--yes",) if command[0] == "delete" else ()
    environ = {"DJ_USER": "u", "DJ_PASS": "never-printed", "DJ_PORT": variable}
    ended = called(*given, environ=environ, folder=tmp_path)
    assert ended.returncode == 1
    assert words in ended.stderr


@pytest.mark.parametrize(
    ("pairs", "texts", "expected"),
    [
        ((), (), None),
        (("a=1",), (), Equals("a", ("1",))),
        (("a=1", "a=2"), (), Equals("a", ("1", "2"))),
        (("a=x=y",), (), Equals("a", ("x=y",))),
        (("a=NULL", "b="), (), AllOf((Equals("a", (None,)), Equals("b", ("",))))),
        (("a=1",), (" b > 2 ",), AllOf((Equals("a", ("1",)), SqlCondition("b > 2")))),
    ],
)
def test_a_restriction_is_what_was_typed(
    pairs: tuple[str, ...], texts: tuple[str, ...], expected: object
) -> None:
    assert restriction(pairs, texts) == expected


@pytest.mark.parametrize(
    ("pairs", "texts"),
    [
        (("a",), ()),
        (("=1",), ()),
        ((), ("",)),
        ((), ("a = 1; b",)),
        ((), ("a = (SELECT 1)",)),
        ((), ("a -- b",)),
    ],
)
def test_what_is_no_restriction_is_refused(pairs: tuple[str, ...], texts: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        restriction(pairs, texts)


def test_what_hangs_on_a_table_comes_before_it_over_parts_and_by_several_ways() -> None:
    found = masters(
        table("subject"),
        table("session", "subject", parts=(part("session__trial"),)),
        table("scan", "session__trial"),
        table("report", "subject", parts=(part("report__page", "scan"),)),
        table("rig"),
    )
    keys = ties(found)
    assert {(t.parent[1], t.table.name) for t in keys} == {
        ("subject", "session"),
        ("session", "scan"),
        ("subject", "report"),
        ("scan", "report__page"),
    }
    near = below(("s", "session"), keys)
    assert {name for _, name in near} == {"session", "scan", "report"}
    assert [name for _, name in children_first(found, keys)] == [
        "report",
        "rig",
        "scan",
        "session",
        "subject",
    ]


def test_a_circle_of_tables_has_an_order_too() -> None:
    found = masters(table("a", "b"), table("b", "a"), table("c", "a"))
    assert [name for _, name in children_first(found, ties(found))] == ["c", "a", "b"]


def test_of_a_circle_of_tables_the_keys_that_may_be_null_are_cut() -> None:
    one, other = table("a", "b"), table("b", "a")
    found = masters(
        replace(one, columns=(one.columns[0], Column("b", "int", nullable=True))), other, table("c", "a")
    )
    opened = cut(ties(found))
    assert [(t.child[1], t.parent[1], t.optional) for t in opened] == [("a", "b", ("b",))]
    assert [name for _, name in children_first(found, [t for t in ties(found) if t not in opened])] == [
        "b",
        "c",
        "a",
    ]


def test_a_table_that_refers_to_itself_is_tied_to_itself_and_a_part_to_its_master_is_not() -> None:
    found = masters(table("note", "note", parts=(part("note__line"),)))
    assert [(t.parent[1], t.child[1]) for t in ties(found)] == [("note", "note")]


def test_views_name_what_they_show_and_bind_nothing() -> None:
    source = table("ta`ble")
    for view in owner_views(source, "out", "it's\\x").values():
        text = create_view(view, source)
        assert "\0" not in text
        assert f"VIEW `out_owner`.`it's\\x_{view.kind}` AS" in text
    assert r"m.table_name = 'it''s\\x'" in create_view(owner_views(source, "out", "it's\\x")["held"], source)


def source_catalog(schemas: set[str], rights: tuple[str, ...]) -> Catalog:
    identity = ServerIdentity(Version("mysql", "9.7.4", (9, 7, 4)), "link@%", "h", 3306, "/d", 1)
    grants = parse_grants([Needed(rights, "out_owner").granted_to("link@%")])
    return Catalog("lab_a", identity, frozenset(schemas), {}, {}, {}, grants, {})


@pytest.mark.parametrize(
    ("schemas", "rights", "told"),
    [
        (set(), ("SELECT",), "there is no schema `out_owner`"),
        ({"out_owner"}, ("SELECT", "DROP"), "the link user lacks CREATE VIEW on `out_owner`"),
    ],
)
def test_what_owners_miss_is_told_with_the_statements_that_mend_it(
    schemas: set[str], rights: tuple[str, ...], told: str
) -> None:
    lack = missing_owner_rights(source_catalog(schemas, rights), "out")
    assert lack is not None
    words, hint = lack
    assert told in words
    assert ("CREATE SCHEMA IF NOT EXISTS `out_owner`;" in hint) == (not schemas)
    assert r"GRANT SELECT, CREATE VIEW, DROP ON `out\_owner`.* TO 'link'@'%';" in hint


def test_owners_miss_nothing_where_schema_and_rights_are_there() -> None:
    assert missing_owner_rights(source_catalog({"out_owner"}, OWNER_SCHEMA_RIGHTS), "out") is None


@pytest.mark.parametrize(
    ("typed", "meant"), [("yes\n", True), (" yes \n", True), ("y\n", False), ("YES\n", False), ("", False)]
)
def test_only_the_word_yes_is_a_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, meant: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert confirmed("Delete these rows from the source?") is meant
    assert "Delete these rows from the source? Type yes to confirm: " in capsys.readouterr().err


def link(manifest: str) -> OwnedLink:
    return OwnedLink(("s", "t"), manifest, f"{manifest}@x.example", "o_owner", "o", "s_t")


SINCE = datetime(2026, 11, 2)
ASKED = TableHolding(
    ("s", "t"),
    "s.T",
    None,
    (
        LinkHolding(link("atlas"), 9, SINCE, 3, 3, 12 * 86_400 + 5),
        LinkHolding(link("map"), approved=3),
        LinkHolding(link("memory"), approved=3),
        LinkHolding(link("other"), requested=3),
    ),
)


def test_a_board_says_who_holds_what_who_agreed_and_who_is_waited_for() -> None:
    assert [line.plain for line in laid_out(board_lines([ASKED]))] == [
        "s.T",
        "    atlas (atlas@x.example)    9 rows held since 2026-11-02 · 3 requested",
        "    map (map@x.example)        holds no row · 3 approved",
        "    memory (memory@x.example)  holds no row · 3 approved",
        "    other (other@x.example)    holds no row",
        "  2 of 3 labs approved; waiting for atlas (atlas@x.example), 12 days",
        "  3 rows requested that a lab does not hold: the lab will not pull them",
    ]


def test_progress_ends_and_says_so_and_is_silent_where_nothing_was_asked_for() -> None:
    done = TableHolding(("s", "t"), "s.T", 3, (LinkHolding(link("map"), approved=3),))
    assert list(progress(done)) == ["1 of 1 lab approved: the source can delete the approved rows"]
    assert list(progress(TableHolding(("s", "t"), "s.T", 3, (LinkHolding(link("map"), held=3),)))) == []


def test_who_is_touched_is_told_with_how_much_of_it() -> None:
    tables = (
        TableHolding(("s", "t"), "s.Trial", 1, ()),
        TableHolding(("s", "t"), "s.T", 12, (LinkHolding(link("map"), held=2), LinkHolding(link("atlas")))),
        TableHolding(("s", "t"), "s.U", 1, (LinkHolding(link("map")),)),
    )
    assert [line.plain for line in laid_out(touched_lines(tables))] == [
        "    s.Trial  1 row, not linked",
        "    s.T      12 rows, held by map (map@x.example) 2",
        "    s.U      1 row, held by no lab",
    ]


def test_a_name_that_would_act_on_a_terminal_is_shown_as_an_escape() -> None:
    evil = TableHolding(("s", "t"), "s.T", None, (LinkHolding(link("\x1b[2J"), held=1, since=SINCE),))
    assert not any("\x1b" in line.plain for line in laid_out(board_lines([evil])))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than an hour"),
        (3600, "1 hour"),
        (86_399, "23 hours"),
        (86_400, "1 day"),
        (12 * 86_400, "12 days"),
    ],
)
def test_ages_are_in_words(seconds: int, words: str) -> None:
    assert age(seconds) == words
