"""A pipeline as it was before an apply, to be brought back after each kill."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from djlink_manifest.model.links.link import Link
from tests.support.faults.crash import Applier
from tests.support.rig import Rig
from tests.support.snapshots import Saved

T = TypeVar("T")
VOLATILE = ("pulled_at", "created_at", "holder", "epoch", "epoch_next")


@dataclass(slots=True)
class SourceLinks:
    """A pipeline of which some is linked, and the manifest to apply.

    A new link with parts comes below a link of which some rows are missing locally and some are new; another
    has rows to release, to register and to pull.
    """

    rig: Rig
    manifest: Path
    links: tuple[Link, ...]
    applier: Applier
    before: tuple[Saved, Saved] = ()  # type: ignore[assignment]  # set when the scene is made
    met: set[Any] = field(default_factory=set)

    def state(self) -> tuple[Saved, Saved]:
        rig = self.rig
        local = Saved.of(rig.servers.local, rig.local_schema("lab_a", "lab"))
        return Saved.of(rig.servers.lab_a, rig.outbound), local

    def put_back(self) -> None:
        self.before[0].put_back(self.rig.servers.lab_a)
        self.before[1].put_back(self.rig.servers.local)

    def is_known(self) -> bool:
        """Whether a kill left this very state before; kills between two commits leave the same one.

        What the next apply makes of a state is looked at once for each.
        """
        state = tuple(saved.outline(*VOLATILE) for saved in self.state())
        known = state in self.met
        self.met.add(state)
        return known

    def wait_for_the_dead(self) -> None:
        """Until the servers have ended a killed process's sessions, and undone what was not committed."""
        until = time.monotonic() + 20
        while any(self.rig.own_sessions(server) for server in ("lab_a", "local")):
            assert time.monotonic() < until, "the sessions of a killed process live on"
            time.sleep(0.01)


@contextmanager
def set_up(rig: Rig, links: tuple[Link, ...]) -> Iterator[SourceLinks]:
    """The scene of a manifest that was written, as its servers are now, and the process that applies it."""
    applier = Applier(rig.environ, Path(__file__).parents[2])
    try:
        found = SourceLinks(rig, rig.folder / "djlink.yaml", links, applier)
        found.before = found.state()
        yield found
    finally:
        applier.close()


def evenly(numbers: Sequence[T], most: int) -> list[T]:
    """At most so many of the numbers, the first and the last among them."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[n * (len(numbers) - 1) // (most - 1)] for n in range(most)]


def piece_of(cases: Sequence[T], piece: int, pieces: int) -> Sequence[T]:
    """One of so many pieces of the cases, which together are all of them; neighbours stay together."""
    return cases[len(cases) * piece // pieces : len(cases) * (piece + 1) // pieces]
