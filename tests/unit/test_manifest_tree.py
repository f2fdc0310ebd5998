"""YAML: what is typed, what is refused and where, and that no text at all leads to another exception."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import Diagnostic
from djlink_manifest.manifest.load import read
from djlink_manifest.manifest.text import tree
from djlink_manifest.manifest.text.nodes import Fields, plain
from djlink_manifest.manifest.text.problems import MAX_PROBLEMS, Problems, looks_secret, masked
from djlink_manifest.manifest.text.scalars import Surprise, typed
from tests.unit.manifest_cases import (
    HEAD,
    SOURCE,
    loaded,
    one,
    places,
    problems,
    rule,
    rules,
    tables,
    told,
    written,
)


def parsed(text: str) -> object:
    found = Problems()
    root = tree.parse(text.encode(), "m.yaml", found)
    assert found.sorted() == ()
    assert root is not None
    return plain(root)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("0", 0),
        ("-17", -17),
        ("3306", 3306),
        ("18446744073709551615", 2**64 - 1),
        ("0.5", 0.5),
        ("-12.25", -12.25),
        ("5%", "5%"),
        ("A001", "A001"),
        ("2026-11-20", "2026-11-20"),
        ("2026-11-20T09:00:00Z", "2026-11-20T09:00:00Z"),
        ("1.2.3", "1.2.3"),
        ("y", "y"),
        ("n", "n"),
        ("=", "="),
        ("-", "-"),
        (".", "."),
        ("127.0.0.1", "127.0.0.1"),
        ("1_000a", "1_000a"),
    ],
)
def test_an_unquoted_value_is_typed_or_text(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "no",
        "on",
        "off",
        "Yes",
        "NO",
        "On",
        "oFF",
        "True",
        "TRUE",
        "False",
        "NULL",
        "Null",
        "010",
        "-010",
        "0x1F",
        "0o17",
        "0b11",
        "1_000",
        "12:30",
        "12:30:45",
        "-1:30",
        "1.10",
        "10.0000",
        "+5",
        "-0",
        ".5",
        "5.",
        "1e3",
        "1.5e10",
        "1E-3",
        ".inf",
        "-.INF",
        ".nan",
        ".NaN",
        "0_1.5",
        "18446744073709551616",
        "0.1000000000000000055511151",
    ],
)
def test_what_yaml_readers_disagree_about_must_be_quoted(tmp_path: Path, text: str) -> None:
    assert isinstance(typed(text), Surprise)
    found = told(tmp_path, one(f"where: {{a: ▸{text}}}"))
    assert found.summary.startswith(f"`{text}` ")
    assert f'quote it if it is text: "{text}"' in str(found.help)
    assert found.width == len(text)
    assert found.path == "sources.lab_a.schemas.s.tables.T.where.a"
    assert rule(tmp_path, f'where: {{a: "{text}"}}').options.where is not None


def test_a_surprise_in_an_alias_is_told_once_and_where_it_stands(tmp_path: Path) -> None:
    text = f"x-a: &a {{v: ▸1.10}}\n{one('where: *a')}"
    assert told(tmp_path, text).location.line == 1


def test_what_stands_below_x_keys_and_is_not_used_is_ignored(tmp_path: Path) -> None:
    text = "x-notes: [yes, 010, {deep: 12:30}]\nx-empty:\n" + one("")
    assert loaded(tmp_path, text).digest == loaded(tmp_path, one("")).digest


@pytest.mark.parametrize("key", ["yes", "1", "12:30", "null", "true"])
def test_a_key_that_is_not_text_must_be_quoted(tmp_path: Path, key: str) -> None:
    found = told(tmp_path, one(f"where: {{▸{key}: a}}"))
    assert (found.summary, found.help) == (f"the key `{key}` must be quoted to be text", f'quote it: "{key}"')


def test_anchors_aliases_and_merge_keys_work() -> None:
    text = """\
