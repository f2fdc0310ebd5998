"""DJLINK_FILE and DJLINK_LOG: which manifests are read, and what is logged where."""

from __future__ import annotations

import logging
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.command import called
from tests.unit.manifest_cases import tables, written

MANIFEST = tables("Subject: {}").replace("local: {host: db.lab.example}", "local: {host: 127.0.0.1, port: 1}")
SECRET = "hunter2-never-printed"
USERS = {"DJ_USER": "u", "DJ_PASS": SECRET, "LINK_USER": "u", "LINK_PASS": SECRET, "LINK_OUTBOUND": "o"}


def djlink(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return called(*arguments, environ=environ, folder=folder)


def test_the_files_of_the_environment_are_read_in_their_order(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "a b.yaml")
    written(tmp_path, "name: other\n", "over/b.yaml")
    ended = djlink(tmp_path, "validate", DJLINK_FILE="a b.yaml:over")
    assert ended.stdout == "a b.yaml, over/b.yaml: valid (1 source, 1 table rule)\n"
    assert djlink(tmp_path, "validate", DJLINK_FILE=":a b.yaml:").stdout.startswith("a b.yaml: valid")


def test_an_option_overrides_the_environment(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "named.yaml")
    ended = djlink(tmp_path, "validate", "-f", "named.yaml", DJLINK_FILE="nowhere.yaml")
    assert ended.stdout.startswith("named.yaml: valid")


def test_the_environment_overrides_the_usual_file_and_is_never_passed_over(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    for command in ("validate", "fmt", "plan", "grants"):
        ended = djlink(tmp_path, command, DJLINK_FILE="nowhere.yaml")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "nowhere.yaml" in ended.stderr


@pytest.mark.parametrize("value", ["", ":", "::"])
def test_an_empty_list_of_files_is_none(value: str, tmp_path: Path) -> None:
    assert "there is no djlink.yaml" in djlink(tmp_path, "validate", DJLINK_FILE=value).stderr
    written(tmp_path, MANIFEST, "djlink.yaml")
    assert djlink(tmp_path, "validate", DJLINK_FILE=value).returncode == 0


def test_a_log_goes_into_the_file_that_is_named_and_is_added_to(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    for _ in range(2):
        ended = djlink(tmp_path, "validate", DJLINK_LOG="info:run.log")
        assert (ended.returncode, ended.stderr) == (0, "")
    log = tmp_path / "run.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    lines = log.read_text().splitlines()
    one = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[\d+\] INFO djlink"
    assert [re.sub(one, "", each) for each in lines[::2]] == [".manifest: read djlink.yaml: 0 problems"] * 2
    assert [re.sub(one, "", each) for each in lines[1::2]] == [": djlink validate ended with 0"] * 2


def test_an_error_is_logged_by_the_exit_code_and_the_arguments_are_not(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    log = tmp_path / "x.log"
    for environ in ({}, USERS):
        ended = djlink(tmp_path, "explain", "lab_a.s.T", f"id={SECRET}-key", DJLINK_LOG=str(log), **environ)
        assert ended.returncode == 1
    assert log.read_text().splitlines()[-1].endswith("djlink explain ended with 1")
    assert SECRET not in log.read_text()
    djlink(tmp_path, "pln", DJLINK_LOG=str(log))
    assert log.read_text().splitlines()[-1].endswith("djlink: djlink ended with 1")


@pytest.mark.parametrize(
    ("value", "shown"), [("debug", True), ("INFO", True), ("info:", True), ("info:a.log", False), ("", False)]
)
def test_a_level_alone_is_shown_on_stderr(value: str, shown: bool, tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    ended = djlink(tmp_path, "validate", DJLINK_LOG=value)
    assert ended.stdout.startswith("djlink.yaml: valid")
    assert ("read djlink.yaml" in ended.stderr) is shown


def test_debug_and_the_environment_show_a_line_once_and_leave_no_handler(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    ended = djlink(tmp_path, "validate", "--debug", DJLINK_LOG="info")
    assert ended.stderr.count("read djlink.yaml") == 1
    ended = djlink(tmp_path, "validate", "--debug", DJLINK_LOG="info:a.log")
    assert ended.stderr.count("read djlink.yaml") == 1
    assert (tmp_path / "a.log").read_text().count("read djlink.yaml") == 1
    logger = logging.getLogger("djlink")
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)


@pytest.mark.parametrize(("value", "name"), [("nowhere/x.log", "nowhere/x.log"), ("debug:.", ".")])
def test_a_log_that_cannot_be_written_is_an_error_before_anything_is_done(
    value: str, name: str, tmp_path: Path
) -> None:
    ended = djlink(tmp_path, "init", DJLINK_LOG=value)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"the log {name} of DJLINK_LOG cannot be written" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_log_on_a_full_disk_does_not_end_the_work(tmp_path: Path) -> None:
    written(tmp_path, MANIFEST, "djlink.yaml")
    ended = djlink(tmp_path, "validate", DJLINK_LOG="/dev/full")
    assert (ended.returncode, ended.stderr) == (0, "")
