"""`make bench`: start throwaway servers, build the data, measure, print the table and save it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.ground import SCHEMA, Ground, grounds
from benchmarks.measures import FULL, QUICK, Result, measured, measures
from djlink_manifest.sandbox.binaries import Vendor

PAIRS: tuple[tuple[Vendor, Vendor], ...] = (("mysql", "mysql"), ("mariadb", "mysql"))
MOST_MEGABYTES = 200


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="make bench", description="djlink beside its peers, in one run")
    parser.add_argument("--full", action="store_true", help="the large sizes too; takes hours")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--only", nargs="*", default=[], help="measures by name, such as: narrow plan")
    parser.add_argument("--source", choices=["mysql", "mariadb"], help="only pairs with this source")
    parser.add_argument("--save", type=Path, default=Path("build/benchmarks"), help="folder of the results")
    options = parser.parse_args()
    results = list[Result]()
    started = time.strftime("%Y-%m-%d %H:%M")
    for source, local in PAIRS:
        if options.source not in (None, source):
            continue
        with tempfile.TemporaryDirectory() as folder, grounds(source, local, Path(folder)) as ground:
            for name, measure in measures(FULL if options.full else QUICK).items():
                if options.only and name.split()[0] not in options.only:
                    continue
                for result in measured(ground, measure, options.runs):
                    print(f"{result.pair}, {measure.what}: {_latest(result)}", flush=True)
                results.append(result)
                _tidy(ground, name)
    text = "\n".join([*_machine(started), "", *_table(results)])
    print("\n" + text)
    _save(options.save, text, results)


def _latest(result: Result) -> str:
    other = f", {result.measure.peer} {result.others[-1].seconds:.2f} s" if result.others else ""
    return f"{result.uses[-1].seconds:.2f} s{other}; load {os.getloadavg()[0]:.1f}"


def _tidy(ground: Ground, name: str) -> None:
    """Drop what later measures do not use, for the disk's sake."""
    used = {"blobs": ["wide"], "parts": ["scan__field", "scan"]}.get(name, [])
    if used:
        ground.forget()
    for table in used:
        ground.source.execute(f"DROP TABLE {SCHEMA}.{table}")


def _machine(started: str) -> list[str]:
    cpus = {
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    }
    load = "/".join(f"{n:.1f}" for n in os.getloadavg())
    return [
        f"{started}, {os.cpu_count()} cores ({', '.join(cpus) or platform.processor()}), {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; load at the end {load}",
    ]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _table(results: Iterable[Result]) -> list[str]:
    lines = [
        "| servers | measure | djlink | peer | ratio | to reach | peak | wire |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        measure, ratio = each.measure, each.ratio
        lines.append(
            f"| {each.pair} | {measure.what} | {each.seconds:.2f} s "
            f"| {f'{measure.peer} {each.other_seconds:.2f} s' if each.other_seconds else '-'} "
            f"| {f'{ratio:.2f}' if ratio else '-'} | {f'≤ {measure.target}' if measure.target else '-'} "
            f"| {each.megabytes:.0f} MB | {f'{each.kilobytes:.0f} KB' if each.kilobytes else '-'} |"
        )
    most = max((each.megabytes for each in results), default=0)
    return [*lines, "", f"Highest peak: {most:.0f} MB (to stay below {MOST_MEGABYTES})."]


def _save(folder: Path, text: str, results: Iterable[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S")
    (folder / f"{name}.md").write_text(text + "\n")
    raw = [
        {
            "pair": each.pair,
            "measure": each.measure.what,
            "peer": each.measure.peer,
            "seconds": [u.seconds for u in each.uses],
            "peer_seconds": [u.seconds for u in each.others],
            "peak_megabytes": each.megabytes,
            "wire_kilobytes": each.kilobytes,
        }
        for each in results
    ]
    (folder / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(f"saved as {folder / name}.md and .json")


if __name__ == "__main__":
    main()
