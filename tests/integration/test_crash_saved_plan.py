"""`apply FILE` killed at any change, then run again: the rest is done, or the file is stale."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import called
from tests.support.faults.scene import VOLATILE, SourceLinks, evenly, set_up
from tests.support.invariants.protection import check_whole
from tests.support.pipelines.deletion import TABLES, auto, document, request
from tests.support.rig import own_rig
from tests.support.servers import ALIKE, CROSSED, Servers

MOMENTS = (*VOLATILE, "djlink_entry", "granted_at", "approved_at", "at", "made")
TRIES = 5
CODE = """
import os, signal, sys
from djlink_manifest.cli import run
from djlink_manifest.reconcile.runtime import batches
from tests.support.faults.crash import changes
from tests.support.statements import watched

at, made = int(sys.argv[1]), []
batches.BATCH_ENTITIES = 2

def stop_here(statement):
    if changes(statement):
        made.append(statement.text)
        if len(made) == at:
            os.kill(os.getpid(), signal.SIGKILL)

with watched(stop_here):
    code = run(["apply", "plan.json", "--parallelism", "1"])
open("made", "w").write(str(len(made)))
sys.exit(code)
"""
PAIRS = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)


class Case:
    """A scene with a plan's file, and the command in its folder."""

    def __init__(self, found: SourceLinks) -> None:
        self.found, self.rig = found, found.rig

    def djlink(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return called(*arguments, environ=self.rig.environ, folder=self.rig.folder)

    def killed(self, at: int) -> int:
        """Apply the file in a process that kills itself at a change; its exit code."""
        ended = subprocess.run(
            [sys.executable, "-c", CODE, str(at)],
            cwd=self.rig.folder,
            env={**os.environ, **self.rig.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        self.found.wait_for_the_dead()
        return ended.returncode

    def changes(self) -> int:
        """How many changes the whole apply makes."""
        assert self.killed(0) == 0
        return int((self.rig.folder / "made").read_text())

    def state(self) -> Any:
        """What stands, but for moments and the ledger, which tells of the way."""
        source, local = (saved.without(*MOMENTS) for saved in self.found.state())
        return {n: t for n, t in source.items() if not n.endswith("_history")}, local

    def check_rest(self) -> None:
        assert "No changes" in self.djlink("plan").stdout
        check_whole(self.rig, self.found.links)


@contextmanager
def case(servers: Servers, *, deletions: bool) -> Iterator[Case]:
    with own_rig(servers) as rig:
        for statement in TABLES:
            rig.run("lab_a", statement)
        rig.accounts({"lab_a": ["lab"]})
        if deletions:
            assert rig.apply(auto(rig))[1].succeeded
            request(rig, "spikes", "id IN (2, 3)")
            rig.run("lab_a", "INSERT INTO {lab}.spikes VALUES (4, NULL, NULL, NULL)")
        else:
            assert rig.apply(document(rig, ["Subject"]))[1].succeeded
            rig.run("lab_a", "INSERT INTO {lab}.subject VALUES ('joe', 'cat'), ('kim', 'cat')")
        rig.write(auto(rig))
        with rig.job(auto(rig)) as job:
            links = job.links
        with set_up(rig, links) as found:
            made = Case(found)
            assert made.djlink("plan", "--out", "plan.json").returncode == 0
            yield made


@PAIRS
def test_what_makes_and_pulls_is_ended_by_the_same_file(servers: Servers) -> None:
    with case(servers, deletions=False) as at:
        count = at.changes()
        whole = at.state()
        at.check_rest()
        for number in evenly(range(1, count + 1), TRIES):
            at.found.put_back()
            assert at.killed(number) == -signal.SIGKILL
            again = at.djlink("apply", "plan.json")
            assert again.returncode == 0, (number, again.stderr)
            assert at.state() == whole, number
        at.check_rest()


@PAIRS
def test_what_lets_go_is_ended_by_the_same_file_or_by_a_new_plan(servers: Servers) -> None:
    ended = set[int]()
    with case(servers, deletions=True) as at:
        count = at.changes()
        whole = at.state()
        at.check_rest()
        for number in evenly(range(1, count + 1), TRIES):
            at.found.put_back()
            assert at.killed(number) == -signal.SIGKILL
            left = at.state()
            again = at.djlink("apply", "plan.json")
            ended.add(again.returncode)
            if again.returncode:
                assert "plan.json is stale" in again.stderr, (number, again.stderr)
                assert at.state() == left, number
                assert at.djlink("plan", "--out", "new.json").returncode == 0
                assert at.djlink("apply", "new.json").returncode == 0
            assert at.state() == whole, number
        at.check_rest()
    assert ended == {0, 1}, "some kills come before anything is let go, and some after"