a: &one {x: 1, y: 2}
b: {<<: *one, y: 3}
c: {y: 4, <<: *one}
d: &two {z: 5, x: 6}
e: {<<: [*one, *two]}
f: *one
"<<": text
"""
    assert parsed(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"y": 4, "x": 1},
        "d": {"z": 5, "x": 6},
        "e": {"x": 1, "y": 2, "z": 5},
        "f": {"x": 1, "y": 2},
        "<<": "text",
    }


def test_explicit_text_tags_and_quotes_make_text() -> None:
    assert parsed("a: !!str 1\nb: '1'\nc: \"yes\"\nd: ! 010\ne: |\n  12:30\n") == {
        "a": "1", "b": "1", "c": "yes", "d": "010", "e": "12:30\n",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "summary", "help"),
    [
        ("a: 1\n▸a: 2\n", "the key `a` occurs twice in one mapping", "it first occurs in line 1"),
        ("a: {b: 1, ▸b: 2}\n", "the key `b` occurs twice in one mapping", "line 1"),
        ("a: ▸*nothing\n", "an alias (`*`) without an anchor", "quote text that starts with `*`"),
        ("a: &animals 1\nb: ▸*animal\n", "an alias (`*`) without an anchor", "did you mean `*animals`?"),
        ("a: &x [▸*x]\n", "an alias refers to an anchor that contains it", None),
        ("a: &x 1\nb: ▸&x 2\n", "an anchor with this name is set twice", "a different name"),
        ("&x ▸a: 1\n", None, None),
        ("a: ▸!thing 1\n", "an unknown tag", "do not use tags"),
        ("a: ▸!!int 1\n", "an unknown tag", "do not use tags"),
        ("a: ▸!x [1]\n", "an unknown tag", "do not use tags"),
        ("a: ▸!x {b: 1}\n", "an unknown tag", "do not use tags"),
        ("a: 1\n▸--- b\n", "a manifest must be a single YAML document", "a separate file"),
        ("▸- a\n- b\n", "a manifest must be a mapping", "manifest: 1"),
        ("▸just text\n", "a manifest must be a mapping", "manifest: 1"),
        ("a: {▸[b]: c}\n", "a key must be text", "quote text that starts with"),
        ("a: {<<: 1, <<: 2}\n", None, None),
        ("a: {b: {<<: ▸3}}\n", "`<<` requires a mapping", "*anchor"),
        ("a: b▸: c\n", "a second colon in one value", 'contains ": "'),
        ("a: ▸'x\nb: 1\n", "an unclosed quote", "same line"),
        ('a: "x▸\\q"\n', "an unknown escape", "single quotes"),
        ("a: ▸[1, 2\n", "a bracket is not closed by `]`", None),
        ("a: {b: 1 c▸: 2}\n", "expected `,` or `}`", "quote text"),
        ("a: ▸@b\n", "a value cannot start with this character", "@"),
        ("a: ▸%b\n", "a value cannot start with this character", "%"),
        ("a: b\n▸\tc: d\n", "a tab", "two spaces"),
        ("a:\n▸\tb: c\n", "a tab", "two spaces"),
        ("a:\n  b: 1\n ▸c: 2\n", "the indentation or a colon is wrong", "align the keys"),
        ("a: {password: ▸${env:X}}\n", "a reference inside `{}` or `[]` must be quoted", '"${env:NAME}"'),
        ("a: [▸${file:x}]\n", "a reference inside `{}` or `[]` must be quoted", '"${env:NAME}"'),
        ("a: {b: x▸${env:X}y}\n", "a reference inside `{}` or `[]` must be quoted", '"${env:NAME}"'),
        ("a: b▸\x07\n", "a character that YAML does not allow (U+0007)", "Remove"),
        ("a: 1\nb: ▸\x00\n", "a character that YAML does not allow (U+0000)", "Remove"),
    ],
)
def test_bad_yaml_is_told_with_its_place(
    tmp_path: Path, text: str, summary: str | None, help: str | None
) -> None:
    found = Problems()
    tree.parse(text.replace("▸", "").encode(), "m.yaml", found)
    first = found.sorted()[0]
    if summary is None:
        assert first.severity == "error"
        return
    expected = [(n, line.index("▸") + 1) for n, line in enumerate(text.split("\n"), 1) if "▸" in line]
    assert places(found.sorted()) == expected, first
    assert summary in first.summary
    assert help is None or help in str(first.help)


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"manifest: 1\nname: \xff\xfe\n")
    manifest, found = read([path])
    assert manifest is None
    assert [(d.summary, d.location.line) for d in found] == [("the file is not UTF-8 text", 2)]


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    assert loaded(tmp_path, "\ufeff" + one("")).name == "atlas"


def test_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    text = one("where: {a: 1}")
    assert loaded(tmp_path, text.replace("\n", "\r\n")).digest == loaded(tmp_path, text).digest


def test_columns_count_characters_not_bytes(tmp_path: Path) -> None:
    assert told(tmp_path, one("where: {é: [𝄞, ▸{}]}")).location.line == 11


def test_a_bomb_of_aliases_is_refused_without_being_written_out(tmp_path: Path) -> None:
    levels = "".join(f"x-{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
    found = problems(tmp_path, "x-0: &l0 [1]\n" + levels + HEAD)
    assert [d.summary for d in found] == ["with its aliases expanded, the file has more than 400000 values"]


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{b: " * 5000, "- " * 5000])
def test_deep_nesting_is_refused_and_does_not_recurse(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, text)
    assert [d.summary for d in found] == ["nesting is deeper than 60 levels"]


def test_depth_by_aliases_is_refused(tmp_path: Path) -> None:
    levels = "".join(f"x-{n}: &l{n} [[[[[*l{n - 1}]]]]]\n" for n in range(1, 20))
    found = problems(tmp_path, "x-0: &l0 [1]\n" + levels + HEAD)
    assert [d.summary for d in found] == ["with its aliases expanded, nesting is deeper than 60 levels"]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, "#" * (tree.MAX_BYTES + 1))
    assert [d.summary for d in found] == ["the file is larger than 8 MB"]


def test_so_many_problems_that_nobody_reads_them_are_cut_short(tmp_path: Path) -> None:
    found = problems(tmp_path, HEAD + "".join(f"k{n}: 1\n" for n in range(MAX_PROBLEMS + 20)))
    assert len(found) == MAX_PROBLEMS + 1
    assert "more problems are not shown" in found[-1].summary


SECRET = "hunter2"


@pytest.mark.parametrize(
    "server",
    [
        "{host: h, password: hunter2}",
        "{host: h, passwrd: hunter2}",
        "{host: h, pasword: 'hunter2'}",
        "{host: h, pwd: hunter2, nonsense: 1}",
        "{host: h, zzz: hunter2}",
        "{host: h, password: *hunter2}",
        "{host: h, password: &hunter2 x}",
        "{host: h, password: !hunter2 x}",
        "{host: h, password: @hunter2}",
        "{host: h, password: hunter2: x}",
        "{host: h, password: 'hunter2}",
        "{host: 'mysql://root:hunter2@h'}",
        "{host: 'root:hunter2@h'}",
        "{'root:hunter2@h': 1}",
        "{host: h, password: {a: hunter2}}",
        "{host: h, password: [hunter2]}",
        "\n  host: h\n  password: |\n    hunter2\n  port: x",
        "\n  host: h\n  password:\n    hunter2\n  port: x",
        "\n  host: h\n  password: >\n    first\n    hunter2 ${env:X\n",
        '\n  host: h\n  password: "first\n    hunter2"\n',
        "\n  host: h\n  password: hunter2 # ${env:X}\n",
        "\n  host: h\n  # password: hunter2\n  ? [\n",
        "\n  host: h\n  secret_key: hunter2\n",
        "\n  host: h\n  password: ${env:X}hunter2\n",
        "\n  host: h\n  password: ${env:hunter2 x}\n",
        '{host: h, password: "first\nhunter2", prot: 1}',
        "{host: h}\ndb_secrets:\n  a: 1\n  a: hunter2",
        "{host: h}\ndb_secrets:\n\n  - {a: 1, a: hunter2}",
        "\n  host: h\n  password: 0hunter2\n  password: hunter2\n",
    ],
)
def test_a_secret_written_into_the_manifest_is_never_shown(tmp_path: Path, server: str) -> None:
    found = problems(tmp_path, f"manifest: 1\nname: a\nlocal: {server}\n")
    assert any(d.severity == "error" for d in found)
    assert SECRET not in repr(found)


def test_a_secret_behind_an_anchor_is_never_shown(tmp_path: Path) -> None:
    text = f"x-c: &c hunter2\nx-d: [*c, 1\n{HEAD}"
    assert SECRET not in repr([d.summary for d in problems(tmp_path, text)])
    text = "x-c: &c hunter2\n" + HEAD.replace("}", ", password: *c, port: x}")
    found = problems(tmp_path, text)
    assert "the manifest contains a password" in [d.summary for d in found]
    assert SECRET not in repr(found)


def test_a_number_in_place_of_a_password_is_not_repeated(tmp_path: Path) -> None:
    found = problems(tmp_path, HEAD.replace("}", ", password: 0123}"))
    assert "0123" not in repr(found)


def test_references_are_shown_for_they_are_no_secrets() -> None:
    line = "  password: ${env:DB_PASS}  # from the vault"
    assert masked(line) == line
    assert masked('{password: "${file:a}", token: x}') == '{password: "${file:a}", token: ***'
    assert masked("{user: a, password: hunter2, port: 1}") == "{user: a, password: ***"


@pytest.mark.parametrize("key", ["password", "passwrd", "Pasword", "db_pass", "api_key", "TOKEN", "pw"])
def test_keys_that_look_secret(key: str) -> None:
    assert looks_secret(key)


@pytest.mark.parametrize(
    "key", ["host", "port", "user", "where", "subject", "tables", "key", "keys", "Session", "outbound"]
)
def test_keys_that_do_not(key: str) -> None:
    assert not looks_secret(key)


def _usable(manifest: object, found: tuple[Diagnostic, ...]) -> None:
    assert (manifest is None) == any(d.severity == "error" for d in found)
    for each in found:
        assert each.location.line >= 1
        assert each.location.column >= 1
        assert each.width >= 1
        assert each.summary
        assert "\n" not in (each.snippet or "")


FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
YAML_BITS = st.sampled_from(
    [
        *"{}[]:,-&*!|>'\"%@`#?~\n\t ab1",
        "  ",
        "\n  ",
        "\n- ",
        ": ",
        "${env:X}",
        "<<: ",
        "&a ",
        "*a ",
        "null",
        "---\n",
        "\r",
    ]
)


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_give_a_manifest_or_problems(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(content)
    _usable(*read([path]))


@FUZZ
@given(st.lists(YAML_BITS, max_size=60).map("".join))
def test_any_text_gives_a_manifest_or_problems(tmp_path: Path, text: str) -> None:
    _usable(*read([written(tmp_path, text)]))


WHOLE = one("where: [{a: [1, 2]}, 'b > 1'], pull: all, stores: {x: y}, depends_on: []") + (
    "removed: {lab_a.s.Old: {table: keep}}\n"
    "approvals:\n"
    "- {link: lab_a.s.T, keys: 'sha256:0123456789abcdef', count: 1, until: 2026-11-20T09:00:00Z,\n"
    "   by: a, date: 2026-11-20}\n"
)


@settings(FUZZ, max_examples=200)
@given(st.integers(0, len(WHOLE)), st.integers(0, 6), YAML_BITS | st.text(max_size=3))
def test_any_change_of_a_manifest_gives_a_manifest_or_problems(
    tmp_path: Path, at: int, cut: int, put: str
) -> None:
    text = (WHOLE[:at] + put + WHOLE[at + cut :]).encode("utf-8", "replace").decode()
    _usable(*read([written(tmp_path, text)]))


KEYS = [
    "manifest",
    "name",
    "local",
    "host",
    "sources",
    "schemas",
    "tables",
    "where",
    "pull",
    "tls",
    "removed",
    "approvals",
    "link",
    "port",
    "password",
    "exclude",
    "depends_on",
    "stores",
    "T",
    "x-a",
    "[mapping]",
    "*",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["*", "a.b.C", "x = 1", ""]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            KEYS
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(FUZZ, max_examples=200)
@given(
    VALUES, st.sampled_from(["local", "sources", "defaults", "removed", "approvals", "name", "s", "t", "T"])
)
def test_any_value_in_any_place_gives_a_manifest_or_problems(tmp_path: Path, value: object, key: str) -> None:
    whole: dict[str, object] = {"manifest": 1, "name": "a", "local": {"host": "h"}, "sources": {}}
    deep = {"T": value} if key == "T" else value if key == "t" else "*"
    schema = value if key == "s" else {"tables": deep}
    whole["sources"] = {"lab": {"host": "g", "schemas": {"s": schema}}}
    if key in {"local", "sources", "defaults", "removed", "approvals", "name"}:
        whole[key] = value
    _usable(*read([written(tmp_path, yaml.safe_dump(whole))]))


def test_the_parser_in_python_reads_the_same_as_the_one_in_c(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [loaded(tmp_path, WHOLE)]
    monkeypatch.setattr("djlink_manifest.manifest.text.compose.LOADER", yaml.SafeLoader)
    assert [*found, loaded(tmp_path, WHOLE)] == [*found, found[0]]


def test_an_empty_file_says_nothing_and_is_told_so(tmp_path: Path) -> None:
    found = problems(tmp_path, "# only a comment\n")
    assert {d.summary for d in found} >= {"`manifest` is missing", "`name` is missing", "`local` is missing"}
    assert isinstance(tree.parse(b"", "m", Problems()), Fields)


def test_rules_keep_the_line_of_their_key(tmp_path: Path) -> None:
    manifest = loaded(tmp_path, tables("A:\n\n# comment\nB: {pull: all}"))
    assert {name: r.location.line for name, r in rules(manifest).items()} == {"A": 11, "B": 14}
    assert SOURCE in tables("A:")


def test_deep_nesting_that_the_parser_itself_stumbles_over_is_told_as_such(tmp_path: Path) -> None:
    found = problems(tmp_path, "a: " + "[" * 70 + "@")  # the scanner is ahead of the events
    assert [d.summary for d in found] == ["nesting is deeper than 60 levels"]
