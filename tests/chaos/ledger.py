"""What the harness knows of each entity by itself: what its owners did, and what a person agreed to."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.chaos.pipeline import BY_NAME, Key, Reference, Row, Table, references


@dataclass(slots=True)
class Life:
    """One entity of one source. What is true once stays so: `requested`, `permitted`, `agreed`, `unwanted`,
    `seen`.

    `permitted`: a request of it needs nobody's approval, or stood when a person approved the link's, which is
    `agreed`. `seen`: it was in the local table once. `parents` are all that it ever referred to. `there` is
    whether it is at the source, as far as its owner knows: a commit that a server's death interrupted may
    have been made.
    """

    table: Table
    key: Key
    parents: set[Reference] = field(default_factory=set)
    requested: bool = False
    permitted: bool = False
    agreed: bool = False
    unwanted: bool = False
    seen: bool = False
    there: Literal["yes", "no", "perhaps"] = "yes"


@dataclass(slots=True)
class Ledger:
    """The lives of one source's entities."""

    source: str
    lives: dict[Reference, Life] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    guard: threading.RLock = field(default_factory=threading.RLock)

    def write(self, table: Table, master: Row, parts: Iterable[Row] = (), *, sure: bool = True) -> None:
        """An owner wrote these rows; perhaps, where not `sure`."""
        key = tuple(master[c] for c in table.key)
        with self.guard:
            life = self.lives.setdefault((table.name, key), Life(table, key))
            life.parents.update(references(table, master, parts))
            if any(not rule(master) for _, rule in table.where.values()):
                life.unwanted = True
            life.there = "yes" if sure else "perhaps"

    def delete(self, reference: Reference, *, sure: bool = True) -> None:
        """An owner deleted an entity; perhaps, where not `sure`."""
        with self.guard:
            self.lives[reference].there = "no" if sure else "perhaps"

    def request(self, reference: Reference, *, permitted: bool) -> None:
        """An owner asked for a deletion."""
        with self.guard:
            life = self.lives[reference]
            life.requested = True
            life.permitted |= permitted

    def permit(self, table: str, keys: Iterable[Key]) -> None:
        """A person approved these requests."""
        with self.guard:
            for key in keys:
                self.lives[table, key].permitted = self.lives[table, key].agreed = True

    def saw(self, table: str, keys: Iterable[Key]) -> None:
        """These keys were in the local table."""
        with self.guard:
            for key in keys:
                if (table, key) in self.lives:
                    self.lives[table, key].seen = True

    def standing(self, table: Table) -> list[Life]:
        """The entities of a table that are surely at the source."""
        with self.guard:
            return [x for (name, _), x in self.lives.items() if name == table.name and x.there == "yes"]

    def ancestry(self, life: Life) -> Iterator[Life]:
        """An entity, and all that it ever referred to, over however many steps."""
        found, due = set[Reference](), [(life.table.name, life.key)]
        while due:
            reference = due.pop()
            if reference in found or reference not in self.lives:
                continue
            found.add(reference)
            due += self.lives[reference].parents
            yield self.lives[reference]

    def may_go(self, life: Life, *, released: bool, reviewed: bool) -> bool:
        """Whether an entity's local rows may be gone: by a permission, or since it was not wanted once.

        What is `reviewed` goes along with nothing to which no person agreed.
        """
        with self.guard:
            above = list(self.ancestry(life))
        by_request = any(each.agreed if reviewed else each.permitted for each in above)
        return by_request or (
            released and (BY_NAME[life.table.name].needed or any(x.unwanted for x in above))
        )
