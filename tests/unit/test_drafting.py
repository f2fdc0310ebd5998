"""The manifest that is written from a catalogue: its text is valid, whatever names and comments are in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.cli.commands.init import InitOptions, _pulled_whole, from_server
from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.edit.draft import (
    Draft,
    DraftHead,
    DraftSchema,
    DraftServer,
    DraftTable,
    comment,
    drafted,
    scalar,
)
from djlink_manifest.manifest.edit.edit import values
from djlink_manifest.manifest.edit.write import formatted
from djlink_manifest.manifest.load import load, read
from djlink_manifest.manifest.models.names import identifier_fault
from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.model.server.catalog import Catalog, ServerIdentity, Size, Version
from djlink_manifest.model.server.rights import Grant
from djlink_manifest.model.tables.definition import Column, ForeignKey, TableDefinition
from djlink_manifest.model.tables.naming import class_name
from djlink_manifest.reconcile.bootstrap import introspect
from djlink_manifest.reconcile.bootstrap.draft import draft_schemas, outbound_schema

IDENTITY = ServerIdentity(Version("mysql", "8.4.0", (8, 4, 0)), "link@%", "db", 3306, "/var", 64 << 20)
READING = Grant(frozenset({"SELECT", "REFERENCES"}), "*", "*")


KEY = Column("id", "int")


def table(schema: str, name: str, *parents: tuple[str, str], comment: str = "") -> TableDefinition:
    keys = tuple(ForeignKey(f"f{n}", (f"p{n}",), *parent, ("id",)) for n, parent in enumerate(parents))
    columns = (Column("id", "int", comment=comment), *(Column(f"p{n}", "int") for n in range(len(parents))))
    return TableDefinition(schema, name, columns, ("id",), foreign_keys=keys)


def catalog(*tables: TableDefinition, grants: tuple[Grant, ...] = (READING,)) -> Catalog:
    found = {(t.schema, t.name): t for t in tables}
    sizes = {name: Size(1200, 9) for name in found}
    schemas = frozenset(t.schema for t in tables)
    return Catalog("lab_a", IDENTITY, schemas, found, sizes, {}, grants, {})


def shown(schemas: tuple[DraftSchema, ...]) -> dict[str, dict[str, str]]:
    return {s.name: {t.key: t.left_out or t.pull for t in s.tables} for s in schemas}


def test_parents_in_other_schemas_are_needed_over_any_number_of_links() -> None:
    found = catalog(
        table("ephys", "_rec", ("lab", "subject")),
        table("lab", "subject", ("meta", "#species")),
        table("lab", "other"),
        table("meta", "#species"),
    )
    schemas = draft_schemas("ephys", found, {})
    assert shown(schemas) == {
        "ephys": {"Rec": "all"},
        "lab": {"Subject": "needed"},
        "meta": {"Species": "needed"},
    }
    assert schemas[0].tables[0].about == "~1,200 rows"


def test_a_parent_that_cannot_be_linked_is_noted_at_its_child() -> None:
    view = replace(table("lab", "seen"), kind="view")
    [only] = draft_schemas("ephys", catalog(table("ephys", "rec", ("lab", "seen")), view), {})
    [rec] = only.tables
    assert rec.notes == (
        "its parent lab.seen is not linked (it is a view: a foreign key cannot hold its rows): its foreign "
        "key becomes plain columns",
    )
    hidden = catalog(table("ephys", "rec", ("secret", "t")))
    assert "it is not visible to the link user" in draft_schemas("ephys", hidden, {})[0].tables[0].notes[0]


def test_two_tables_of_one_class_are_named_as_tables() -> None:
    found = catalog(table("lab", "rec"), table("lab", "_rec"), table("lab", "__spike_sorting"))
    assert shown(draft_schemas("lab", found, {})) == {
        "lab": {"SpikeSorting": "all", "_rec": "all", "rec": "all"}
    }


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (replace(table("lab", "t"), key=()), "no primary key"),
        (replace(table("lab", "t"), engine="MyISAM"), "MyISAM"),
        (replace(table("lab", "t"), partitioned=True), "partitioned"),
        (
            replace(table("lab", "t"), columns=(KEY, Column("v", "binary(16)", comment=":blob@raw:"))),
            "before 2.0",
        ),
        (replace(table("lab", "t"), columns=()), "lacks SELECT"),
        (table("lab", "a.b"), "contains a dot"),
    ],
)
def test_what_cannot_be_linked_says_why(made: TableDefinition, words: str) -> None:
    [schema] = draft_schemas("lab", catalog(made), {})
    assert words in (schema.tables[0].left_out or "")


STORED = replace(
    table("lab", "image"),
    columns=(
        KEY,
        *(Column(f"v{n}", "json", comment=f":<blob@{s}>:") for n, s in enumerate(["raw", "", "x y\n#"])),
    ),
)


@pytest.mark.parametrize("new", [True, False])
def test_where_values_go_is_left_to_be_filled_in(tmp_path: Path, new: bool) -> None:
    schemas = draft_schemas("lab", catalog(STORED, table("lab", "plain")), {})
    text = drafted(Draft("lab_a", schemas, SERVER if new else None, HEAD if new else None))
    base = tmp_path / "base.yaml"
    base.write_text(drafted(Draft("lab_a", (DraftSchema("other", (DraftTable("T"),)),), SERVER, HEAD)))
    (tmp_path / "m.yaml").write_text(text)
    files = [tmp_path / "m.yaml"] if new else [base, tmp_path / "m.yaml"]
    manifest, problems = read(files)
    assert [p.summary for p in problems if p.severity == "error"] == []
    assert manifest is not None
    rules = {r.pattern: r.options.stores for s in manifest.sources[0].schemas for r in s.rules}
    filled = tuple((name, "YOUR_STORE") for name in ("default", "raw", "x y\n#"))
    assert rules["Image"] == filled
    assert rules["Plain"] == (filled if new else ())
    assert ("store_settings" in text) == new
    # what is shown as a comment is right once it is none
    shown = text.replace("    # store_settings", "    store_settings").replace("    #   ", "      ")
    (tmp_path / "m.yaml").write_text(shown)
    manifest, problems = read(files)
    assert [p.summary for p in problems if p.severity == "error"] == []
    assert manifest is not None
    names = [s.name for s in manifest.sources[0].store_settings]
    assert names == ([name for name, _ in filled] if new else [])


def test_the_outbound_schema_is_found_where_only_one_can_be_it() -> None:
    rights = frozenset({"ALL PRIVILEGES"})
    local, more = Grant(rights, r"our\_out", "*"), Grant(rights, "more", "*")
    base = catalog(table("lab", "t"), table("our_out", "t"), table("more", "t"), grants=(READING, local))
    assert outbound_schema(base, {"lab"}) == "our_out"
    assert outbound_schema(replace(base, grants=(READING, local, more)), {"lab"}) is None
    everywhere = Grant(rights, "*", "*")
    assert outbound_schema(replace(base, grants=(everywhere,)), {"lab"}) is None


HEAD = DraftHead("our-lab", "data@x.example", DraftServer((("host", "db.x.example"),)))
SERVER = DraftServer(
    (("host", "127.0.0.1"), ("port", 3307), ("tls", {"ca": 'c "a".pem'}), ("outbound", "out"))
)


def test_names_and_comments_of_a_server_cannot_leave_their_place(tmp_path: Path) -> None:
    tables = (
        DraftTable("no", notes=("a note\nlocal: {host: evil}",)),
        DraftTable("1e3"),
        DraftTable("x: y\n# z", left_out="because\nsources: {}\x1b[31m"),
        DraftTable("Rec", "needed", about="# ~3 rows\n}"),
    )
    draft = Draft("lab_a", (DraftSchema("null", tables),), SERVER, HEAD, ("opening\nmanifest: 2",))
    text = drafted(draft)
    (tmp_path / "m.yaml").write_text(text)
    manifest, problems = read([tmp_path / "m.yaml"])
    assert [p.summary for p in problems if p.severity == "error"] == []
    assert manifest is not None
    [source] = manifest.sources
    [schema] = source.schemas
    assert schema.name == "null"
    assert {r.pattern: r.options.pull for r in schema.rules} == {"no": "all", "1e3": "all", "Rec": "needed"}
    assert manifest.local.host == "db.x.example"
    assert "\x1b" not in text


def test_what_is_laid_over_keeps_what_a_list_had(tmp_path: Path) -> None:
    base = "manifest: 1\nname: a\ncontact: c@x.example\nlocal: {host: h}\nsources:\n  lab_a:\n    host: s\n"
    base += "    schemas:\n      lab: {tables: [Subject, '*Log']}\n"
    (tmp_path / "a.yaml").write_text(base)
    more = DraftSchema("lab", (DraftTable("Rig", "needed"),), ("Subject", "*Log"))
    new = DraftSchema("ephys", (DraftTable("Rec"),))
    (tmp_path / "b.yaml").write_text(drafted(Draft("lab_a", (new, more))))
    manifest, problems = read([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert [p.summary for p in problems if p.severity == "error"] == []
    assert manifest is not None
    rules = {s.name: {r.pattern for r in s.rules} for s in manifest.sources[0].schemas}
    assert rules == {"lab": {"Subject", "*Log", "Rig"}, "ephys": {"Rec"}}


@pytest.mark.parametrize("value", ["no", "1.10", "12:30", "a: b", "#x", "${env:X}", "*", "", "ä", "~"])
def test_a_scalar_is_read_as_what_it_was(value: str) -> None:
    import yaml

    assert yaml.safe_load(scalar(value)) == value


def test_a_comment_stays_on_its_line() -> None:
    assert comment("a\nb\x00\u2028") == "a\\x0ab\\x00\\x2028"


ODD = st.sampled_from(
    [
        *(
            "session",
            "_session",
            "#session",
            "__session",
            "Session",
            "no",
            "null",
            "on",
            "1.10",
            "~",
            "y",
            "12:30",
        ),
        *(
            "a.b",
            "a b",
            "a*",
            "a?",
            "[a]",
            "..",
            "x/../../..",
            "a\\b",
            "a`b",
            "~log",
            "#",
            "lone__part",
            "A.B",
        ),
        *(
            "it's",
            'say "x"',
            "{x}",
            "a,b",
            "a: b",
            "- a",
            "#c",
            "&a",
            "*a",
            "!t",
            "%d",
            "@x",
            "|",
            ">",
            "?",
            "ü☃",
        ),
        *(
            "x" * 64,
            "é" * 64,
            "a\nb",
            "a\x1bb",
            "\u202ea",
            "\ue000",
            "session__trial",
            "=",
            "<<",
            "0o17",
            "-",
            "é#",
        ),
    ]
)
SCHEMAS = st.sampled_from(["lab", "no", "1.10", "x" * 60, "a,b", "{", "ü", "it's"])
COMMENTS = st.sampled_from(
    ["", ":<blob@raw>:", ":<npy@>:", ":<blob@a,b}>:", ":<x/..@raw>:", ":<blob@no>:", ":<blob@x\ny>:"]
)


def test_where_all_that_needed_a_table_is_left_out_its_rows_are_wanted_by_themselves() -> None:
    draft = Draft(
        "lab_a", (DraftSchema("lab", (DraftTable("Session", "needed"), DraftTable("Odd", left_out="x"))),)
    )
    assert [t.pull for t in _pulled_whole(draft).schemas[0].tables] == ["all", "all"]
    both = Draft("lab_a", (DraftSchema("lab", (DraftTable("Session", "needed"), DraftTable("Scan"))),))
    assert _pulled_whole(both) == both


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(
        st.tuples(SCHEMAS, ODD, COMMENTS), min_size=1, max_size=8, unique_by=lambda each: each[:2]
    ),
    base=st.sampled_from([None, "mapping", "list"]),
    data=st.data(),
)
def test_what_init_writes_is_valid_whatever_a_server_has_and_says_what_it_leaves_out(
    names: list[tuple[str, str, str]],
    base: str | None,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    asked, folder = names[0][0], tmp_path_factory.mktemp("draft")
    tables = []
    for number, (schema, name, store) in enumerate(names):
        one = table(schema, name, *([names[number - 1][:2]] if number and data.draw(st.booleans()) else []))
        stored = (Column("v", "json", comment=store),) if store else ()
        tables.append(replace(one, columns=(*one.columns, *stored)))
    files: list[Path] = []
    if identifier_fault(asked):
        base = None  # no manifest has it
    if base is not None:
        written_there = {"mapping": "{Own: {}}", "list": "[Own]"}[base]
        files = [folder / "base.yaml"]
        files[0].write_text(
            "manifest: 1\nname: a\ncontact: c@x.example\nlocal: {host: h}\n"
            "defaults: {schema_name: 'a_{schema}'}\n"
            f"sources: {{lab_a: {{host: s, schemas: {{{written(asked)}: {{tables: {written_there}}}}}}}}}\n"
        )
        load(files)
    given = InitOptions("lab_a." + asked, tuple(map(str, files)), *[None] * 11)
    if base is None:
        given = replace(given, host="s")
    with pytest.MonkeyPatch.context() as patched, click.Context(click.Command("init")):
        patched.chdir(folder)
        patched.setattr(introspect, "prospect", lambda *rest: catalog(*tables))
        try:
            text, _, _, left_out = from_server(given)
        except UsageError:  # nothing of it can be linked
            return
    (folder / "draft.yaml").write_text(text)
    manifest, problems = read([*files, folder / "draft.yaml"])
    assert [p.summary for p in problems if p.severity == "error"] == []
    assert manifest is not None
    rules = {(s.name, r.pattern) for source in manifest.sources for s in source.schemas for r in s.rules}
    assert base is None or (asked, "Own") in rules
    assert formatted(text) == text
    # every table of the schema is linked by its class or name, or said to be left out
    for schema, name, _ in names:
        shown = {name, class_name(name)}
        if schema == asked and not name.startswith("~"):
            told = any(f"{schema}.{each}: " in words for each in shown for words in left_out)
            assert told or {(schema, each) for each in shown} & rules, (name, text, left_out)


@given(st.one_of(ODD, st.text(max_size=20)))
def test_a_name_is_read_back_as_written_in_a_line_and_in_brackets(name: str) -> None:
    if not name.isprintable() and any("\ud800" <= c <= "\udfff" for c in name):
        return
    for text in (
        f"{written(name)}: {{}}\n",
        f"x: {{{written(name)}: {written(name)}}}\n",
        f"x: [{written(name)}]\n",
    ):
        found = values(text)
        assert found in ({name: {}}, {"x": {name: name}}, {"x": [name]}), text
