"""What is built once is whole or absent, whoever builds it and whenever they are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from djlink_manifest.sandbox.servers.cache import built_once, cache_dir

BUILD = """
import sys, time
from pathlib import Path
from djlink_manifest.sandbox.servers.cache import built_once

def build(folder):
    (folder / "first").write_text("1")
    print("building", flush=True)
    time.sleep(float(sys.argv[1]))
    (folder / "second").write_text("2")
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")

print(built_once("thing", build), flush=True)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "djlink"


def building(seconds: float, log: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(seconds), str(log)], stdout=subprocess.PIPE, text=True
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_cache_is_in_the_place_that_the_system_names(cache: Path) -> None:
    assert cache_dir() == cache
    assert cache.stat().st_mode & 0o777 == 0o700


def test_of_several_that_ask_at_once_one_builds_and_all_get_it(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [building(0.3, log) for _ in range(4)]
    answers = {process.communicate()[0].split()[-1] for process in processes}
    assert answers == {str(cache / "thing")}
    assert log.read_text() == "built\n"


def test_what_a_killed_process_left_half_built_is_built_anew(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed = building(600, log)
    assert first_line(killed) == "building"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (cache / "thing").exists()
    assert building(0, log).wait() == 0
    assert {path.name for path in (cache / "thing").iterdir()} == {"first", "second"}


def test_a_failed_build_leaves_nothing_and_says_why(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "first").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        built_once("thing", fail)
    assert [path.name for path in cache.iterdir()] == ["thing.lock"]
