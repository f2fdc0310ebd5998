"""Names as GRANT takes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from djlink_manifest.sandbox.servers.accounts import grant_pattern


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("lab", "`lab`"),
        ("our_lab", r"`our\_lab`"),
        ("100%", r"`100\%`"),
        ("a`b", "`a``b`"),
        ("a\\b", r"`a\\b`"),
        ("a\\_b", r"`a\\\_b`"),
    ],
)
def test_wildcards_and_quotes_in_a_schema_name_are_taken_literally(schema: str, pattern: str) -> None:
    assert grant_pattern(schema) == pattern


def reached_by(pattern: str) -> re.Pattern[str]:
    """What a GRANT on a quoted pattern reaches, by MySQL's rules for `LIKE`."""
    unquoted = pattern[1:-1].replace("``", "`")
    parts = re.findall(r"\\.|.", unquoted, re.DOTALL)
    wild = {"_": ".", "%": ".*"}
    return re.compile(
        "".join(re.escape(part[1:]) if len(part) == 2 else wild.get(part, re.escape(part)) for part in parts),
        re.DOTALL,
    )


@given(st.text(alphabet="ab_%\\`", min_size=1), st.text(alphabet="ab_%\\`", min_size=1))
@example("a_b", "axb")
@example("a%", "abc")
def test_a_grant_on_a_schema_reaches_no_other(schema: str, other: str) -> None:
    reached = reached_by(grant_pattern(schema))
    assert reached.fullmatch(schema)
    assert bool(reached.fullmatch(other)) == (other == schema)
