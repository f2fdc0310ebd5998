"""The starter, and the layout: what it changes, what it leaves, and that it says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import ManifestError
from djlink_manifest.manifest.edit import write
from djlink_manifest.manifest.edit.write import FormatError, formatted, starter
from djlink_manifest.manifest.load import read
from djlink_manifest.manifest.text import layout
from tests.unit.manifest_cases import written

MESSY = """\


# what this is
# yaml-language-server: $schema=x

# about sources
sources:
    a:
        host:   x   \n        # c1
        schemas:
                # c2
                s: {tables: [ A,B , C ],   exclude : [x]}
                t:
                    tables:
                    -   A   # trailing
                    -   B
                # c3
        text: |
            a b   \n              c

            d
    # c4
    b :
        host: "a
          b   c"
        l: [a,
            b,   # in brackets
            c]
local: {host: "${env:X}"}
# about the name
name: x   \nx-foo: &foo
    - a: 1
      b: 2
    -
        c: 3
manifest: 1

# at the end
"""

TIDY = """\
# what this is
# yaml-language-server: $schema=x

manifest: 1
# about the name
name: x
x-foo: &foo
  - a: 1
    b: 2
  -
    c: 3
local: {host: "${env:X}"}
# about sources
sources:
  a:
    host: x
    # c1
    schemas:
      # c2
      s: {tables: [A, B, C], exclude: [x]}
      t:
        tables:
        - A   # trailing
        - B
      # c3
    text: |
        a b   \n          c

        d
  # c4
  b:
    host: "a
      b   c"
    l: [a,
        b,   # in brackets
        c]

