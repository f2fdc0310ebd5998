"""A process killed while several workers pull ranges of one link: all is whole, the next apply ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.faults.scene import VOLATILE, SourceLinks, evenly, set_up
from tests.support.invariants.protection import check_whole
from tests.support.options import KILLS, KILLS_SECONDS, killed, kills
from tests.support.rig import own_rig
from tests.support.servers import PAIRS, Servers

ENTITIES, TRIES = 24, kills(6)  # tries for each pair of vendors, each at other changes
PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.trial (day date, n int, v varchar(9), t text, PRIMARY KEY (day, n))",
    "CREATE TABLE {lab}.trial__event (day date, n int, e int, PRIMARY KEY (day, n, e),"
    " FOREIGN KEY (day, n) REFERENCES {lab}.trial (day, n))",
    *(
        f"INSERT INTO {{lab}}.trial VALUES ('2026-01-0{1 + n % 3}', {n}, 'v', REPEAT('t', {n}))"
        for n in range(ENTITIES)
    ),
    "INSERT INTO {lab}.trial__event SELECT day, n, 1 FROM {lab}.trial",
    "INSERT INTO {lab}.trial__event SELECT day, n, 2 FROM {lab}.trial",
)


@contextmanager
def scene(servers: Servers) -> Iterator[SourceLinks]:
    """A link whose tables are made and of which nothing is pulled."""
    with own_rig(servers) as rig:
        for statement in PIPELINE:
            rig.run("lab_a", statement)
        rig.accounts({"lab_a": ["lab"]})
        assert rig.apply(rig.document({"lab_a": {"lab": {"tables": "*", "pull": "none"}}}))[1].succeeded
        with rig.job(rig.document({"lab_a": {"lab": {"tables": "*"}}})) as job:
            links = job.links
        with set_up(rig, links) as found:
            yield found


def end(found: SourceLinks, answer: dict[str, Any]) -> Any:
    """The state that an apply leaves that was let alone."""
    assert (answer["problems"], answer["again"]) == ([], False)
    assert check_whole(found.rig, found.links) == ENTITIES
    return tuple(saved.without(*VOLATILE) for saved in found.state())


@pytest.mark.timeout(KILLS_SECONDS)
@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_a_pull_of_ranges_killed_at_any_change_leaves_nothing_half_done_and_the_next_one_ends_it(
    servers: Servers, record_property: Callable[[str, object], None]
) -> None:
    with scene(servers) as found:
        request: dict[str, Any] = {"manifest": str(found.manifest), "parallelism": 3, "spread": True}
        answer = found.applier(**request)
        whole = end(found, answer)
        assert answer["loading"] > 1, "more than one worker loaded rows"
        made = answer["changes"]
        first = 1 if KILLS else 1 + PAIRS.index(servers.pair)
        cases = evenly(range(first, len(made) + 1), TRIES)
        record_property("told", killed(cases, made, "a pull of ranges", servers.pair))
        for at in cases:
            sent = made[at - 1].startswith("COMMIT")
            place = f"change {at} of {len(made)}, sent {sent}"
            found.put_back()
            assert found.applier(**request, at=at, sent=sent) == {"killed": 9}, place
            found.wait_for_the_dead()
            check_whole(found.rig, found.links)
            assert end(found, found.applier(**request)) == whole, place
