"""Who works at once in an apply: a link's own worker, and helpers of a large link while others are idle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from djlink_manifest.errors import ConnectionLost, Unreachable
from djlink_manifest.servers.session.pool import Pool
from djlink_manifest.servers.session.session import Writer

Pair = tuple[Writer, Writer]  # sessions of a source and of the local server


@dataclass(slots=True)
class Workers:
    """The workers of an apply, `most` at once."""

    most: int
    at_work: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A link's own worker; it never waits."""
        with self.guard:
            self.at_work += 1
        try:
            yield
        finally:
            with self.guard:
                self.at_work -= 1

    @contextmanager
    def help(self, source: Pool[Writer], local: Pool[Writer]) -> Iterator[Pair | None]:
        """Sessions for a helper; None where enough is at work already, or a server has none to spare."""
        with self.guard:
            free = self.at_work < self.most
            self.at_work += free
        try:
            with ExitStack() as stack:
                pair = None
                if free:
                    # who needs a session is the link's own worker: it has one, and does the work alone
                    with suppress(Unreachable, ConnectionLost):
                        source_session = stack.enter_context(source.session())
                        pair = source_session, stack.enter_context(local.session())
                yield pair
        finally:
            with self.guard:
                self.at_work -= free


@dataclass(frozen=True, slots=True)
class Helpers:
    """Where a link gets helpers."""

    workers: Workers
    source: Pool[Writer]
    local: Pool[Writer]

    @property
    def most(self) -> int:
        """How many may work at once, the link's own worker among them."""
        return self.workers.most

    def lend(self) -> AbstractContextManager[Pair | None]:
        """Sessions for a helper; None where enough is at work already, or a server has none to spare."""
        return self.workers.help(self.source, self.local)

    def crowded(self) -> bool:
        """Whether more is at work than shall be, since another link began: a helper ends."""
        return self.workers.at_work > self.workers.most
