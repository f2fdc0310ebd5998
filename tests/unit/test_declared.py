"""`djlink list`: what a manifest declares, with options as they fall, without a server."""

from __future__ import annotations

import json
import subprocess
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.manifest.load import load
from djlink_manifest.manifest.models.declared import declared
from djlink_manifest.manifest.models.names import overlap
from tests.support.command import called
from tests.unit.manifest_cases import written

MANIFEST = """\
manifest: 1
name: atlas
contact: a@b.example
local: {host: db.example, password: "${env:NOT_SET}"}
defaults: {schema_name: "ours_{schema}", max_deletions: 20}
sources:
  princeton:
    host: nowhere.example
    schemas:
      ephys:
        stores: {raw: ours, "*": inline}
        unwanted: release
        tables: [Recording]
      lab:
        pull: needed
        exclude: ["*Debug*"]
        tables:
          "*": {}
          "*Log*": {max_deletions: 5%}
          Subject: {pull: all, where: {subject: [a, b]}, deletions: auto}
          __spikes: {depends_on: [princeton.lab.Subject]}
  yale:
    host: nowhere.example
    schemas:
      rig: {schema_name: "{source}_rig", tables: "*"}
"""
ALL = [
    "princeton.ephys.Recording",
    "princeton.lab.*",
    "princeton.lab.*Log*",
    "princeton.lab.Subject",
    "princeton.lab.__spikes",
    "yale.rig.*",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path, MANIFEST, "djlink.yaml")
    return tmp_path


def djlink(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return called(*arguments, environ={}, folder=folder)


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        ([], ALL),
        (["princeton.*"], ALL[:5]),
        (["*"], ALL),
        (["princeton.lab.Subject"], ["princeton.lab.Subject"]),
        (["princeton.lab.subject"], ["princeton.lab.Subject"]),  # as a table
        (["princeton.lab.Spikes"], ["princeton.lab.__spikes"]),
        (["princeton.lab.Mouse"], ["princeton.lab.*"]),
        (["princeton.lab.MouseLog"], ["princeton.lab.*Log*"]),  # the closest glob
        (["princeton.lab.*Log"], ["princeton.lab.*", "princeton.lab.*Log*"]),
        (["*.S*"], [each for each in ALL if each != "princeton.ephys.Recording"]),
        (["yale.rig.Camera", "*.Recording"], [ALL[0], ALL[1], ALL[5]]),
    ],
    ids=str,
)
def test_a_target_finds_what_it_may_name(targets: list[str], found: list[str], folder: Path) -> None:
    listed = [each.address for each in declared(load([folder / "djlink.yaml"]), targets)]
    assert listed == found


def test_an_exclusion_takes_out_what_it_surely_names(folder: Path) -> None:
    manifest = load([folder / "djlink.yaml"])
    without = [each.address for each in declared(manifest, excludes=["princeton.lab.*"])]
    assert without == ["princeton.ephys.Recording", "yale.rig.*"]
    # a glob of which it names a part stays
    assert [e.address for e in declared(manifest, excludes=["yale.rig.Cam*", "*.Subject"])] == [
        each for each in ALL if each != "princeton.lab.Subject"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "prinston.lab.*"), "did you mean `princeton.lab.*`?"),
        (("--target", "princeton.lab.Subjekt.x"), "declares no such link"),
        (("--target", "princeton.ephys.Recordng"), "did you mean `princeton.ephys.Recording`?"),
        (("--target", "princeton.lab.RigDebugger"), "declares no such link"),
        (("--exclude", "kyoto.*"), "--exclude kyoto.*: this manifest declares no such link"),
    ],
    ids=str,
)
def test_what_is_not_declared_is_an_error(arguments: tuple[str, ...], said: str, folder: Path) -> None:
    ended = djlink(folder, "list", *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert "next:" in ended.stderr


def test_options_are_shown_as_they_fall_where_they_are_not_the_usual_ones(folder: Path) -> None:
    ended = djlink(folder, "list")
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in ended.stdout.splitlines()}
    assert list(shown) == ALL
    assert shown == {
        "princeton.ephys.Recording": "local ours_ephys · unwanted: release · max_deletions: 20 · "
        "stores: * → inline, raw → ours djlink.yaml:13",
        "princeton.lab.*": "local ours_lab · pull: needed · max_deletions: 20 · "
        "except *Debug* djlink.yaml:18",
        "princeton.lab.*Log*": "local ours_lab · pull: needed · except *Debug* djlink.yaml:19",
        "princeton.lab.Subject": "local ours_lab · deletions: auto · max_deletions: 20 · "
        "where subject in (a, b) djlink.yaml:20",
        "princeton.lab.__spikes": "local ours_lab · pull: needed · max_deletions: 20 · "
        "depends_on: princeton.lab.Subject djlink.yaml:21",
        "yale.rig.*": "local yale_rig · max_deletions: 20 djlink.yaml:25",
    }


def test_quiet_prints_addresses_alone(folder: Path) -> None:
    assert djlink(folder, "list", "-q").stdout.split("\n") == [*ALL, ""]


def test_json_has_every_option(folder: Path) -> None:
    value: dict[str, Any] = json.loads(djlink(folder, "list", "--json").stdout)
    tables = {each["address"]: each for each in value["tables"]}
    assert list(tables) == ALL
    assert tables["princeton.lab.Subject"]["options"] == {
        "pull": "all",
        "deletions": "auto",
        "unwanted": "keep",
        "changed": "report",
        "max_deletions": 20,
        "stores": {},
        "collation": "source",
        "where": "subject in (a, b)",
        "outbound_table": None,
        "depends_on": [],
    }
    recording = tables["princeton.ephys.Recording"]
    assert recording["options"]["stores"] == {"raw": "ours", "*": "inline"}
    assert (recording["local_schema"], recording["is_glob"]) == ("ours_ephys", False)
    assert (recording["file"], recording["line"]) == ("djlink.yaml", 13)
    assert tables["princeton.lab.*Log*"]["options"]["max_deletions"] == "5%"
    assert (tables["princeton.lab.*"]["exclude"], tables["princeton.lab.*"]["is_glob"]) == (["*Debug*"], True)


def test_a_broken_manifest_is_told_with_its_line(folder: Path) -> None:
    written(folder, MANIFEST.replace("tables: [Recording]", "tabels: [Recording]"), "djlink.yaml")
    ended = djlink(folder, "list")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "djlink.yaml:13" in ended.stderr


def test_a_selection_of_nothing_says_so(folder: Path) -> None:
    ended = djlink(folder, "list", "--exclude", "*")
    assert (ended.returncode, ended.stdout) == (0, "No table is selected.\n")


def test_globs_overlap_where_some_name_matches_both() -> None:
    """Against all short words: whether one of them matches both globs."""
    words = ["".join(letters) for size in range(7) for letters in product("ab", repeat=size)]
    pieces = ["a", "b", "*", "?", "[ab]", "[!a]"]
    globs = ["".join(each) for size in range(4) for each in product(pieces, repeat=size)]
    matched = {glob: {word for word in words if fnmatchcase(word, glob)} for glob in globs}
    for number, one in enumerate(globs):
        for other in globs[number % 7 :: 7]:
            truly = bool(matched[one] & matched[other])
            assert overlap(one, other) == overlap(other, one)
            if truly:
                assert overlap(one, other), (one, other)
            elif "[" not in one or "[" not in other:  # two sets are taken to overlap
                assert not overlap(one, other), (one, other)
