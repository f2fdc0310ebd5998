"""A pipeline over two sources for tests of faults, and how it looks when all is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Event, LinkOutcome, Message, Report
from tests.support.invariants.protection import check_whole
from tests.support.rig import Rig, quiet
from tests.support.servers import Servers, drop_everything, new_names

ALL = {"tables": "*"}
ENTITIES = 4 + 8 + 3 + 3
# Session, with parts of half a megabyte, needs Subject; Note needs nothing; Scan is another source's
LAB_A = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(20))",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session__trial (s int, n int, data longblob, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.note (n int PRIMARY KEY, v int)",
    "INSERT INTO {lab}.subject VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
    "INSERT INTO {lab}.session VALUES (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4), (8, 4)",
    "INSERT INTO {lab}.session__trial SELECT s, 1, REPEAT('x', 500000) FROM {lab}.session",
    "INSERT INTO {lab}.note VALUES (1, 1), (2, 2), (3, 3)",
)
LAB_B = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.scan (k int PRIMARY KEY, v int)",
    "INSERT INTO {lab}.scan VALUES (1, 1), (2, 2), (3, 3)",
)


class Faulty:
    """The pipeline, its manifest, and what applies of it said."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        for server, statements in (("lab_a", LAB_A), ("lab_b", LAB_B)):
            for statement in statements:
                rig.run(server, statement)
        rig.accounts({"lab_a": ["lab"], "lab_b": ["lab"]})
        self.document = rig.document({"lab_a": {"lab": ALL}, "lab_b": {"lab": ALL}})
        self.said = list[str]()

    @property
    def local(self) -> str:
        """The local schema of the first source's tables."""
        return self.rig.local_schema("lab_a", "lab")

    def links(self) -> tuple[Link, ...]:
        """The links as they are resolved now."""
        with self.rig.job(self.document) as job:
            return job.links

    def apply(self, listener: Callable[[Event], None] = quiet, **options: Any) -> tuple[Plan, Report]:
        """Plan and apply, one link at a time unless told otherwise."""

        def listening(event: Event) -> None:
            if isinstance(event, Message):
                self.said.append(event.words)
            listener(event)

        return self.rig.apply(self.document, listening, **{"parallelism": 1, **options})

    def make_tables(self) -> None:
        """Make the tables of all links, without a row in them."""
        nothing = {"tables": "*", "pull": "none"}
        empty = self.rig.document({"lab_a": {"lab": nothing}, "lab_b": {"lab": nothing}})
        assert self.rig.apply(empty)[1].succeeded

    @contextmanager
    def applying(self, **options: Any) -> Iterator[Future[tuple[Plan, Report]]]:
        """An apply in a thread of its own, which has ended when the block has."""
        with ThreadPoolExecutor(1) as threads:
            yield threads.submit(self.apply, **options)

    def check_finished(self) -> None:
        """All is pulled, whole and protected, and nothing is left to do."""
        again = self.rig.plan(self.document)
        assert not again.has_changes
        assert not again.has_errors
        assert check_whole(self.rig, self.links()) == ENTITIES

    def finish(self) -> None:
        """The next run does all that is left."""
        _, report = self.rig.apply(self.document)
        assert report.succeeded, report.outcomes
        self.check_finished()


def ends(report: Report) -> dict[str, str]:
    """How each link ended, by the name of its table."""
    return {o.address.rpartition(".")[2]: o.status for o in report.outcomes}


def failure(report: Report) -> LinkOutcome:
    """The only link that failed, which says what to do next."""
    [found] = [o for o in report.outcomes if o.status == "failed"]
    assert found.problem
    assert found.hint
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


@contextmanager
def faulty(servers: Servers, folder: Path) -> Iterator[Faulty]:
    """The pipeline on these servers, dropped at the end."""
    rig = Rig(servers, new_names(), folder)
    try:
        yield Faulty(rig)
    finally:
        for server in dict.fromkeys(servers):
            drop_everything(server, rig.names)


def later(seconds: float, do: Callable[[], None]) -> threading.Thread:
    """Do something in a thread of its own, some seconds later."""

    def run() -> None:
        time.sleep(seconds)
        do()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