# at the end
"""


def test_a_messy_file_is_tidied() -> None:
    assert formatted(MESSY) == TIDY


def test_a_tidy_file_stays_as_it_is() -> None:
    assert formatted(TIDY) == TIDY


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("", ""),
        ("\n\n", ""),
        ("a: 1", "a: 1\n"),
        ("a: 1\n\n\n", "a: 1\n"),
        ("a: 1\r\nb: 2\r\n", "a: 1\nb: 2\n"),
        ("\ufeffa: 1\n", "a: 1\n"),
        ("a:    1\n", "a: 1\n"),
        ("a : 1\n", "a: 1\n"),
        ("a:\n     b:\n      - c\n", "a:\n  b:\n    - c\n"),
        ("a:\n- b:  1\n  c:   2\n", "a:\n- b: 1\n  c: 2\n"),
        ("a:\n  -   - 1\n      - 2\n", "a:\n  - - 1\n    - 2\n"),
        (
            "a:\n-   b:  1\n    c: |\n       x\n    d: [1,\n        2]\n",
            "a:\n- b: 1\n  c: |\n     x\n  d: [1,\n      2]\n",
        ),
        ("a:\n  -  -  b: 1\n        c: 2\n     -  d\n", "a:\n  - - b: 1\n      c: 2\n    - d\n"),
        ("{a: 1,b: [ 2,3 ]}\n", "{a: 1, b: [2, 3]}\n"),
        ("a: { }\nb: [ ]\n", "a: {}\nb: []\n"),
        ('{"a":1}\n', '{"a": 1}\n'),
        ("a: 'x  ,  y'\n", "a: 'x  ,  y'\n"),
        ("a: x  ,  y\n", "a: x  ,  y\n"),
        ("a: |2\n    x\n   y\n", "a: |2\n    x\n   y\n"),
        ("a:\n    b: |2\n        x\n       y\n", "a:\n  b: |2\n      x\n     y\n"),
        ("a: |+\n  x\n\n\n", "a: |+\n  x\n\n\n"),
        ("a: >-\n   x\n   y\n", "a: >-\n   x\n   y\n"),
        ("a: &x  {b: 1}\nc: *x\n", "a: &x  {b: 1}\nc: *x\n"),
        ("? a\n: b\n", "? a\n: b\n"),
        ("a: 1   # why\n", "a: 1   # why\n"),
        ("a:   # why\n     b: 1\n", "a:   # why\n  b: 1\n"),
        ("a: 1\u2028b: 2\n", "a: 1\u2028b: 2\n"),
        ("name: x\nmanifest: 1\n", "manifest: 1\nname: x\n"),
        ("approvals: []\nx-a: 1\nother: 2\nname: y\n", "name: y\nx-a: 1\napprovals: []\nother: 2\n"),
        ("# a\nname: x\n# b\nmanifest: 1\n", "# b\nmanifest: 1\n# a\nname: x\n"),
        ("# a\n\nname: x\n# b\nmanifest: 1\n", "# a\n\n# b\nmanifest: 1\nname: x\n"),
        ("name: x\n\nmanifest: 1\n", "manifest: 1\nname: x\n"),
        ("---\nname: x\nmanifest: 1\n", "---\nname: x\nmanifest: 1\n"),
        ("{name: x, manifest: 1}\n", "{name: x, manifest: 1}\n"),
        ("local: &s {host: h}\nx-a: *s\n", "local: &s {host: h}\nx-a: *s\n"),
    ],
)
def test_layout(text: str, tidy: str) -> None:
    assert formatted(text) == tidy
    assert formatted(tidy) == tidy


@pytest.mark.parametrize("text", ["a: [1\n", "a: 'x\n", "a: b: c\n", "\ta: 1\n", "a: \x00\n"])
def test_what_is_not_yaml_is_told_like_in_validate(text: str) -> None:
    with pytest.raises(ManifestError) as raised:
        formatted(text, "m.yaml")
    assert raised.value.diagnostics[0].location.file == "m.yaml"


def test_a_pass_that_would_change_a_value_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "spaced", lambda text: text.replace("1", "2"))
    assert formatted("a:  1\n") == "a:  1\n"


def test_a_pass_that_would_lose_a_comment_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "indented", lambda text: text.replace("# why", ""))
    assert formatted("a: 1 # why\n") == "a: 1 # why\n"


def test_a_layout_that_never_settles_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "spaced", lambda text: "\n" + text)
    monkeypatch.setattr(layout, "trimmed", lambda text: text)
    with pytest.raises(FormatError):
        formatted("a: 1\n")


def test_the_proof_is_made_whatever_the_passes_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_tried", lambda change, text, said: "b: 2\n")
    with pytest.raises(FormatError):
        formatted("a: 1\n")


PROPERTY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text("ab: #-'\"\n{}[],&*!|>%@`", max_size=12)
    | st.text(max_size=6)
)
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-# ", min_size=1, max_size=4), inner)
    ),
)
MAPPINGS = st.dictionaries(
    st.sampled_from(["manifest", "name", "x-a", "x-b", "sources", "local", "approvals", "other", "# odd"]),
    TREES,
    max_size=5,
)


@PROPERTY
@given(
    MAPPINGS,
    st.integers(2, 7),
    st.sampled_from([True, False, None]),
    st.integers(20, 90),
    st.sampled_from([None, '"', "'", "|", ">"]),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["# c", "", "   # c", "  "])), max_size=5),
)
def test_the_data_stays_and_twice_is_once(
    whole: Any, indent: int, flow: bool | None, width: int, style: str | None, extra: list[tuple[int, str]]
) -> None:
    text = yaml.safe_dump(
        whole,
        indent=indent,
        default_flow_style=flow,
        width=width,
        default_style=style,
        sort_keys=False,
        allow_unicode=True,
    )
    lines = text.split("\n")
    for at, line in extra:
        lines.insert(min(at, len(lines)), line)
    text = "\n".join(lines)
    try:
        before = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return  # a comment was put where none can be
    result = formatted(text)
    assert yaml.load(result, Loader=yaml.BaseLoader) == before
    assert formatted(result) == result
    assert result.count("# c") == text.count("# c")


@PROPERTY
@given(st.text("ab:-#&*'\"{}[]|>,? \n\t!%\r\u2028", max_size=40))
def test_any_text_is_formatted_or_told(text: str) -> None:
    result = formatted_or_none(text)
    assert result is None or formatted(result) == result


def formatted_or_none(text: str) -> str | None:
    try:
        return formatted(text)
    except ManifestError:
        return None


def test_the_starter_is_right_and_tidy(tmp_path: Path) -> None:
    manifest, found = read([written(tmp_path, starter())])
    assert found == ()
    assert manifest is not None
    assert formatted(starter()) == starter()


def test_the_starter_names_the_schema_for_editors() -> None:
    assert starter("a/b.json").startswith("# yaml-language-server: $schema=a/b.json\n")
    assert "{{" not in starter()


def test_what_the_starter_comments_out_is_right_too(tmp_path: Path) -> None:
    text = starter().replace("  # deletions", "  deletions").replace("  # unwanted", "  unwanted")
    assert text.count("\n  deletions: auto ") == text.count("\n  unwanted: release ") == 1
    assert read([written(tmp_path, text)])[1] == ()
