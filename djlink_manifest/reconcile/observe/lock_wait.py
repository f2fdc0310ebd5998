"""Wait until no other djlink works on the links of a job. No lock is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from djlink_manifest.errors import LinkLocked
from djlink_manifest.reconcile.observe.context import Context
from djlink_manifest.servers.ownership.locks import Lockable, Locks

POLL_SECONDS = 0.5


@dataclass(slots=True)
class LockWait:
    """How long a command waits for links that another djlink works on: `seconds` in all.

    `told` is called with words for each holder that is waited for.
    """

    seconds: float
    told: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.seconds - (self.clock() - self.started)

    def until_free(self, context: Context) -> bool:
        """Wait until none of the context's links is locked; whether there was anything to wait for.

        What the context knows of the servers is then of before. Raises LinkLocked once no time is left.
        """
        waited = False
        names = {context.links[a].source for a in context.scope}
        addresses = [context.sources[name].address for name in sorted(names)]
        with closing(Locks(context.local.address, addresses)) as locks:
            for link, link_id in _ids(context):
                told = set[str]()
                while (holder := locks.holder(link, link_id)) is not None:
                    waited = True
                    if self.left <= 0:
                        raise self._given_up(link, holder)
                    if holder not in told:
                        told.add(holder)
                        words = f"waiting up to {max(1, round(self.left))} s for {link.address}"
                        self.told(f"{words}: another djlink works on it: {holder}")
                    time.sleep(min(POLL_SECONDS, max(0.0, self.left)))
        return waited

    def _given_up(self, link: Lockable, holder: str) -> LinkLocked:
        return LinkLocked(
            f"another djlink still works on this link after {self.seconds:g} s: {holder}",
            link=link.address,
            hint="wait until it has ended, or allow more time with --lock-timeout; its lock ends with it",
        )


def _ids(context: Context) -> Iterator[tuple[Lockable, str]]:
    """The links of a context with the ids by which they are locked, also those of before a move."""
    tables = context.link_tables()
    for address in sorted(context.scope):
        link = context.links[address]
        found, move = tables.found.get(address), tables.moves.get(address)
        if found is not None and found.mark is not None:
            yield link, found.mark.link_id
        if move is not None:
            for link_id in (move.link_id, *move.old_ids):
                yield link, link_id
