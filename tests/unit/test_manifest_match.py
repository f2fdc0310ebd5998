"""Which rule is a table's, and which names mean one table."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.errors import ManifestError
from djlink_manifest.manifest.models.match import is_excluded, rule_for
from djlink_manifest.manifest.models.names import covers, is_glob, same_table, spellings, table_fault, weight
from djlink_manifest.manifest.models.values import SchemaSpec
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.tables.naming import class_name
from tests.unit.manifest_cases import loaded, tables


def schema(folder: Path, text: str, exclude: str = "") -> SchemaSpec:
    options = f"        exclude: [{exclude}]\n" if exclude else ""
    return loaded(folder, tables(text, options)).sources[0].schemas[0]


def chosen(spec: SchemaSpec, table: str) -> str | None:
    found = rule_for(spec, table, class_name(table))
    return found.pattern if found else None


def test_the_most_specific_key_wins(tmp_path: Path) -> None:
    spec = schema(tmp_path, '"*":\n"S*":\n"Se*":\nSession:\n"__*":\n"#species":')
    assert {
        t: chosen(spec, t)
        for t in ["session", "session_note", "subject", "probe", "__sorting", "#species", "_x"]
    } == {
        "session": "Session",
        "session_note": "Se*",
        "subject": "S*",
        "probe": "*",
        "__sorting": "__*",
        "#species": "#species",
        "_x": "*",
    }


def test_exact_names_match_the_table_or_the_class_as_written(tmp_path: Path) -> None:
    spec = schema(tmp_path, "SpikeSorting:\n__clustering:")
    assert chosen(spec, "__spike_sorting") == "SpikeSorting"
    assert chosen(spec, "spike_sorting") == "SpikeSorting"
    assert chosen(spec, "__clustering") == "__clustering"
    assert chosen(spec, "clustering") is None
    assert chosen(spec, "other") is None


def test_capitals_count(tmp_path: Path) -> None:
    spec = schema(tmp_path, '"s*":\nPROBE:')
    assert chosen(spec, "session") == "s*"
    assert chosen(spec, "__session") is None
    assert chosen(spec, "probe") is None


def test_exclude_takes_out_what_only_globs_match(tmp_path: Path) -> None:
    spec = schema(tmp_path, '"*":\nDebugLog:', exclude='"*Debug*", "__*", Old')
    assert chosen(spec, "debug_log") == "DebugLog"
    assert chosen(spec, "debug_other") is None
    assert chosen(spec, "__sorting") is None
    assert chosen(spec, "old") is None
    assert chosen(spec, "session") == "*"
    assert is_excluded(spec, "debug_log", "DebugLog")
    assert not is_excluded(spec, "session", "Session")


def test_two_globs_equally_close_are_refused_with_both_lines(tmp_path: Path) -> None:
    spec = schema(tmp_path, '"Se*":\n"*on":\n"*":')
    assert chosen(spec, "setting") == "Se*"
    with pytest.raises(ManifestError) as raised:
        chosen(spec, "session")
    (found,) = raised.value.diagnostics
    assert found.summary == "`*on` and `Se*` match `s.session` and are equally specific"
    assert (found.location.line, found.location.column) == (12, 11)
    assert "m.yaml:11" in str(found.help)


@pytest.mark.parametrize(
    ("pattern", "literal"), [("*", 0), ("S*", 1), ("?b?", 1), ("[abc]x", 1), ("[!a-c]x*y", 2), ("a[", 2)]
)
def test_the_weight_of_a_glob_is_its_literal_characters(pattern: str, literal: int) -> None:
    assert weight(pattern) == literal


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("*", "**"),
        ("**", "*"),
        ("*", "a*b"),
        ("a*", "ab*"),
        ("a*b*", "ab*"),
        ("*?", "?*"),
        ("?*", "*?"),
        ("?", "a"),
        ("[ab]", "[ab]"),
    ],
)
def test_a_glob_covers_another(wide: str, narrow: str) -> None:
    assert covers(wide, narrow)


@pytest.mark.parametrize(
    ("wide", "narrow"), [("a*", "*a"), ("?", "*"), ("a", "?"), ("a*", "*"), ("*b", "a*"), ("", "*")]
)
def test_a_glob_does_not_cover_another(wide: str, narrow: str) -> None:
    assert not covers(wide, narrow)


GLOBS = st.text("ab*?", max_size=4)
FILLED = st.lists(
    st.sampled_from([("a", "a"), ("b", "b"), ("?", "a"), ("?", "c"), ("*", ""), ("*", "ab")]), max_size=4
)


@given(GLOBS, FILLED)
def test_covering_is_a_proof(wide: str, filled: list[tuple[str, str]]) -> None:
    narrow, name = ("".join(part) for part in zip(*filled, strict=True)) if filled else ("", "")
    assert fnmatchcase(name, narrow)
    assert fnmatchcase(name, wide) or not covers(wide, narrow)


@given(GLOBS)
def test_every_glob_covers_itself_and_is_covered_by_the_star(pattern: str) -> None:
    assert covers(pattern, pattern)
    assert covers("*", pattern)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Session", "session", True),
        ("Session", "__session", True),
        ("SpikeSorting", "#spike_sorting", True),
        ("Session", "Session", True),
        ("session", "__session", False),
        ("Session", "sessions", False),
        ("Session2", "session2", True),
    ],
)
def test_names_that_surely_mean_one_table(one: str, other: str, same: bool) -> None:
    assert same_table(one, other) == same_table(other, one) == same


def test_a_class_may_be_a_table_of_any_tier() -> None:
    assert set(spellings("SpikeSorting")) == {
        "SpikeSorting", "spike_sorting", "#spike_sorting", "_spike_sorting", "__spike_sorting",
    }  # fmt: skip
    assert spellings("__spike_sorting") == ["__spike_sorting", "SpikeSorting"]


@pytest.mark.parametrize(
    "name", ["Session", "session", "_session", "__session", "#session", "*", "S?[ab]*", "Old_Name", "x1"]
)
def test_names_that_a_table_can_have(name: str) -> None:
    assert table_fault(name) is None
    assert is_glob(name) == any(c in name for c in "*?[")


@pytest.mark.parametrize(
    ("name", "candidates", "near"),
    [
        ("Sesion", ["Session", "Subject"], "Session"),
        ("session", ["Session", "Sessions"], "Session"),
        ("Session", ["Session"], None),
        ("x", ["Session"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_name(name: str, candidates: list[str], near: str | None) -> None:
    assert nearest(name, candidates) == near
