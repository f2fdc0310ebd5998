"""`show` and `apply` of files that are no plans, or cannot be read: a clear error, and nothing is done."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.command import called

PLAN = Path(__file__).parents[1] / "unit" / "plan_files" / "version_1.json"


def refused(folder: Path, *arguments: str) -> str:
    """The words for a command that fails at once."""
    ended = called(*arguments, environ={}, folder=folder)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "next: " in ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize("command", ["show", "apply"])
def test_what_is_no_plan_is_refused(command: str, tmp_path: Path) -> None:
    (tmp_path / "empty.json").touch()
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "loop.json").symlink_to("loop.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2**30)
    (tmp_path / "cut.json").write_bytes(PLAN.read_bytes()[:5000])
    for name, words in (
        ("empty.json", "empty.json is not valid JSON (line 1, column 1)"),
        ("folder.json", "folder.json"),
        ("pipe.json", "pipe.json is not a regular file"),
        ("/dev/zero", "/dev/zero is not a regular file"),
        ("loop.json", "loop.json cannot be read"),
        ("huge.json", "huge.json is larger than any plan (64 MiB)"),
        ("cut.json", "cut.json is not valid JSON"),
        ("missing.json", "missing.json cannot be read: No such file or directory"),
        ("nul\0.json", "cannot be read"),
        ("djlink.yaml", "djlink.yaml cannot be read"),
    ):
        assert words in refused(tmp_path, command, name), name


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # who may read every file, but not the memory of the process at the address 0
        assert "Input/output error" in refused(tmp_path, "show", "/proc/self/mem")
        return
    (tmp_path / "plan.json").write_bytes(PLAN.read_bytes())
    (tmp_path / "plan.json").chmod(0)
    assert "Permission denied" in refused(tmp_path, "show", "plan.json")


def test_a_plan_of_an_earlier_version_is_shown_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(PLAN.read_bytes())
    found = dict[str, subprocess.CompletedProcess[str]]()
    for option in ("--json", "--markdown", "--html", "--summary", "--full"):
        found[option] = called("show", "plan.json", option, environ={}, folder=tmp_path)
        assert found[option].returncode == 0, found[option].stderr
        assert "lab_a.ephys" in found[option].stdout
    assert json.loads(found["--json"].stdout)["format_version"] == 2
    assert found["--html"].stdout.lstrip().lower().startswith("<!doctype html")
    assert "cannot be combined" in refused(tmp_path, "show", "plan.json", "--json", "--html")


def test_what_a_plan_says_cannot_move_a_terminal(tmp_path: Path) -> None:
    value = json.loads(PLAN.read_bytes())
    value["warnings"] = ["\x1b[2J\x1b]0;owned\x07", "\u202egnirts", "[bold red]x[/]"]
    (tmp_path / "plan.json").write_text(json.dumps(value))
    for option in ("--full", "--json", "--markdown", "--html"):
        shown = called("show", "plan.json", option, environ={}, folder=tmp_path)
        assert shown.returncode == 0, shown.stderr
        for sign in ("\x1b", "\x07", "\u202e"):
            assert sign not in shown.stdout, option
