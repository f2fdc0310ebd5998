"""What djlink does in the measures, and how runs take turns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from benchmarks import peers, tables
from benchmarks.ground import LOCAL, OUTBOUND, SCHEMA, BenchmarkFailed, Ground, Use
from benchmarks.results import Measure, Result, Run


def measured(ground: Ground, measure: Measure, runs: int) -> Iterator[Result]:
    """The result so far, after each run. Whoever is first takes turns; a peer that runs once is last."""
    measure.make(ground)
    result = Result(ground.pair, measure)
    for number in range(runs):
        steps = [(measure.subject, result.uses)]
        if measure.other is not None and not (measure.other_once and number):
            steps.insert(1 if measure.other_once else number % 2, (measure.other, result.others))
        for run, into in steps:
            into.append(run(ground))
        result.loads.append(os.getloadavg()[0])
        yield result


def pull(manifest: str, *found: str) -> Run:
    """A pull into nothing, of a manifest that links these tables."""

    def run(ground: Ground) -> Use:
        ground.forget()
        use = ground.djlink("apply", "--auto-approve", "-f", ground.manifest(manifest))
        for table in found:
            if ground.count(LOCAL, table) != ground.count(SCHEMA, table, at_source=True):
                raise BenchmarkFailed(f"djlink left rows of {table} behind")
        return use

    return run


def plan(manifest: str) -> Run:
    """A plan in which nothing is due."""

    def run(ground: Ground) -> Use:
        return counted(ground, manifest, "--detailed-exitcode")

    return run


def counted(ground: Ground, manifest: str, *options: str) -> Use:
    """A plan, with the bytes that both servers sent and received meanwhile."""
    before = ground.moved()
    idle = ground.moved() - before  # what asking costs
    before = ground.moved()
    use = ground.djlink("plan", "-f", ground.manifest(manifest), *options)
    return Use(use.seconds, use.megabytes, (ground.moved() - before - idle) / 1024)


def changed_plan(table: str) -> Run:
    """A plan after 100 rows scattered over a table were lost locally; they are put back."""

    def run(ground: Ground) -> Use:
        here = f"{LOCAL}.{table}"
        ground.local.execute(
            f"CREATE TABLE {LOCAL}.aside AS SELECT * FROM {here} WHERE DAYOFMONTH(day) = 7 LIMIT 100"
        )
        ground.local.execute(
            f"DELETE FROM {here} WHERE (subject, day, number) IN"
            f" (SELECT subject, day, number FROM {LOCAL}.aside)"
        )
        try:
            return counted(ground, table)
        finally:
            ground.local.execute(f"INSERT INTO {here} SELECT * FROM {LOCAL}.aside")
            ground.local.execute(f"DROP TABLE {LOCAL}.aside")

    return run


def counts(*names: str) -> Run:
    """COUNT(*) of the three tables of each link."""

    def run(ground: Ground) -> Use:
        return Use(
            sum(peers.counts(ground, f"{OUTBOUND}.bench_{n}", f"{LOCAL}.{n}", n).seconds for n in names)
        )

    return run


def catalogues(ground: Ground) -> Use:
    """One catalogue query per server: the columns of every table of ours on each."""
    with ground.cursors() as (source_cursor, local_cursor):
        started = time.monotonic()
        asking = "SELECT * FROM information_schema.columns WHERE table_schema IN %s"
        for cursor, schemas in ((source_cursor, (SCHEMA, OUTBOUND)), (local_cursor, (LOCAL,))):
            cursor.execute(asking, [schemas])
            cursor.fetchall()
        return Use(time.monotonic() - started)


def many(ground: Ground, links: int) -> None:
    """Have many small tables pulled."""
    tables.many(ground, links)
    ground.forget()
    ground.djlink("apply", "--auto-approve", "-f", ground.manifest('"many_*"'))


RESTRICTED = "{animal: {where: species = 1}, lesson: {}, trial: {}, remark: {}}"


def below(ground: Ground, rows: int) -> None:
    """Have what hangs on half of the animals pulled."""
    tables.below(ground, rows)
    ground.forget()
    ground.djlink("apply", "--auto-approve", "-f", ground.manifest(RESTRICTED))


def nothing(ground: Ground) -> None:
    """All that is needed is there."""
