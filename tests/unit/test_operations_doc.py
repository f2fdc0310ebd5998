"""The table of faults in docs/operations.md names tests that there are, and a next step for each fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
FILES = {
    path.name: path
    for folder in ("unit", "integration", "e2e")
    for path in (ROOT / "tests" / folder).glob("*.py")
}
# the files whose every test is a fault's
OF_FAULTS = ("test_network_faults.py", "test_server_faults.py", "test_interrupted.py")
NO_FAULT = {
    "test_the_statement_that_meets_the_cut_is_told",
    "test_the_second_of_two_manifests_over_one_outbound_schema_is_refused_its_links_alone",
}


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.partition("\n## Faults\n")[2].partition("\n## ")[0]
    lines = [each for each in section.splitlines() if each.startswith("| ")]
    assert lines[0] == "| fault | what is said | what the next run does | tests |"
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", each)[1:-1]] for each in lines[1:]]


def names_in(name: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)\(", FILES[name].read_text(), re.MULTILINE))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_each_fault_says_what_is_told_what_comes_next_and_which_tests_hold_it(row: list[str]) -> None:
    assert len(row) == 4
    assert all(row)
    named = TEST.findall(row[3])
    assert named
    assert TEST.sub("", row[3]).strip() == ""
    for file, test in named:
        assert test in names_in(file), f"{file} has no {test}"


def test_each_test_of_a_fault_stands_in_the_table() -> None:
    named = {found for row in rows() for found in TEST.findall(row[3])}
    source_rows = {(file, test) for file in OF_FAULTS for test in names_in(file) if test not in NO_FAULT}
    assert source_rows <= named
