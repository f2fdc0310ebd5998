"""doctor, explain, adopt and init --from at the command line: streams, exit codes, JSON, no secret."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.support.command import called
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE, CROSSED
from tests.support.sql import ask, run_all

EACH = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)


class Lab:
    """Two linked tables and the command; all that it ever prints is kept."""

    def __init__(self, rig: Rig) -> None:
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.subject (id int PRIMARY KEY, species varchar(9))",
            "CREATE TABLE {lab}.session (id int, n int, PRIMARY KEY (id, n),"
            " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
            "INSERT INTO {lab}.subject VALUES (1, 'mouse'), (2, 'rat')",
            "INSERT INTO {lab}.session VALUES (1, 1), (2, 1)",
        )
        rig.accounts({"lab_a": ["lab"]})
        self.rig = rig
        self.document = rig.document(
            {"lab_a": {"lab": {"tables": {"*": {}, "Subject": {"where": {"species": "mouse"}}}}}}
        )
        rig.write(self.document)
        self.said = ""

    def djlink(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the manifest's folder, without a terminal."""
        ended = called(*arguments, environ=self.rig.environ, folder=self.rig.folder)
        self.said += ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    def value(self, *arguments: str, code: int = 0) -> Any:
        """The JSON that a command prints, which is all of stdout."""
        ended = self.djlink(*arguments, "--json")
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout)

    def address(self, table: str) -> str:
        return self.rig.address("lab_a", "lab", table)


@pytest.fixture
def lab(rig: Rig) -> Lab:
    return Lab(rig)


@EACH
def test_from_the_doctor_to_an_adoption_and_no_secret_is_ever_printed(lab: Lab) -> None:
    healthy = lab.djlink("doctor")
    assert healthy.returncode == 0, healthy.stdout
    assert "fix: " in healthy.stdout
    assert lab.djlink("doctor", "--quiet").stdout.count("✓") == 0
    value = lab.value("doctor")
    assert [s["name"] for s in value["servers"]] == ["local", "lab_a"]
    assert value["counts"]["error"] == 0

    assert lab.djlink("apply", "--auto-approve").returncode == 0
    shared = lab.djlink("explain", lab.address("Session"), "id=1,n=1")
    assert "shared" in shared.stdout
    assert "its rows are the same on both sides" in shared.stdout
    left = lab.djlink("explain", lab.address("Session"), "id=2,n=1")
    assert "Wanted: no" in left.stdout
    assert "`where` is not met: species = mouse" in left.stdout
    told = lab.value("explain", lab.address("Session"), '{"id": 2, "n": 1}')
    [reason] = [r for r in told["reasons"] if not r["holds"]]
    assert (reason["parent"], reason["key"]) == (lab.address("Subject"), {"id": "2"})
    wrong = lab.djlink("explain", lab.address("Session"), "id=2")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "the key lacks `n`" in wrong.stderr

    lab.document["name"] = "renamed"
    lab.rig.write(lab.document)
    refused = lab.djlink("plan")
    assert f"djlink adopt {lab.address('Subject')}" in refused.stdout
    asked = lab.djlink("adopt", "lab_a.*")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "--auto-approve" in asked.stderr
    value = lab.value("adopt", "lab_a.*")
    assert (value["adopted"], len(value["adoptions"])) == (False, 2)
    assert value["adoptions"][0]["outbound_before"]["manifest"] == lab.rig.names("atlas")
    done = lab.djlink("adopt", "lab_a.*", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "djlink apply" in done.stderr
    assert lab.djlink("apply", "--auto-approve").returncode == 0
    assert lab.djlink("plan", "--detailed-exitcode").returncode == 0
    assert lab.value("adopt", "lab_a.*")["right"] == [lab.address("Session"), lab.address("Subject")]
    assert PASSWORD not in lab.said


@EACH
def test_the_doctor_ends_with_1_where_a_right_is_missing_and_names_it(lab: Lab) -> None:
    server, names = lab.rig.servers.lab_a, lab.rig.names
    ask(
        server,
        f"REVOKE INSERT ON `{lab.rig.outbound.replace('_', chr(92) + '_')}`.* FROM '{names('link')}'@'%'",
    )
    ended = lab.djlink("doctor", "--quiet")
    assert ended.returncode == 1
    assert "lacks INSERT" in ended.stdout
    assert "fix: ask an administrator to run: GRANT" in ended.stdout


@EACH
def test_a_link_that_cannot_be_adopted_ends_with_1_and_changes_nothing(lab: Lab) -> None:
    assert lab.djlink("apply", "--auto-approve").returncode == 0
    run_all(
        lab.rig,
        "UPDATE {outbound}.`~djlink` SET manifest = 'theirs', contact = 'x@y.example', local_server = 'db.y',"
        " fingerprint = ''",
    )
    ended = lab.djlink("adopt", "lab_a.*", "--auto-approve")
    assert ended.returncode == 1
    assert "belong to the manifest `theirs` (x@y.example) of another local server, `db.y`" in ended.stdout
    assert "--from theirs" in ended.stdout
    assert lab.djlink("adopt", "lab_a.*.Nothing", "--auto-approve").returncode == 1
