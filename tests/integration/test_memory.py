"""The memory of commands does not grow with the rows of a table, nor with the columns of its key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from tests.support.rig import Rig, everything
from tests.support.sql import DEEP, numbers, run_all

MOST = 200 << 10  # KB
COUNT = 100_000  # twice what is compared at once
# what the process held at most, by itself: what the system counts of a child begins with its parent's memory
PEAK = """
import sys
from djlink_manifest.cli import run
code = run(sys.argv[1:])
print("peak", open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(code)
"""


def peak(rig: Rig, *arguments: str) -> tuple[int, int]:
    """Run djlink in a process of its own; its exit code, and its peak memory in KB."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments, "-f", "djlink.yaml"],
        cwd=rig.folder,
        env={**os.environ, **rig.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "peak " in done.stderr, done.stderr
    return done.returncode, int(done.stderr.rpartition("peak ")[2])


def test_a_pull_and_a_plan_of_100_000_keys_of_16_columns_stay_under_200_mb(
    rig: Rig, record_property: Callable[[str, object], None]
) -> None:
    names = [f"k{n}" for n in range(16)]
    kinds = ("int", "varchar(20)", "date", "datetime(3)")
    values = (
        "i",
        "CONCAT('subject ', i)",
        "'2026-01-01' + INTERVAL i % 900 DAY",
        "'2026-01-02 03:04:05.678'",
    )
    columns = ", ".join(f"{name} {kinds[n % 4]}" for n, name in enumerate(names))
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        f"CREATE TABLE {{lab}}.wide ({columns}, PRIMARY KEY ({', '.join(names)}))",
        f"INSERT {DEEP} INTO {{lab}}.wide {numbers(COUNT)} SELECT {', '.join(4 * values)} FROM n",
    )
    rig.accounts({"lab_a": ["lab"]})
    rig.write(everything(rig))
    local_schema = f"`{rig.local_schema('lab_a', 'lab')}`.wide"
    peaks = {}
    code, peaks["pull"] = peak(rig, "apply", "--auto-approve")
    assert code == 0
    assert rig.servers.local.execute(f"SELECT COUNT(*) FROM {local_schema}") == [(COUNT,)]
    # one key in twenty: every bucket differs, and all keys travel
    rig.servers.local.execute(f"DELETE FROM {local_schema} WHERE k0 % 20 = 0")
    code, peaks["plan"] = peak(rig, "plan", "--detailed-exitcode")
    assert code == 2
    assert max(peaks.values()) < MOST, peaks
    record_property("told", f"peaks in KB: {peaks}")
