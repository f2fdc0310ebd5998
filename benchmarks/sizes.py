"""How much is measured: what fits ten minutes on two cores, and what the targets speak of."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows, entities or links of each measure; `blobs` are of 1 MB. A growth is measured by its sizes."""

    narrow: int
    script: int
    package: int
    blobs: int
    masters: int
    wide_key: int
    links: int
    deleted: int
    growth: tuple[int, ...] = ()

    def scaled(self, by: float) -> Sizes:
        """All sizes multiplied, to no less than a few."""
        least = {"narrow": 2_000, "script": 500, "package": 20, "blobs": 2, "masters": 200}
        least |= {"wide_key": 500, "links": 20, "deleted": 1_000}
        sizes = {name: max(few, int(getattr(self, name) * by)) for name, few in least.items()}
        return replace(self, **sizes, growth=tuple(max(1_000, int(n * by)) for n in self.growth))


QUICK = Sizes(
    narrow=1_000_000,
    script=1_000_000,
    package=5_000,
    blobs=300,
    masters=50_000,
    wide_key=50_000,
    links=300,
    deleted=50_000,
)
FULL = replace(
    QUICK,
    blobs=2_000,
    masters=100_000,
    wide_key=1_000_000,
    links=1_000,
    deleted=100_000,
    growth=(100_000, 1_000_000, 10_000_000),
)
