"""A trust file with real servers and stores: what it allows is planned and applied as without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import called
from tests.support.rig import Rig
from tests.support.servers import ALIKE
from tests.support.sql import run_all
from tests.support.stores.case import Case, case, s3
from tests.support.stores.external import folder_store

__all__ = ["case", "s3"]  # fixtures


@pytest.mark.parametrize("servers", ALIKE[:1], indirect=True, ids=str)
def test_what_the_trust_file_allows_is_done_and_what_it_does_not_reaches_no_server(rig: Rig) -> None:
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.subject (id int PRIMARY KEY, species varchar(9))",
        "INSERT INTO {lab}.subject VALUES (1, 'mouse'), (2, 'rat')",
    )
    rig.accounts({"lab_a": ["lab"]})
    document = rig.document({"lab_a": {"lab": {"tables": "*"}}})
    top = rig.folder / "checkout"
    (top / ".git").mkdir(parents=True)
    trust = str(rig.folder / "trust.yaml")

    def djlink(*arguments: str) -> subprocess.CompletedProcess[str]:
        return called(*arguments, environ=rig.environ, folder=top)

    rig.write(document, "checkout/djlink.yaml")
    assert djlink("trust", "--out", trust).returncode == 0
    for command in (
        ("plan",),
        ("status",),
        ("doctor", "--quiet"),
        ("count", rig.address("lab_a", "lab", "Subject")),
    ):
        ended = djlink(*command, "--trust", trust)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert djlink("apply", "--auto-approve", "--trust", trust).returncode == 0
    schema = rig.local_schema("lab_a", "lab")
    assert rig.servers.local.execute(f"SELECT id FROM `{schema}`.subject ORDER BY id") == [(1,), (2,)]

    def connections() -> int:
        [(_, count)] = rig.server("lab_a").execute("SHOW GLOBAL STATUS LIKE 'Connections'")
        return int(count)

    first, before = connections(), connections()
    document["sources"]["lab_a"]["user"] = "root"
    rig.write(document, "checkout/djlink.yaml")
    ended = djlink("apply", "--auto-approve", "--trust", trust)
    assert ended.returncode == 1
    assert "`user` `root` is not in the trust file" in ended.stderr
    assert connections() - before == before - first  # those of the questions themselves


def test_objects_go_to_the_store_of_the_environment_whatever_the_checkout_configures(case: Case) -> None:
    top = case.rig.folder / "checkout"
    (top / ".git").mkdir(parents=True)
    evil = folder_store(case.rig.folder / "evil")
    (top / "datajoint.json").write_text(json.dumps({"stores": {"default": "ours", "ours": evil}}))
    (top / ".secrets").mkdir()
    (top / ".secrets" / "stores.ours.access_key").write_text("evil")
    case.rig.write(case.document, "checkout/djlink.yaml")
    trust = case.rig.folder / "trust.yaml"
    environ = {key: value for key, value in os.environ.items() if not key.startswith("DJ_")}

    def djlink(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from djlink_manifest.cli import main; main()", *arguments],
            cwd=top,
            env={**environ, "PYTHONPATH": str(Path(__file__).parents[2]), **case.rig.environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    assert djlink("trust", "--out", str(trust)).returncode == 0
    without = djlink("plan", DJLINK_TRUST=str(trust))
    assert without.returncode == 1
    assert "DataJoint's configuration names no default store" in without.stdout + without.stderr
    applied = djlink(
        "apply", "--auto-approve", DJLINK_TRUST=str(trust), DJ_STORES=json.dumps(case.local_store)
    )
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert case.sessions() != []
    assert case.files() != []
    assert not [each for each in Path(evil["location"]).rglob("*") if each.is_file()]
