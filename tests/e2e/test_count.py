"""`djlink count`: a condition tried at the source, with the checks of a manifest's `where`."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.support.command import called
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE, CROSSED
from tests.support.sql import run_all

EACH = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)


class Lab:
    """Tables of a source of which the manifest declares some, and the command."""

    def __init__(self, rig: Rig) -> None:
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.subject (id int PRIMARY KEY, species varchar(9), born date)",
            "CREATE TABLE {lab}.__spikes (id int PRIMARY KEY, depth varchar(9))",
            "CREATE TABLE {lab}.subject__note (id int, n int, PRIMARY KEY (id, n),"
            " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
            "CREATE TABLE {lab}.run (id int PRIMARY KEY)",
            "CREATE TABLE {lab}.__run (id int PRIMARY KEY)",
            "INSERT INTO {lab}.subject VALUES (1, 'mouse', '2020-01-01'), (2, 'rat', '2021-01-01'), "
            "(3, NULL, NULL), (4, 'mouse', NULL)",
            "INSERT INTO {lab}.__spikes VALUES (1, '10'), (2, 'deep')",
        )
        rig.accounts({"lab_a": ["lab"]})
        self.rig = rig
        where = {"Subject": {"where": {"species": "mouse"}}}
        self.rig.write(rig.document({"lab_a": {"lab": {"tables": where}}}))

    def count(self, table: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        address = self.rig.address("lab_a", "lab", table)
        ended = called("count", address, *arguments, environ=self.rig.environ, folder=self.rig.folder)
        assert ended.returncode == code, ended.stdout + ended.stderr
        assert PASSWORD not in ended.stdout + ended.stderr
        return ended

    def counted(self, table: str, *arguments: str) -> tuple[int, int, int]:
        value = json.loads(self.count(table, *arguments, "--json").stdout)
        return value["rows"], value["matching"], value["unknown"]


@pytest.fixture
def lab(rig: Rig) -> Lab:
    return Lab(rig)


@EACH
def test_the_rows_that_meet_a_condition_are_counted_and_null_meets_none(lab: Lab) -> None:
    assert lab.counted("Subject", "--where", "born >= '2021-01-01'") == (4, 1, 2)
    assert lab.counted("Subject", "--where", "species = 'mouse'", "--where", "born IS NULL") == (4, 1, 1)
    assert lab.counted("Subject", "species=mouse", "species=NULL") == (4, 3, 0)
    assert lab.counted("subject", "--where", "id IN (1, 2, 99)") == (4, 2, 0)
    assert lab.counted("Spikes", "--where", "id > 1") == (2, 1, 0)  # not in the manifest
    shown = lab.count("Subject", "--where", "born >= '2021-01-01'").stdout
    address = lab.rig.address("lab_a", "lab", "Subject")
    assert shown.splitlines() == [
        f"{address}: 1 of 4 rows selected",
        "  where born >= '2021-01-01'",
        "  2 rows not selected as the condition is NULL for them",
    ]


def test_without_a_condition_the_manifests_is_tried(lab: Lab) -> None:
    value: dict[str, Any] = json.loads(lab.count("Subject", "--json").stdout)
    assert (value["where"], value["from_manifest"], value["matching"]) == ("species = mouse", True, 2)
    assert "where species = mouse (djlink.yaml:" in lab.count("Subject").stdout
    assert lab.count("Spikes").stdout.endswith(".Spikes: 2 rows; no condition\n")


@EACH
@pytest.mark.parametrize(
    ("table", "where", "said"),
    [
        ("Subject", "nope = 1", "nope"),
        ("Subject", "species = ", "the server rejects `where`"),
        ("Subject", "id IN (SELECT id FROM x)", "--where is refused"),
        ("Subject", "SLEEP(1) = 0", "--where is refused"),
        ("Subject", "1) OR (1", "--where is refused"),
        ("Subject", "", "--where is empty"),
        ("Spikes", "depth > 5", "cannot be evaluated for all rows"),  # 'deep' is no number
        ("Spikes", "CAST(depth AS signed) > 5", "cannot be evaluated for all rows"),
    ],
)
def test_what_a_manifest_could_not_say_is_refused_here_too(
    table: str, where: str, said: str, lab: Lab
) -> None:
    ended = lab.count(table, "--where", where, code=1)
    assert ended.stdout == ""
    assert said in ended.stderr
    assert "next:" in ended.stderr
    assert "deep" not in ended.stderr  # a value of a row
    # the same verdict as a plan's
    lab.rig.write(lab.rig.document({"lab_a": {"lab": {"tables": {table: {"where": where}}}}}))
    assert called("plan", environ=lab.rig.environ, folder=lab.rig.folder).returncode == 1


def test_a_condition_on_columns_is_checked_against_the_table(lab: Lab) -> None:
    assert "did you mean `species`?" in lab.count("Subject", "specis=mouse", code=1).stderr
    assert "compares the number column `id`" in lab.count("Subject", "id=one", code=1).stderr


def test_what_changes_by_itself_is_refused_where_unwanted_rows_are_released(lab: Lab) -> None:
    where = ("--where", "born > CURDATE()")
    assert lab.counted("Subject", *where)[:2] == (4, 0)
    document = lab.rig.document({"lab_a": {"lab": {"tables": {"Sub*": {"unwanted": "release"}}}}})
    lab.rig.write(document)
    assert "--where is refused" in lab.count("Subject", *where, code=1).stderr


def test_a_table_that_is_not_there_is_named_with_the_nearest(lab: Lab) -> None:
    assert "did you mean `Subject`?" in lab.count("Subjct", code=1).stderr
    assert "is a part; its master is Subject" in lab.count("subject__note", code=1).stderr
    assert "name one: __run, run" in lab.count("Run", code=1).stderr
    assert lab.counted("__run") == (0, 0, 0)
    run = {"environ": lab.rig.environ, "folder": lab.rig.folder}
    for address, said in (
        ("lab_x.lab.Subject", "no source `lab_x`"),
        ("lab_a.nowhere.Subject", "no schema `nowhere`"),
        ("Subject", "is not the address of a table"),
        ("lab_a..Subject", "is not the address of a table"),
    ):
        ended = called("count", address, **run)  # type: ignore[arg-type]
        assert (ended.returncode, ended.stdout) == (1, "")
        assert said in ended.stderr


def test_only_the_source_is_asked_and_it_may_be_down(lab: Lab) -> None:
    document = lab.rig.document({"lab_a": {"lab": {"tables": "*"}}})
    document["local"].update(host="127.0.0.1", port=1)
    lab.rig.write(document)
    assert lab.counted("Subject") == (4, 4, 0)
    document["sources"]["lab_a"].update(host="127.0.0.1", port=1)
    lab.rig.write(document)
    ended = lab.count("Subject", code=1)
    assert "server: lab_a" in ended.stderr


@EACH
def test_a_table_that_is_not_there_is_answered_with_those_that_are(lab: Lab) -> None:
    said = lab.count("Nope", code=1).stderr
    assert "has no table `Nope`\n" in said  # the link user sees all of the schema
    assert "GRANT" not in said
    assert all(name in said for name in ("Subject", "Spikes", "run", "__run"))
