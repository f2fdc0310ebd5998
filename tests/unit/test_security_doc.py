"""Each line of the threat model names a test that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
MODEL = PAGE.partition("## What is tried, what holds it")[2].partition("\n## ")[0]
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_each_test_that_the_threat_model_names_is_there(file: str, test: str) -> None:
    [path] = (ROOT / "tests").rglob(file)
    assert re.search(rf"^def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_each_line_of_the_threat_model_has_its_test_or_says_that_nothing_holds() -> None:
    rows = [
        line for line in MODEL.splitlines() if line.startswith("| ") and not line.startswith("| attack |")
    ]
    assert len(rows) > 30
    for row in rows:
        attack, held, test = (cell.strip() for cell in row.strip("|").split(" | "))
        assert attack
        assert held
        assert re.fullmatch(r"`test_\w+\.py::test_\w+`(, `test_\w+\.py::test_\w+`)*", test) or (
            not test.strip("| ") and held.startswith("**nothing**")
        ), row
