"""`djlink demo` as a person or a CI job runs it: real servers, the real command, and nothing left behind."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from djlink_manifest.sandbox.demo.folder import MANIFEST, shipped_manifest

DEMO = [sys.executable, "-m", "djlink_manifest", "demo"]
README = Path(__file__).parents[2] / "README.md"
STATIONS = (
    "Preview the changes",
    "Apply them",
    "Princeton records three more sessions",
    "The owner at princeton deletes rows",
    "The local server",
    "What to try next",
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A demo run to its end without a terminal, and the folder that it ran in."""
    place = tmp_path_factory.mktemp("demo")
    ended = subprocess.run(
        DEMO, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False
    )
    return place, ended


def ports(output: str) -> list[int]:
    return [int(port) for port in re.findall(r" at 127\.0\.0\.1:(\d+),", output)]


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_demo_runs_to_its_end_through_all_stations(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, ended = demo
    assert ended.returncode == 0, ended.stdout + ended.stderr
    at = [ended.stdout.index(f"== {station} ==") for station in STATIONS]
    assert at == sorted(at)


def test_the_demo_shows_each_command_that_it_runs(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, ended = demo
    commands = re.findall(r"^\$ djlink (\w+)", ended.stdout, re.MULTILINE)
    assert commands == ["plan", "apply", "plan", "apply", "requests", "approve", "apply"]


def test_the_source_refuses_to_delete_what_was_pulled_in_the_servers_words(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, ended = demo
    station = ended.stdout.partition("== The owner at princeton deletes rows ==")[2]
    assert re.search(r"ERROR (1217|1451): Cannot delete or update a parent row", station)
    assert re.search(r"[1-9]\d* rows deleted", station)


def test_local_counts_equal_the_sources_where_all_is_wanted_and_are_fewer_where_not(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, ended = demo
    rows = re.findall(r"^  ([a-z]+\.[\w.]+) +(\d+) +(\d+)$", ended.stdout, re.MULTILINE)
    counts = {name: (int(source), int(local)) for name, source, local in rows}
    assert len(counts) == 16
    for name in ("behavior.Mouse", "imaging.Scan.Field", "imaging.Segmentation.Cell"):
        assert counts[name][0] == counts[name][1] > 0
    assert counts["session.Session"] == (14, 11)  # three of a rat
    assert counts["lab.Subject"] == (5, 4)
    assert counts["ephys.Recording.Channel"] == (84, 66)
    assert counts["lab.Species"] == (3, 1)  # needed: mice alone
    assert counts["lab.User"] == (5, 4)


def test_the_plan_in_the_readme_is_what_the_demo_shows(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    def steady(text: str) -> list[str]:
        """The lines without what may differ: times, estimates of bytes, versions, digests."""
        return re.sub(r"\d+\.\ds|~[\d.,]+ [kM]?B|< 16 kB|mysql [\d.]+|@ [0-9a-f]{7}", "…", text).splitlines()

    _, ended = demo
    (shown,) = re.findall(
        r"^```text\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    station = ended.stdout.partition("== Princeton records three more sessions ==")[2]
    plan = station[station.index("$ djlink plan") : station.index("$ djlink apply")]
    assert steady(shown.rstrip()) == steady(plan.rstrip())


def test_a_deletion_is_asked_for_seen_approved_and_done(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, ended = demo
    station = ended.stdout.partition("== Princeton requests the deletion of a session ==")[2]
    station = station.partition("== The local server ==")[0]
    assert "(today): wrong animal" in station
    assert "delete 1 local row: deletion requested, approved by a.lee" in station
    assert "1 of princeton.ephys.Spikes" in station
    assert "  1 session deleted" in station


def test_linked_tables_are_joined_on_the_local_server(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, ended = demo
    joined = ended.stdout.partition("== The local server ==")[2]
    assert "José Núñez" in joined
    assert "unit_count" in joined


def test_only_the_manifest_stays_when_the_servers_are_gone(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    place, ended = demo
    assert [path.name for path in (place / "djlink-demo").iterdir()] == [MANIFEST]
    assert (place / "djlink-demo" / MANIFEST).read_text(encoding="utf-8") == shipped_manifest()
    assert len(ports(ended.stdout)) == 3
    assert not any(is_listening(port) for port in ports(ended.stdout))


def test_a_folder_with_another_manifest_is_refused_before_any_server_starts(tmp_path: Path) -> None:
    (tmp_path / "djlink-demo").mkdir()
    own = tmp_path / "djlink-demo" / MANIFEST
    own.write_text("mine: 1\n")
    ended = subprocess.run(
        DEMO, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert MANIFEST in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Starting" not in ended.stdout
    assert own.read_text() == "mine: 1\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_in_the_middle_stops_the_servers_and_removes_the_credentials(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with subprocess.Popen(
        DEMO,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A group of its own: the interrupt reaches demo and command, as a Ctrl-C would, and not the tests.
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as running:
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            if line.startswith("$ djlink apply"):
                os.killpg(running.pid, number)
                break
        said += running.stdout.read()
        assert running.wait(timeout=60) == code, said
    assert "Traceback" not in said
    assert [path.name for path in (tmp_path / "djlink-demo").iterdir()] == [MANIFEST]
    wait_until_gone(said)


@pytest.mark.timeout(300)
def test_at_a_terminal_the_servers_run_until_enter_and_what_is_suggested_works(tmp_path: Path) -> None:
    """The person's own terminal is a pseudo-terminal here; the suggestions are run as they are printed."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        DEMO, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as running:
        os.close(slave)
        try:
            said = read_until(master, "press Enter")
            folder = tmp_path / "djlink-demo"
            assert all(is_listening(port) for port in ports(said))
            assert (folder / "demo.env").stat().st_mode & 0o777 == 0o600
            assert "No changes" in in_the_folder(folder, "djlink plan").stdout
            (suggestion,) = re.findall(r"^  (python -c .*?)\r?$", said, re.MULTILINE)
            deleted = in_the_folder(folder, suggestion)
            assert deleted.returncode == 0, deleted.stderr
            assert "23 to resume" in in_the_folder(folder, "djlink plan").stdout
            assert in_the_folder(folder, "djlink apply --auto-approve").returncode == 0
            (wrong,) = re.findall(r"\((DEMO_JANELIA_PASSWORD=.*?)\)", said)
            refused = in_the_folder(folder, wrong)
            assert refused.returncode == 1
            assert "refused the login" in refused.stdout + refused.stderr
            manifest = folder / MANIFEST
            edited = manifest.read_text().replace("Subject: {where: {species: mouse}}", "Subject: {}")
            manifest.write_text(edited)
            assert "14 rows to pull" in in_the_folder(folder, "djlink plan").stdout
            os.write(master, b"\n")
            read_until(master, "The servers are stopped.")
            assert running.wait(timeout=60) == 0
        finally:
            if running.poll() is None:
                running.kill()
            os.close(master)
    assert not any(is_listening(port) for port in ports(said))
    assert [path.name for path in folder.iterdir()] == [MANIFEST]
    assert manifest.read_text() == edited


def test_kept_servers_outlive_the_demo_until_they_are_stopped_as_it_says(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*DEMO, "--keep"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    (stop,) = re.findall(r"(kill [\d ]+)", ended.stdout)
    try:
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert all(is_listening(port) for port in ports(ended.stdout))
        assert "No changes" in in_the_folder(tmp_path / "djlink-demo", "djlink plan").stdout
    finally:
        subprocess.run(["sh", "-c", stop], check=True)
    wait_until_gone(ended.stdout)


def in_the_folder(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the demo says: in its folder, with its environment."""
    return subprocess.run(
        ["sh", "-c", f". ./demo.env && {command}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read_until(terminal: int, words: str) -> str:
    """What appears on the terminal up to these words; fails where they do not come."""
    said = b""
    deadline = time.monotonic() + 150
    while words.encode() not in said and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:  # Linux's word for the end of a pseudo-terminal
                break
    text = said.decode(errors="replace")
    assert words in text, text
    return text


def wait_until_gone(output: str) -> None:
    deadline = time.monotonic() + 15
    while any(is_listening(port) for port in ports(output)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_listening(port) for port in ports(output))
