"""Commands that take the manifest, the log and the local server from the environment, on real servers."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.support.command import called
from tests.support.invariants.secrecy import found
from tests.support.pipelines.deletion import document, lab, local
from tests.support.rig import PASSWORD, Rig
from tests.support.sql import run_all

__all__ = ["lab"]  # a fixture


def djlink(rig: Rig, *arguments: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    ended = called(*arguments, environ={**rig.environ, **environ}, folder=rig.folder)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert PASSWORD not in ended.stdout + ended.stderr
    return ended


@pytest.fixture
def configured(lab: Rig) -> dict[str, Any]:
    """A manifest that leaves its local server to DataJoint, in a project of its own."""
    made = document(lab)
    settings = made.pop("local")
    (lab.folder / ".git").mkdir()
    (lab.folder / "datajoint.json").write_text(
        json.dumps({"database": {"host": settings["host"], "port": settings["port"], "use_tls": False}})
    )
    (lab.folder / ".secrets").mkdir()
    (lab.folder / ".secrets" / "database.user").write_text(settings["user"])
    (lab.folder / ".secrets" / "database.password").write_text(PASSWORD)
    made["local"] = "datajoint"
    return made


def test_rows_come_to_the_server_of_datajoints_configuration(lab: Rig, configured: dict[str, Any]) -> None:
    lab.write(configured)
    lab.environ = {key: value for key, value in lab.environ.items() if not key.startswith("DJ_")}
    run_all(lab, "INSERT INTO {lab}.spikes VALUES (4, NULL, NULL, NULL)")
    ended = djlink(lab, "apply", "--auto-approve")
    assert (4,) in local(lab, "spikes", "id")
    secrets = lab.folder / ".secrets"
    assert f"host and port and tls from {lab.folder / 'datajoint.json'}" in ended.stderr
    assert f"password from {secrets / 'database.password'}" in ended.stderr
    assert djlink(lab, "doctor", "--quiet").returncode == 0
    assert "local user" in djlink(lab, "grants", "--server", "local").stdout


def test_a_wrong_password_of_the_configuration_is_told_and_not_shown(
    lab: Rig, configured: dict[str, Any]
) -> None:
    lab.write(configured)
    lab.environ = {key: value for key, value in lab.environ.items() if not key.startswith("DJ_")}
    (lab.folder / ".secrets" / "database.password").write_text("wrong-secret-77")
    ended = djlink(lab, "plan", code=1)
    assert "server: local" in ended.stderr
    assert "wrong-secret-77" not in ended.stderr


def test_a_log_of_an_apply_holds_its_statements_and_no_secret(lab: Rig) -> None:
    path = lab.write(document(lab), "atlas.yaml")
    run_all(lab, "INSERT INTO {lab}.spikes VALUES (4, NULL, NULL, NULL)")
    log = lab.folder / "run.log"
    ended = djlink(lab, "apply", "--auto-approve", DJLINK_FILE=str(path), DJLINK_LOG=str(log))
    assert "djlink.servers" not in ended.stderr
    text = log.read_text()
    assert "djlink.servers: lab_a#" in text
    assert "INSERT INTO" in text
    assert text.splitlines()[-1].endswith("djlink: djlink apply ended with 0")
    assert not found(text)
    assert PASSWORD not in text
    djlink(lab, "plan", DJLINK_FILE=str(path), DJLINK_LOG=f"info:{lab.folder / 'short.log'}")
    short = (lab.folder / "short.log").read_text()
    assert "links planned in" in short
    assert "SELECT" not in short
