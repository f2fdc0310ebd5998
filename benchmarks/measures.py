"""The measures: each a subject (djlink) and its peers, run one after the other, several times over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks import peers, tables
from benchmarks.ground import LOCAL, OUTBOUND, SCHEMA, BenchmarkFailed, Ground, Use

Run = Callable[[Ground], Use]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    narrow: int
    script: int
    blobs: int
    masters: int
    links: int
    growth: tuple[int, ...] = ()


QUICK = Sizes(narrow=1_000_000, script=100_000, blobs=300, masters=30_000, links=1_000)
FULL = Sizes(1_000_000, 1_000_000, 2_000, 100_000, 1_000, growth=(100_000, 1_000_000, 10_000_000))


@dataclass(frozen=True, slots=True)
class Measure:
    """A run of djlink beside a peer's. `target` is the ratio of seconds to reach, where there is a peer."""

    what: str
    peer: str
    target: float | None
    make: Callable[[Ground], None]
    subject: Run
    other: Run | None = None


@dataclass(slots=True)
class Result:
    """What was measured."""

    pair: str
    measure: Measure
    uses: list[Use] = field(default_factory=list)
    others: list[Use] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median of djlink's runs."""
        return median(u.seconds for u in self.uses)

    @property
    def other_seconds(self) -> float | None:
        """The median of the peer's runs."""
        return median(u.seconds for u in self.others) if self.others else None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of the pairs of runs."""
        if not self.others:
            return None
        return median(a.seconds / b.seconds for a, b in zip(self.uses, self.others, strict=True))

    @property
    def megabytes(self) -> float:
        """The highest peak of djlink's runs."""
        return max(u.megabytes for u in self.uses)

    @property
    def kilobytes(self) -> float:
        """The median of what went over the wire, where it was counted."""
        return median(u.kilobytes for u in self.uses)


def measures(sizes: Sizes) -> Mapping[str, Measure]:
    """All measures of one pair of servers, by a short name."""
    found = {
        "narrow": Measure(
            f"pull of {sizes.narrow:,} narrow rows",
            "dump pipe",
            1.0,
            lambda g: tables.narrow(g, sizes.narrow),
            pull("narrow", "narrow"),
            lambda g: peers.dump_pipe(g, "narrow"),
        ),
        "script": Measure(
            f"pull of {sizes.script:,} narrow rows",
            "DataJoint script",
            0.15,
            lambda g: tables.narrow(g, sizes.script, "script"),
            pull("script", "script"),
            lambda g: peers.datajoint_script(g, "script"),
        ),
        "blobs": Measure(
            f"pull of {sizes.blobs:,} blobs of 1 MB",
            "dump pipe, binary",
            0.5,
            lambda g: tables.wide(g, sizes.blobs),
            pull("wide", "wide"),
            lambda g: peers.dump_pipe(g, "wide", binary=True),
        ),
        "parts": Measure(
            f"pull of {sizes.masters:,} masters, {10 * sizes.masters:,} part rows",
            "dump pipe",
            1.2,
            lambda g: tables.masters(g, sizes.masters),
            pull("scan", "scan", "scan__field"),
            lambda g: peers.dump_pipe(g, "scan", "scan__field"),
        ),
        "plan": Measure(
            f"empty plan, {sizes.narrow:,} rows",
            "COUNT(*) of the three",
            4.0,
            lambda g: pulled(g, "narrow"),
            plan("narrow"),
            counts("narrow"),
        ),
        "changes": Measure(
            f"plan, 100 changes in {sizes.narrow:,}",
            "the empty plan",
            3.0,
            nothing,
            changed_plan("narrow"),
            plan("narrow"),
        ),
        "links": Measure(
            f"empty plan, {sizes.links:,} links",
            "",
            None,
            lambda g: many(g, sizes.links),
            plan('"many_*"'),
        ),
    }
    for rows in sizes.growth:
        name = f"grown_{rows}"
        found[f"growth {rows:,}"] = Measure(
            f"pull of {rows:,} narrow rows",
            "dump pipe",
            None,
            lambda g, rows=rows, name=name: tables.narrow(g, rows, name),  # type: ignore[misc]  # late binding
            pull(name, name),
            lambda g, name=name: peers.dump_pipe(g, name),  # type: ignore[misc]
        )
        found[f"growth plan {rows:,}"] = Measure(
            f"empty plan, {rows:,} rows",
            "COUNT(*) of the three",
            None,
            lambda g, name=name: pulled(g, name),  # type: ignore[misc]
            plan(name),
            counts(name),
        )
    return found


def measured(ground: Ground, measure: Measure, runs: int) -> Iterator[Result]:
    """The result so far, after each run. Whoever is first takes turns."""
    measure.make(ground)
    result = Result(ground.pair, measure)
    for number in range(runs):
        steps = [(measure.subject, result.uses)]
        if measure.other is not None:
            steps.insert(number % 2, (measure.other, result.others))
        for run, into in steps:
            into.append(run(ground))
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


def counts(table: str) -> Run:
    """COUNT(*) of the three tables of a link."""
    return lambda ground: peers.counts(ground, f"{OUTBOUND}.bench_{table}", f"{LOCAL}.{table}", table)


def pulled(ground: Ground, table: str) -> None:
    """Have a table pulled."""
    pull(table, table)(ground)


def many(ground: Ground, links: int) -> None:
    """Have many small tables pulled."""
    tables.many(ground, links)
    ground.forget()
    ground.djlink("apply", "--auto-approve", "-f", ground.manifest('"many_*"'))


def nothing(ground: Ground) -> None:
    """All that is needed is there."""
