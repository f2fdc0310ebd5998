"""Approvals written into the text of a manifest and taken out of it again, all else as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import Location
from djlink_manifest.manifest.edit.approvals import (
    ApprovalsError,
    entry_value,
    has_approvals,
    with_approval,
    without_approvals,
)
from djlink_manifest.manifest.edit.edit import document, values
from djlink_manifest.manifest.edit.write import comments
from djlink_manifest.manifest.load import load
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.manifest.text.nodes import Items, Origin
from tests.unit.manifest_cases import tables
from tests.unit.manifest_styles import Bare, manifests

GIVEN = Approval.model_construct(
    link="lab_a.s.Session",
    keys="sha256:" + "ab" * 32,
    count=17,
    until="2026-11-20T09:00:00Z",
    along=(("lab_a.s.Trial", 34),),
    by="a. lee: yes",
    date="2026-11-20",
    origin=Origin.outside(Location("x", 1, 1)),
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
    assert without_approvals(text, [2, 4], "x") == "approvals: []\n  # of another\n\nname: x\n"


def test_what_a_program_cannot_change_safely_is_refused() -> None:
    with pytest.raises(ApprovalsError, match=r"approvals` of x\.yaml is not a list"):
        with_approval("approvals: {a: 1}\n", GIVEN, "x.yaml")


def test_an_approval_that_names_orphans_is_written_without_a_moment_and_read_back(tmp_path: Path) -> None:
    given = GIVEN.model_copy(update={"until": "", "orphans": True})
    path = tmp_path / "m.yaml"
    path.write_text(with_approval(tables("Session: {}\nTrial: {}"), given, "m.yaml"))
    [read] = load([path]).approvals
    assert (read.orphans, read.until, read.keys, read.along) == (True, "", GIVEN.keys, GIVEN.along)
    text = path.read_text()
    assert "until" not in text
    assert has_approvals(with_approval(text, GIVEN, "m.yaml"))


ENTRIES = st.lists(
    st.sampled_from(["lab_a.s.Scan", "lab_a.s.Old"]).map(
        lambda link: {Bare("link"): Bare(link), Bare("count"): Bare("1"), Bare("by"): "no"}
    ),
    max_size=3,
)
APPROVALS = st.one_of(st.just(...), st.sampled_from(["~", "null"]).map(Bare), ENTRIES)


def read(text: str) -> dict[str, Any]:
    found = values(text)
    assert found is not None, text
    return found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(manifests(APPROVALS))
def test_in_every_style_of_yaml_an_entry_is_added_and_nothing_else_changes(text: str) -> None:
    before = read(text)
    after = with_approval(text, GIVEN, "x.yaml")
    entry = entry_value(GIVEN)
    assert read(after) == {**before, "approvals": [entry, *(before.get("approvals") or [])]}
    assert [c for _, c in comments(after)] == [c for _, c in comments(text)]
    assert ("\r\n" in text) == ("\r\n" in after) or text.count("\n") == 0
    assert not re.search(r"(?<!\r)\n", after) or "\r\n" not in text
    assert text.startswith("\ufeff") == after.startswith("\ufeff")
    # again, and taken out again
    twice = with_approval(after, GIVEN.model_copy(update={"link": "lab_a.s.Other"}), "x.yaml")
    assert len(read(twice)["approvals"]) == len(read(after)["approvals"]) + 1
    root = document(twice)
    assert root is not None
    node = root.entries["approvals"].value
    assert isinstance(node, Items)
    lines = [item.spot.location.line for item in node.items]
    for line in {lines[0], lines[-1]}:
        try:
            left = without_approvals(twice, [line], "x.yaml")
        except ApprovalsError as refused:  # where a comment would be lost
            told = str(refused.hint)
            assert "#" in twice
            assert f"by hand the entries that begin in line {line}" in told
            continue
        kept = [e for e, at in zip(read(twice)["approvals"], lines, strict=True) if at != line]
        assert read(left) == {**read(twice), "approvals": kept}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"manifest": 1,\n "approvals": []}\n', '{\n "manifest": 1,\n "approvals": [\n  {\n   "link"'),
        ("manifest: 1\n...\n", "manifest: 1\n\napprovals:\n  - {link"),
        ("name:  x\nx:   {a: 1,b: [1,2]}\n", "name:  x\nx:   {a: 1,b: [1,2]}\n\napprovals:\n  - {link"),
        ("approvals:\n      -   {link: y}\nz: ~\n", "approvals:\n      -   {link"),
        ("x-a: &a [{link: y}]\napprovals: *a\n", "x-a: [link: y]\napprovals:\n"),
        ('"approvals": &own [ ]\n', '"approvals":'),
        ("'manifest':\t1\nl: {a: , b: }\n", "'manifest':\t1\nl: {a: , b: }\n\napprovals:\n"),
        ("b: &b {x: 1}\nm:\n  <<: *b\n  y: 0o17\n", "b: &b {x: 1}\nm:\n  <<: *b\n  y: 0o17\n\napprovals:\n"),
        (
            "t: |\n   text\n   # no comment\nv: >-\n  a\n  b\n",
            "t: |\n   text\n   # no comment\nv: >-\n  a\n  b\n\nap",
        ),
        ("? a\n: b\n", "? a\n: b\n\napprovals:\n"),
        ("{a: ,\n b: [c]}\n", "{a: null, b: [c], approvals: [{link: "),
    ],
)
def test_what_a_person_wrote_stays_as_it_was_written(before: str, after: str) -> None:
    found = with_approval(before, GIVEN, "x.yaml")
    assert found.startswith(after), found
    if before.endswith("...\n"):
        assert found.endswith("...\n")


@pytest.mark.parametrize(
    "text", ["- a\n", "a: [\n", "a: 1\n---\nb: 1\n", "approvals: {a: 1}\n", "approvals: no\n"]
)
def test_what_cannot_be_changed_is_refused_with_the_lines_to_paste(text: str) -> None:
    with pytest.raises(ApprovalsError) as refused:
        with_approval(text, GIVEN, "x.yaml")
    assert "--into" in str(refused.value.hint)
    pasted = str(refused.value.hint).partition("\n")[2]
    assert read(pasted) == {"approvals": [entry_value(GIVEN)]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("---\n", "---\napprovals:\n  - {"),
        ("# c\n---\n# d\n", "# c\n---\napprovals:\n  - {"),
        ("---\n...\n", "---\napprovals:\n  - {"),
        ("~\n", "{approvals: [{"),
        ("name: x # a\u2028manifest: 1\n", "name: x # a\u2028manifest: 1\napprovals:\n  - {"),
        ("name: a\x85manifest: 1\x85", "name: a\x85manifest: 1\x85\napprovals:\n  - {"),
        ("t: |+\n  a\n\n\n", "t: |+\n  a\n\n\napprovals:\n  - {"),
        ("x-b: &b {by: y}\n<<: *b\nname: x\n", "x-b: &b {by: y}\n<<: *b\nname: x\n\napprovals:\n  - {"),
        (
            "x-b: &b {approvals: [{by: z}]}\n<<: *b\nname: x\n",
            "x-b: &b {approvals: [{by: z}]}\n<<: *b\nname: x\napprovals:\n  - {",
        ),
        ("{\n  # c\n  a: 1, # d\n}\n", "{approvals: [{"),
        ("name:\tx\t# c\n", "name:\tx\t# c\napprovals:\n  - {"),
        ("name:\tx\t# c\napprovals:\n  - {by: z}\n", "name:\tx\t# c\napprovals:\n  - {"),
        ("name:\tx\t# c\napprovals: ~\n", "name:\tx\t# c\napprovals: [{"),
        ("approvals: [\n  # none\n]\n", "approvals: [{"),
        ('{\n\t"manifest": 1\n}\n', '{\n\t"manifest": 1,\n\t"approvals": [\n\t\t{'),
    ],
)
def test_what_cannot_be_written_anew_gets_its_entry_in_its_place(before: str, after: str) -> None:
    found = with_approval(before, GIVEN, "x.yaml")
    assert found.startswith(after + ("link: " if not after.endswith("\t{") else "")), found
    assert read(found)["approvals"][0] == entry_value(GIVEN)
    assert [c for _, c in comments(found)] == [c for _, c in comments(before)]
    assert ("none" in before) == ("none" in found)


@pytest.mark.parametrize(
    ("before", "lines", "after"),
    [
        (
            "approvals:\n  - # first\n    link: a\n  - # second\n    link: b\nz: 1\n",
            [3],
            "approvals:\n  - # second\n    link: b\nz: 1\n",
        ),
        ("approvals:\n  - # first\n    link: a\n# end\nz: 1\n", [3], "approvals: []\n# end\nz: 1\n"),
        (
            "approvals: [\n  # one\n  {link: a}, # two\n  {link: b}\n  # end\n]\n",
            [3],
            "approvals: [\n  # one\n  # two\n  {link: b}\n  # end\n]\n",
        ),
        ("approvals: [\n  # one\n  {link: a}, {link: b}\n]\n", [3], "approvals: [\n  # one\n]\n"),
        (
            "name:\tx\t# c\napprovals:\n- link: a\n  by: b\n- link: c\n",
            [3],
            "name:\tx\t# c\napprovals:\n- link: c\n",
        ),
        ("name:\tx\t# c\napprovals:\n- link: a\n", [3], "name:\tx\t# c\napprovals: []\n"),
    ],
)
def test_what_cannot_be_written_anew_loses_an_entry_and_no_comment_of_others(
    before: str, lines: list[int], after: str
) -> None:
    assert without_approvals(before, lines, "x.yaml") == after


LINES = """\
manifest:   1                     # values in one column
name:       atlas
contact:    "a@lab.example"

x-animals:  &animals   [ A001,A002 ]
sources:
    lab_a:
        host:   db.lab-a.example  # four blanks
        tls:    {ca: a.pem,
                 cert: b.pem,   key: c.pem}
        schemas:
            lab:
                tables:  [ Subject,
                           Session ]   # the end of a list
            ephys:
                tables:
                    Recording: {where: {subject: *animals}}
                    'Unit'   :
approvals:
  - {link: lab_a.s.Scan, keys: 'sha256:abababababababab', count: 1,
     until: 2026-11-01T00:00:00Z,   by: b, date: 2026-11-01}
"""


def test_lines_that_a_change_does_not_touch_stay_to_the_character() -> None:
    after = with_approval(LINES, GIVEN, "x.yaml")
    head, tail = LINES.split("approvals:\n")
    assert after.startswith(f"{head}approvals:\n  - {{link: lab_a.s.Session, ")
    assert after.endswith(f"\n{tail}")
    assert without_approvals(after, [after.count("\n", 0, after.index("- {link")) + 1], "x.yaml") == LINES
