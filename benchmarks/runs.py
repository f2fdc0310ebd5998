"""What djlink does in the measures, and how runs take turns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from benchmarks import peers, tables
from benchmarks.ground import LOCAL, OUTBOUND, SCHEMA, BenchmarkFailed, Ground, Use
from benchmarks.results import Measure, Result, Run


def measured(catalogs: Ground, measure: Measure, runs: int) -> Iterator[Result]:
    """The result so far, after each run. Whoever is first takes turns; a peer that runs once is last."""
    measure.make(catalogs)
    result = Result(catalogs.pair, measure)
    for number in range(runs):
        steps = [(measure.subject, result.uses)]
        if measure.other is not None and not (measure.other_once and number):
            steps.insert(1 if measure.other_once else number % 2, (measure.other, result.others))
        for run, into in steps:
            into.append(run(catalogs))
        result.loads.append(os.getloadavg()[0])
        yield result


def pull(manifest: str, *found: str) -> Run:
    """A pull into nothing, of a manifest that links these tables."""

    def run(catalogs: Ground) -> Use:
        catalogs.forget()
        use = catalogs.djlink("apply", "--auto-approve", "-f", catalogs.manifest(manifest))
        for table in found:
            if catalogs.count(LOCAL, table) != catalogs.count(SCHEMA, table, at_source=True):
                raise BenchmarkFailed(f"djlink left rows of {table} behind")
        return use

    return run


def plan(manifest: str) -> Run:
    """A plan in which nothing is due."""

    def run(catalogs: Ground) -> Use:
        return counted(catalogs, manifest, "--detailed-exitcode")

    return run


def counted(catalogs: Ground, manifest: str, *options: str) -> Use:
    """A plan, with the bytes that both servers sent and received meanwhile."""
    before = catalogs.moved()
    idle = catalogs.moved() - before  # what asking costs
    before = catalogs.moved()
    use = catalogs.djlink("plan", "-f", catalogs.manifest(manifest), *options)
    return Use(use.seconds, use.megabytes, (catalogs.moved() - before - idle) / 1024)


def changed_plan(table: str) -> Run:
    """A plan after 100 rows scattered over a table were lost locally; they are put back."""

    def run(catalogs: Ground) -> Use:
        local_schema = f"{LOCAL}.{table}"
        catalogs.local.execute(
            f"CREATE TABLE {LOCAL}.aside AS SELECT * FROM {local_schema} WHERE DAYOFMONTH(day) = 7 LIMIT 100"
        )
        catalogs.local.execute(
            f"DELETE FROM {local_schema} WHERE (subject, day, number) IN"
            f" (SELECT subject, day, number FROM {LOCAL}.aside)"
        )
        try:
            return counted(catalogs, table)
        finally:
            catalogs.local.execute(f"INSERT INTO {local_schema} SELECT * FROM {LOCAL}.aside")
            catalogs.local.execute(f"DROP TABLE {LOCAL}.aside")

    return run


def counts(*names: str) -> Run:
    """COUNT(*) of the three tables of each link."""

    def run(catalogs: Ground) -> Use:
        return Use(
            sum(peers.counts(catalogs, f"{OUTBOUND}.bench_{n}", f"{LOCAL}.{n}", n).seconds for n in names)
        )

    return run


def catalogues(catalogs: Ground) -> Use:
    """One catalogue query per server: the columns of every table of ours on each."""
    with catalogs.cursors() as (source_cursor, local_cursor):
        started = time.monotonic()
        asking = "SELECT * FROM information_schema.columns WHERE table_schema IN %s"
        for cursor, schemas in ((source_cursor, (SCHEMA, OUTBOUND)), (local_cursor, (LOCAL,))):
            cursor.execute(asking, [schemas])
            cursor.fetchall()
        return Use(time.monotonic() - started)


def many(catalogs: Ground, links: int) -> None:
    """Have many small tables pulled."""
    tables.many(catalogs, links)
    catalogs.forget()
    catalogs.djlink("apply", "--auto-approve", "-f", catalogs.manifest('"many_*"'))


RESTRICTED = "{animal: {where: species = 1}, lesson: {}, trial: {}, remark: {}}"


def below(catalogs: Ground, rows: int) -> None:
    """Have what hangs on half of the animals pulled."""
    tables.below(catalogs, rows)
    catalogs.forget()
    catalogs.djlink("apply", "--auto-approve", "-f", catalogs.manifest(RESTRICTED))


def nothing(catalogs: Ground) -> None:
    """All that is needed is there."""
