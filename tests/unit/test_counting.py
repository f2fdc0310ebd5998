"""Counts with their nouns: no "1 rows" anywhere."""

from __future__ import annotations

import re

import pytest

from djlink_manifest.model.counting import counted
from tests.support.structure import CHECKOUT, PACKAGE

BARE = re.compile(r":,\} (?:rows|links|deletions|entities|tables|values|objects|files)\b")
# as words of a log, of the past tense of many, or beside a test for one
PLURAL = {"servers/session/statement_log.py", "reconcile/explain/wording.py"}


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1240, "1,240 rows")]
)
def test_one_is_told_in_the_singular(count: int, said: str) -> None:
    assert counted(count, "row") == said


def test_a_plural_may_be_its_own_word() -> None:
    assert [counted(n, "entity", "entities") for n in (1, 2)] == ["1 entity", "2 entities"]


def test_no_message_has_a_count_before_a_plural_of_its_own() -> None:
    root = CHECKOUT / PACKAGE
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if BARE.search(path.read_text(encoding="utf-8"))
    }
    assert found - PLURAL == set()
