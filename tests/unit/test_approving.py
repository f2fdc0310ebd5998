"""Approvals written into the text of a manifest and taken out of it again, all else as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from djlink_manifest.errors import Location
from djlink_manifest.manifest.approving import ApprovalsError, has_approvals, with_approval, without_approvals
from djlink_manifest.manifest.load import load
from djlink_manifest.manifest.values import Approval
from tests.unit.manifest_cases import tables

GIVEN = Approval(
    link="lab_a.s.Session",
    keys="sha256:" + "ab" * 32,
    count=17,
    until="2026-11-20T09:00:00Z",
    along=(("lab_a.s.Trial", 34),),
    by="a. lee: yes",
    date="2026-11-20",
    location=Location("x", 1, 1),
)
OLD = (
    "{link: lab_a.s.Scan, keys: 'sha256:abababababababab', count: 1, until: 2026-11-01T00:00:00Z, "
    "by: b, date: 2026-11-01}"
)
BLOCK = """link: lab_a.s.Scan   # the old one
    keys: 'sha256:abababababababab'
    count: 1
    until: 2026-11-01T00:00:00Z
    by: b
    date: 2026-11-01"""


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# nothing yet\n",
        "manifest: 1\n",
        "manifest: 1",
        "approvals:\n",
        "approvals: []\n",
        "approvals: []   # none yet\nmanifest: 1\n",
        "approvals: null\n",
        f"approvals:\n  - {OLD}\n",
        f"approvals:\n- {OLD}\n# the end\n",
        f"approvals:   # ours\n\n  # the first\n  - {BLOCK}\n\nmanifest: 1\n",
        f"approvals: [{OLD}]\nmanifest: 1\n",
    ],
)
def test_an_entry_is_added_and_taken_out_again_and_all_else_stays(before: str) -> None:
    after = with_approval(before, GIVEN, "x.yaml")
    assert has_approvals(after)
    assert all(line in after.splitlines() for line in before.splitlines() if line.startswith("#"))
    lines = [n for n, line in enumerate(after.splitlines(), start=1) if "Session" in line]
    if "approvals: [" not in before or before.startswith("approvals: []"):
        gone = without_approvals(after, lines, "x.yaml")
        assert "Session" not in gone
        assert ("Scan" in gone) is ("Scan" in before)


def test_what_is_written_is_read_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "djlink.yaml"
    path.write_text(with_approval(tables("Session: {}\nTrial: {}"), GIVEN, str(path)))
    [read] = load([path]).approvals
    assert (read.link, read.keys, read.count, read.until) == (GIVEN.link, GIVEN.keys, 17, GIVEN.until)
    assert (read.along, read.by, read.date) == (GIVEN.along, GIVEN.by, GIVEN.date)


def test_entries_are_taken_out_by_their_lines_alone() -> None:
    text = f"approvals:\n  - {OLD}\n  # of another\n  - {BLOCK}\n\nname: x\n"
    assert without_approvals(text, [2], "x") == f"approvals:\n  # of another\n  - {BLOCK}\n\nname: x\n"
    assert without_approvals(text, [4], "x") == f"approvals:\n  - {OLD}\n  # of another\n\nname: x\n"
    assert without_approvals(text, [9], "x") == text
    assert without_approvals(text, [2, 4], "x") == "approvals: []\n\nname: x\n"


def test_what_a_program_cannot_change_safely_is_refused() -> None:
    with pytest.raises(ApprovalsError, match=r"approvals` of x\.yaml are written in a way"):
        with_approval("approvals: {a: 1}\n", GIVEN, "x.yaml")


def test_an_approval_that_names_orphans_is_written_without_a_moment_and_read_back(tmp_path: Path) -> None:
    given = replace(GIVEN, until="", orphans=True)
    path = tmp_path / "m.yaml"
    path.write_text(with_approval(tables("Session: {}\nTrial: {}"), given, "m.yaml"))
    [read] = load([path]).approvals
    assert (read.orphans, read.until, read.keys, read.along) == (True, "", GIVEN.keys, GIVEN.along)
    text = path.read_text()
    assert "until" not in text
    assert has_approvals(with_approval(text, GIVEN, "m.yaml"))
