"""A process killed at any of the statements of a deletion: nothing is lost, and the next apply ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.faults.scene import VOLATILE, SourceLinks, evenly, piece_of, set_up
from tests.support.invariants.protection import check_whole, rows
from tests.support.options import KILLS_SECONDS, killed, kills
from tests.support.pipelines.deletion import TABLES, approvals, auto, entry, request
from tests.support.rig import Rig, own_rig
from tests.support.servers import Servers
from tests.support.sql import ask

TRIES = kills(20)
PIECES = 2  # tests of their own, so that the workers share them
LEDGER = "djlink_entry"
MOMENTS = (*VOLATILE, LEDGER, "granted_at", "approved_at", "at")


class QuickRig(Rig):
    """A rig whose administrator keeps one session open, for tests that look at many small things."""

    def run(self, server: str, text: str) -> list[tuple[Any, ...]]:
        return ask(self.server(server), self.sql(text))


@contextmanager
def scene(servers: Servers) -> Iterator[SourceLinks]:
    """Subjects asked for under an approval, spikes under `auto`, rigs that are wanted no longer."""
    with own_rig(servers, QuickRig) as rig:
        for statement in TABLES:
            rig.run("lab_a", statement)
        rig.run("lab_a", "CREATE TABLE {lab}.rig (id int PRIMARY KEY, v int)")
        rig.run("lab_a", "INSERT INTO {lab}.rig VALUES (1, 0), (2, 1), (3, 1), (4, 1)")
        rig.accounts({"lab_a": ["lab"]})
        _, report = rig.apply(auto(rig))
        assert report.succeeded
        request(rig, "subject", "name IN ('ann', 'bob')")
        request(rig, "spikes", "id IN (2, 3)")
        document = mixed(rig)
        given = [a for a in approvals(rig, document) if a.link.endswith("Subject")]
        with rig.job({**document, "approvals": [entry(a) for a in given]}) as job:
            links = job.links
        with set_up(rig, links) as found:
            yield found


def mixed(rig: Rig) -> dict[str, Any]:
    document = auto(rig, unwanted="release")
    tables = document["sources"]["lab_a"]["schemas"][rig.names("lab")]
    tables["tables"] = {
        "Subject": {"deletions": "review"},
        "Session": {},
        "Spikes": {},
        "Rig": {"where": "v = 0"},
    }
    return document


def end_of(found: SourceLinks) -> Any:
    """What stands in the end, but for moments and the ledger, which tells of the way."""
    source, local = (saved.without(*MOMENTS) for saved in found.state())
    return {n: t for n, t in source.items() if not n.endswith("_history")}, local


def check(found: SourceLinks) -> None:
    """What holds at every instant: all is protected, and what is approved is gone and in the ledger."""
    check_whole(found.rig, found.links)
    for link in found.links:
        key = ", ".join(f"`{name}`" for name in link.key)
        approved = rows(found.rig, link.source, link.outbound_schema, link.approved_table, key)
        assert not approved & rows(found.rig, "local", link.local.schema, link.local.name, key)
        ledger = rows(
            found.rig, link.source, link.outbound_schema, f"{link.outbound_table}_history", f"{key}, event"
        )
        assert approved <= {row[:-1] for row in ledger if row[-1].startswith("approved")}
        assert approved <= {row[:-1] for row in ledger if row[-1] == "requested"}


@pytest.mark.timeout(KILLS_SECONDS)
@pytest.mark.parametrize("piece", range(PIECES))
def test_a_deletion_killed_at_any_change_loses_nothing_and_the_next_apply_ends_it(
    servers: Servers, piece: int, record_property: Callable[[str, object], None]
) -> None:
    with scene(servers) as found:
        answer = found.applier(manifest=str(found.manifest))
        assert not answer["problems"]
        assert not answer["again"]
        assert answer["kinds"] == ["Claim", "Delete", "NoteRequests"]
        made, end = answer["changes"], end_of(found)
        check(found)
        commits = [n for n, text in enumerate(made, 1) if text.startswith("COMMIT")]
        cases = [(n, False) for n in evenly(range(1, len(made) + 1), TRIES)]
        cases = sorted([*cases, *((n, True) for n in evenly(commits, TRIES // 3))])
        faults = []
        cases = list(piece_of(cases, piece, PIECES))
        record_property("told", killed(cases, made, "a deletion", servers.pair))
        for at, sent in cases:
            try:
                found.put_back()
                assert found.applier(manifest=str(found.manifest), at=at, sent=sent) == {"killed": 9}
                found.wait_for_the_dead()
                check(found)
                if found.is_known():
                    continue
                answer = found.applier(manifest=str(found.manifest))
                assert not answer["problems"]
                assert not answer["again"]
                assert end_of(found) == end
            except AssertionError as error:
                faults.append(f"change {at}, sent {sent}: {made[at - 1]}: {str(error)[:2000]}")
        assert not faults, "\n".join(faults)
