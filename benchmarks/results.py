"""What was measured, as a table of medians and ratios."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.ground import Ground, Use

Run = Callable[[Ground], Use]

MOST_MEGABYTES = 200


@dataclass(frozen=True, slots=True)
class Measure:
    """A run of djlink beside a peer's. `target` is the ratio of seconds to reach, where there is a peer.

    With `rows`, the ratio is that of the rows of djlink in a second to those of the peer, and `target` is to
    be exceeded. `other_once`: a peer that takes a minute runs beside the first of djlink's runs only.
    """

    what: str
    peer: str
    target: float | None
    make: Callable[[Ground], None]
    subject: Run
    other: Run | None = None
    rows: int = 0
    other_once: bool = False
    scratch: tuple[str, ...] = ()  # tables at the source that no later measure uses


@dataclass(slots=True)
class Result:
    """What was measured."""

    pair: str
    measure: Measure
    uses: list[Use] = field(default_factory=list)
    others: list[Use] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)

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
        """The median of the ratios of the pairs of runs: of seconds or, with `rows`, of rows a second."""
        if not self.others:
            return None
        beside = self.others * len(self.uses) if self.measure.other_once else self.others
        ratio = median(a.seconds / b.seconds for a, b in zip(self.uses, beside, strict=True))
        return 1 / ratio if self.measure.rows else ratio

    @property
    def megabytes(self) -> float:
        """The highest peak of djlink's runs."""
        return max(u.megabytes for u in self.uses)

    @property
    def kilobytes(self) -> float:
        """The median of what went over the wire, where it was counted."""
        return median(u.kilobytes for u in self.uses)

    def latest(self) -> str:
        """The last run, as a line of progress."""
        beside = len(self.others) == len(self.uses)
        other = f", {self.measure.peer} {self.others[-1].seconds:.2f} s" if beside else ""
        own = f"{self.pair}, {self.measure.what}: {self.uses[-1].seconds:.2f} s"
        return f"{own}{other}; load {self.loads[-1]:.1f}"

    def row(self) -> str:
        """Its row of the table."""
        of, ratio = self.measure, self.ratio
        own, source, sign = f"{self.seconds:.2f} s", "-", "≤"
        if self.other_seconds is not None:
            source = f"{of.peer} {self.other_seconds:.2f} s"
        if of.rows and self.other_seconds is not None:
            own += f", {of.rows / self.seconds:,.0f} rows/s"
            source, sign = f"{source}, {of.rows / self.other_seconds:,.0f} rows/s", "≥"
        cells = [
            self.pair,
            of.what,
            own,
            source,
            f"{ratio:.3g}" if ratio else "-",
            f"{sign} {of.target:g}" if of.target else "-",
            f"{self.megabytes:.0f} MB",
            f"{self.kilobytes:.0f} KB" if self.kilobytes else "-",
            f"{len(self.uses)}{f' and {len(self.others)}' if of.other_once else ''}",
            f"{median(self.loads):.1f}",
        ]
        return f"| {' | '.join(cells)} |"


def machine() -> str:
    """The machine, in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return (
        f"{os.cpu_count()} cores ({', '.join(sorted(models)) or platform.processor()}), {platform.system()}"
        f" {platform.release()}, Python {platform.python_version()}"
    )


def table(results: Iterable[Result]) -> list[str]:
    """The table, in Markdown."""
    found = list(results)
    most = max((each.megabytes for each in found), default=0)
    return [
        "| servers | measure | djlink | peer | ratio | to reach | peak | wire | runs | load |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(each.row() for each in found),
        "",
        f"Medians. Highest peak: {most:.0f} MB (to stay below {MOST_MEGABYTES}).",
    ]


def save(folder: Path, name: str, text: str, results: Iterable[Result]) -> None:
    """Write the table and all single figures, anew after each measure."""
    folder.mkdir(parents=True, exist_ok=True)
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
            "load": each.loads,
            "saved": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        for each in results
    ]
    (folder / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n")
