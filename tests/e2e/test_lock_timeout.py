"""`apply --lock-timeout`: two processes want the same links; the second waits, gives up or is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import called, start
from tests.support.pipelines.deletion import TABLES, document, local
from tests.support.rig import Rig
from tests.support.servers import ALIKE, CROSSED

SUBJECTS = 400
PATIENCE = 60.0


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def pulled(rig: Rig) -> int:
    try:
        return len(local(rig, "subject"))
    except Exception:  # the table is not made yet
        return 0


@pytest.fixture
def manifest(rig: Rig) -> Path:
    for statement in TABLES[:2]:
        rig.run("lab_a", statement)
    values = ", ".join(f"('s{number}', 'mouse')" for number in range(SUBJECTS))
    rig.run("lab_a", f"INSERT INTO {{lab}}.subject VALUES {values}")
    rig.accounts({"lab_a": ["lab"]})
    return rig.write(document(rig))


@pytest.fixture
def stopped(rig: Rig, manifest: Path) -> Iterator[subprocess.Popen[str]]:
    """An apply that holds its locks, in the middle of its rows; it goes on with SIGCONT."""
    process = start(rig, manifest, "apply", "--auto-approve", batch=1)
    try:
        until(lambda: pulled(rig) > 2)
        process.send_signal(signal.SIGSTOP)
        assert pulled(rig) < SUBJECTS
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        if process.poll() is None:
            process.kill()
        process.communicate()


def second(rig: Rig, manifest: Path, *options: str) -> subprocess.Popen[str]:
    return start(rig, manifest, "apply", "--auto-approve", *options)


@pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)
def test_a_second_apply_fails_waits_or_is_interrupted(
    rig: Rig, manifest: Path, stopped: subprocess.Popen[str]
) -> None:
    holder = f"(process {stopped.pid}, since "

    at_once = second(rig, manifest)
    _, err = at_once.communicate(timeout=PATIENCE)
    assert (at_once.returncode, "another djlink works on this link" in err) == (1, True)
    assert "`djlink apply --auto-approve --lock-timeout 10m`" in " ".join(err.split()).replace(
        f"-f {manifest} ", ""
    )

    plan = start(rig, manifest, "plan", "--out", str(rig.folder / "p.json"))
    _, err = plan.communicate(timeout=PATIENCE)
    assert plan.returncode == 0, err
    for options in ([], ["--lock-timeout", "1s"]):
        kept = start(rig, manifest, "apply", str(rig.folder / "p.json"), "--json", *options)
        out, err = kept.communicate(timeout=PATIENCE)
        refused = json.loads(out.splitlines()[-1])
        assert (kept.returncode, refused["type"]) == (1, "refused"), out
        assert "another djlink" in refused["reason"]
        for text in (err, refused["hint"]):
            assert "p.json" in text
            assert "--lock-timeout" in text

    given_up = second(rig, manifest, "--lock-timeout", "1s")
    out, err = given_up.communicate(timeout=PATIENCE)
    assert given_up.returncode == 1
    assert "still works on this link after 1 s" in err
    assert holder in err
    assert out == ""  # nothing was planned

    interrupted = second(rig, manifest, "--lock-timeout", "10m")
    assert interrupted.stderr is not None
    said = interrupted.stderr.readline()
    assert "waiting up to 600 s for" in said
    assert holder in said
    interrupted.send_signal(signal.SIGINT)
    _, err = interrupted.communicate(timeout=PATIENCE)
    assert interrupted.returncode == 130
    assert "Interrupted" in err

    waiting = second(rig, manifest, "--lock-timeout", "5m")
    assert waiting.stderr is not None
    assert "waiting up to 300 s" in waiting.stderr.readline()
    stopped.send_signal(signal.SIGCONT)
    assert stopped.wait(PATIENCE) == 0, stopped.communicate()
    out, err = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 0, err
    assert "No changes" in out  # it read the servers anew
    assert pulled(rig) == SUBJECTS


def test_a_duration_is_a_number_with_a_unit(tmp_path: Path) -> None:
    for text in ("soon", "-1s", "5d", "1e9", "", "s"):
        ended = called("apply", f"--lock-timeout={text}", environ={}, folder=tmp_path)
        assert ended.returncode == 1
        assert "write a duration: 30s, 5m, 1h" in ended.stderr
