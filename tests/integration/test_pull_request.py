"""A change of the manifest beside the manifest before: what the change brings, what the sources did."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.support.command import called
from tests.support.rig import Rig
from tests.support.sql import run_all


class Review:
    """A repository with a manifest of two tables, of which the main branch links one."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.subject (id int PRIMARY KEY, species varchar(9))",
            "CREATE TABLE {lab}.session (id int, n int, PRIMARY KEY (id, n),"
            " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
            "INSERT INTO {lab}.subject VALUES (1, 'mouse'), (2, 'rat')",
            "INSERT INTO {lab}.session VALUES (1, 1), (2, 1), (2, 2)",
        )
        rig.accounts({"lab_a": ["lab"]})
        self.git("init", "-q", "-b", "main")
        self.write({"Subject": {}})
        self.git("add", "djlink.yaml")
        self.commit("main")

    def git(self, *arguments: str) -> None:
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *arguments], cwd=self.rig.folder, check=True, env=environ, capture_output=True)

    def commit(self, words: str) -> None:
        self.git("-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qam", words)

    def write(self, tables: dict[str, Any], **more: Any) -> None:
        self.rig.write(self.rig.document({"lab_a": {"lab": {"tables": tables}}}, **more))

    def djlink(self, *arguments: str, code: int = 0) -> str:
        ended = called(*arguments, environ=self.rig.environ, folder=self.rig.folder)
        assert ended.returncode == code, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stdout if code == 0 else ended.stderr

    def compared(self, *arguments: str) -> dict[str, Any]:
        told = json.loads(self.djlink("plan", "--against", "git:main", "--json", *arguments))
        found: dict[str, Any] = told["against"]
        return found


@pytest.fixture
def review(rig: Rig) -> Review:
    return Review(rig)


def split(counts: list[dict[str, Any]]) -> dict[str, tuple[int, int, int]]:
    return {c["what"]: (c["total"], c["by_change"], c["by_sources"]) for c in counts}


def test_each_count_is_split_into_what_the_change_brings_and_what_the_sources_did(review: Review) -> None:
    assert review.compared()["links"] == []
    review.djlink("apply", "--auto-approve")
    review.rig.run("lab_a", "INSERT INTO {lab}.subject VALUES (3, 'mouse'), (4, 'mouse'), (5, 'rat')")
    # the branch narrows one link and adds another
    review.write({"Subject": {"where": {"species": "mouse"}}, "Session": {}})
    found = review.compared()
    assert (found["name"], found["has_errors"]) == ("git:main", False)
    assert split(found["summary"])["pull"] == (3, 0, 3)
    subject, session = (review.rig.address("lab_a", "lab", name) for name in ("Subject", "Session"))
    links = {link["address"]: (link["side"], split(link["counts"])) for link in found["links"]}
    assert links[subject] == ("both", {"pull": (2, -1, 3), "kept": (1, 1, 0)})
    assert links[session][0] == "new"
    assert links[session][1]["pull"] == (1, 1, 0)
    assert split(found["summary"])["create"] == (1, 1, 0)
    text = review.djlink("plan", "--against", "git:main")
    assert "Compared with git:main" in text
    assert "no longer declared" not in text
    comment = review.djlink("plan", "--against", "git:main", "--markdown")
    assert "| rows to pull | 3 | 0 | 3 |" in comment
    assert "−1 row to pull by this change, 3 by the sources" in comment


def test_what_a_change_takes_out_is_told_as_forgotten_by_the_change(review: Review) -> None:
    review.write({"Subject": {}, "Session": {}})
    review.djlink("apply", "--auto-approve")
    review.commit("both")
    review.write({"Subject": {}})
    found = review.compared()
    assert split(found["summary"])["forgotten"] == (1, 1, 0)
    assert split(found["summary"])["forgotten_rows"] == (3, 3, 0)
    [link] = found["links"]
    assert link["side"] == "old"


def test_an_old_manifest_that_is_not_valid_or_cannot_be_planned_is_named(review: Review) -> None:
    review.rig.folder.joinpath("djlink.yaml").write_text("manifest: 1\n")
    review.commit("broken")
    review.write({"Subject": {}})
    said = review.djlink("plan", "--against", "git:main", code=1)
    assert "The old manifest, git:main, is not valid" in said
    assert "git:main:djlink.yaml:1" in said
    review.write({"Subject": {"where": {"nothing": 1}}}, local={"host": "${env:NOT_SET_AT_ALL}"})
    review.commit("without a host")
    review.write({"Subject": {}})
    said = review.djlink("plan", "--against", "git:main", code=1)
    assert "the old manifest, git:main, cannot be planned" in said
    assert "NOT_SET_AT_ALL" in said
    said = review.djlink("plan", "--against", "git:main", "--target", "*", code=1)
    assert "--against compares whole manifests" in said
