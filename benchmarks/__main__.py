"""`make bench`: start throwaway servers, build the data, measure, print the table and save it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pymysql

from benchmarks import link_package
from benchmarks.ground import SCHEMA, BenchmarkFailed, Ground, grounds
from benchmarks.measures import growth, measures
from benchmarks.results import Measure, Result, machine, save, table
from benchmarks.runs import measured
from benchmarks.sizes import FULL, QUICK
from djlink_manifest.sandbox.servers.binaries import Vendor

PAIRS: tuple[tuple[Vendor, Vendor], ...] = (("mysql", "mysql"), ("mariadb", "mysql"))
STANDS_ON = {"plan": "narrow", "changes": "narrow", "key-plan": "key"}


def main() -> None:
    """Measure what the arguments ask for."""
    options = _options()
    if not options.only or "package" in options.only:
        link_package.environment()
    name, head = time.strftime("%Y%m%d-%H%M%S"), [f"{time.strftime('%Y-%m-%d %H:%M')}, {machine()}"]
    failed, text = list[str](), ""
    results, started = list[Result](), time.monotonic()
    for source, local in PAIRS:
        if options.source not in (None, source):
            continue
        with tempfile.TemporaryDirectory() as folder, grounds(source, local, Path(folder)) as catalogs:
            head.append(f"{catalogs.pair}: {', '.join(catalogs.versions())}")
            for measure in _chosen(options):
                before = time.monotonic()
                result = None
                try:
                    for result in measured(catalogs, measure, options.runs):
                        print(result.latest(), flush=True)
                except (BenchmarkFailed, pymysql.MySQLError) as error:
                    failed.append(f"{catalogs.pair}, {measure.what}: {error}")
                    print(f"FAILED: {failed[-1]}", flush=True)
                if result is not None and len(result.loads) == len(result.uses):
                    results.append(result)
                _tidy(catalogs, measure)
                print(f"  {_minutes(before)} with its data, {_minutes(started)} in all", flush=True)
                text = _text(head, started, results)
                save(options.save, name, text, results)
    print("\n" + text)
    print(f"saved as {options.save / name}.md and .json")
    if failed:
        sys.exit(f"{len(failed)} failed: {'; '.join(each.splitlines()[0] for each in failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="djlink beside its peers, in one run")
    parser.add_argument("--full", action="store_true", help="the large sizes too; takes hours")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all sizes, such as: 0.01")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--only", nargs="*", default=[], help="measures by name, such as: narrow plan")
    parser.add_argument("--source", choices=["mysql", "mariadb"], help="only pairs with this source")
    parser.add_argument("--save", type=Path, default=Path("build/benchmarks"), help="folder of the results")
    options = parser.parse_args()
    known = {name.split()[0] for name in measures(QUICK)} | {"growth"}
    for unknown in sorted(set(options.only) - known):
        parser.error(f"no measure is called {unknown}; there are {', '.join(sorted(known))}")
    if options.runs < 1:
        parser.error("--runs is at least 1")
    return options


def _chosen(options: argparse.Namespace) -> list[Measure]:
    """The measures that were asked for, with the pulls that they stand on."""
    sizes = (FULL if options.full else QUICK).scaled(options.scale)
    wanted = {name for each in options.only for name in (each, STANDS_ON.get(each))}
    found = {**measures(sizes), **growth(sizes)}
    return [each for name, each in found.items() if not wanted or name.split()[0] in wanted]


def _text(head: Iterable[str], started: float, results: Iterable[Result]) -> str:
    load = "/".join(f"{n:.1f}" for n in os.getloadavg())
    return "\n".join([*head, f"load at the end {load}; {_minutes(started)}", "", *table(results)])


def _minutes(since: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - since), 60)
    return f"{minutes} min {seconds:02} s"


def _tidy(catalogs: Ground, measure: Measure) -> None:
    """Drop what later measures do not use, for the disk's sake."""
    if measure.scratch:
        catalogs.forget()
    for each in measure.scratch:
        catalogs.source.execute(f"DROP TABLE IF EXISTS {SCHEMA}.{each}")


if __name__ == "__main__":
    main()
