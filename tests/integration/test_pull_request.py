"""A change of the manifest beside the manifest before: what the change brings, what the sources did."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.pipelines.review import Review
from tests.support.rig import Rig


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
