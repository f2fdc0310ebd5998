"""What an apply tells while it runs, and what it tells at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias

from djlink_manifest.reconcile.plan.actions import Blocked

Status: TypeAlias = Literal["done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class LinkStarted:
    """Work on a link began; `entities` is how many are to be pulled, resumed, refilled, registered or
    released."""

    address: str
    entities: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """A batch of the link was committed; the figures are sums since the link started."""

    address: str
    entities: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Message:
    """Something worth telling while it happens: a retry, a wait."""

    address: str
    words: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What was committed for a link, or for several.

    `created`, `altered` and `moved` tell whether tables were. `along` are entities of other links that were
    deleted with the `deleted` ones, `deleted_rows` all rows that were; `refused` are entities that the local
    server refused.
    """

    created: bool = False
    altered: bool = False
    moved: bool = False
    foreign_keys: int = 0
    pulled: int = 0
    rows: int = 0
    bytes: int = 0
    objects: int = 0
    object_bytes: int = 0
    refilled: int = 0
    registered: int = 0
    released: int = 0
    refused: int = 0
    deleted: int = 0
    along: int = 0
    deleted_rows: int = 0
    approved: int = 0
    mended: int = 0
    noted: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(Counts)}
        return Counts(**{n: a or b if isinstance(a, bool) else a + b for n, (a, b) in pairs.items()})

    @property
    def entities(self) -> int:
        """How many entities were committed in some way."""
        confirmed = self.deleted + self.approved + self.mended
        return self.pulled + self.refilled + self.registered + self.released + confirmed


NOTHING = Counts()


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """How the work on a link ended.

    `done`: all of its actions were carried out; `failed`: `problem` and `hint` tell why, and what was
    committed before stays; `skipped`: not attempted, because of `problem`. `counts` is what was really
    committed. `blocked` are actions that found things otherwise than their plan, and were not done.
    """

    address: str
    status: Status
    counts: Counts = NOTHING
    problem: str | None = None
    hint: str | None = None
    seconds: float = 0.0
    taken_out: bool = False
    blocked: tuple[Blocked, ...] = ()


Event: TypeAlias = LinkStarted | Advanced | Message | LinkOutcome
Listener: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Report:
    """The end of an apply: every link of the plan that had something to do, in the plan's order."""

    outcomes: tuple[LinkOutcome, ...]
    interrupted: bool = False
    seconds: float = 0.0
    warnings: tuple[str, ...] = field(default=())

    @property
    def succeeded(self) -> bool:
        """Whether everything that was attempted is done, and everything was attempted."""
        return not self.interrupted and all(
            o.status == "done" and not any(b.kind == "error" for b in o.blocked) for o in self.outcomes
        )
