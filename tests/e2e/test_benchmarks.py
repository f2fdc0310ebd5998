"""`make bench` at next to no size: it measures, ends well and saves its table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_benchmark_prints_and_saves_its_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "--scale", "0.001", "--runs", "1", "--source", "mysql"),
            *("--only", "deletion", "--save", str(tmp_path)),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [saved], [raw] = tmp_path.glob("*.md"), tmp_path.glob("*.json")
    assert "| MySQL to MySQL | deletion of 1,000 approved entities" in saved.read_text()
    assert saved.read_text().strip() in done.stdout
    [result] = json.loads(raw.read_text())
    assert len(result["seconds"]) == len(result["peer_seconds"]) == 1
    assert result["peak_megabytes"] > 20


def test_a_measure_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "narow"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no measure is called narow" in done.stderr
