"""The page of constructs says what real servers give; nothing in it is by hand."""

from __future__ import annotations

import re

import pytest

from tests.fidelity.constructs import constructs
from tests.fidelity.page import PATH, SHOWN, column, outcomes
from tests.support.rig import Rig


@pytest.mark.parametrize("servers", SHOWN, indirect=True, ids=str)
def test_each_construct_gives_what_the_page_says(rig: Rig) -> None:
    page = PATH.read_text(encoding="utf-8")
    found = outcomes(rig)
    written = column(page, rig.servers.pair)
    notes = dict(re.findall(r"^(\d+)\. (.*)$", page, re.MULTILINE))
    for each in constructs():
        kind, _, number = written[each.words].partition(" (")
        words = notes[number.rstrip(")")] if number else ""
        outcome = found.get(each.table, "-")
        assert (kind, words) == (outcome.partition(": ")[0], outcome.partition(": ")[2]), each.words
