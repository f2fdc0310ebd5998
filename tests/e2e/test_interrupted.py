"""A person at a terminal: Ctrl-C once, twice, and a second djlink beside the first."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import run, start
from tests.support.faults.pipeline import Faulty, faulty, wait_for
from tests.support.faults.proxy import Proxy, Verdict, Wire, proxied
from tests.support.servers import Servers

APPLY = ("apply", "--auto-approve", "--parallelism", "1")


@pytest.fixture
def lab(servers: Servers, tmp_path: Path) -> Iterator[Faulty]:
    with faulty(servers, tmp_path) as found:
        found.make_tables()
        yield found


def local_sessions(lab: Faulty) -> int:
    return int(lab.rig.run("local", f"SELECT COUNT(*) FROM `{lab.local}`.session")[0][0])


@contextmanager
def slow_apply(lab: Faulty) -> Iterator[tuple[subprocess.Popen[str], Proxy]]:
    """An apply that has committed two of the four batches of Session, and waits for the rows of the third."""
    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        path, batches = lab.rig.write(lab.document, "slow.yaml"), list[bytes]()

        def hold(wire: Wire, data: bytes) -> Verdict:
            if all(each in data for each in (b"\x03SELECT STRAIGHT_JOIN", b"session__trial")):
                batches.append(data)
                if len(batches) == 3:
                    proxy.flowing.clear()
            return "pass"

        proxy.up = hold
        with start(lab.rig, path, *APPLY, batch=2) as process:
            try:
                wait_for(lambda: not proxy.flowing.is_set() or process.poll() is not None)
                assert process.poll() is None, process.communicate()
                assert local_sessions(lab) == 4
                yield process, proxy
            finally:
                proxy.flowing.set()
                if process.poll() is None:
                    process.kill()


def check_next(lab: Faulty) -> None:
    """The next apply goes on from there."""
    code, out, err = run(lab.rig, lab.rig.write(lab.document), *APPLY)
    assert code == 0, out + err
    lab.check_finished()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_ctrl_c_finishes_the_batch_in_hand_and_sums_up(lab: Faulty, number: signal.Signals) -> None:
    with slow_apply(lab) as (process, proxy):
        process.send_signal(number)
        proxy.flowing.set()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Finishing the current batches" in err
    assert "Interrupted. Committed changes are kept; run `djlink apply -f " in out
    assert "Traceback" not in out + err
    assert local_sessions(lab) == 6
    assert "committed before: 6 rows pulled" in out
    check_next(lab)


def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing_half_done(lab: Faulty) -> None:
    with slow_apply(lab) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "Finishing" not in process.stderr.readline():
            pass
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert time.monotonic() - started < 10
        assert "Aborted. Committed changes are kept" in process.stderr.read()
    check_next(lab)


def test_a_second_process_fails_at_once_and_says_who_works_since_when_and_where(lab: Faulty) -> None:
    path = lab.rig.write(lab.document)
    with slow_apply(lab) as (process, proxy):
        started = time.monotonic()
        code, out, err = run(lab.rig, path, *APPLY)
        assert time.monotonic() - started < 30
        assert code == 1, out + err
        who = f"{getpass.getuser()}@{socket.gethostname()} (process {process.pid}, since 2"
        assert "another djlink works on this link" in err
        assert who in err
        assert "its lock ends with it" in err
        assert "Traceback" not in out + err
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        proxy.cut()
        wait_for(lambda: not lab.rig.own_sessions("lab_a") | lab.rig.own_sessions("local"))
    check_next(lab)


def test_the_second_of_two_manifests_over_one_outbound_schema_is_refused_its_links_alone(lab: Faulty) -> None:
    other = lab.rig.document({"lab_a": {"lab": {"tables": ["Subject"]}}, "lab_b": {"lab": {"tables": "*"}}})
    other["name"] = lab.rig.names("other")
    other["defaults"] = {"schema_name": lab.rig.names("other_{source}_{schema}")}
    code, out, err = run(lab.rig, lab.rig.write(other, "other.yaml"), *APPLY)
    assert code == 1
    assert f"belongs to the manifest {lab.rig.names('atlas')}" in out.replace("`", "")
    assert "Traceback" not in out + err
    check_next(lab)
