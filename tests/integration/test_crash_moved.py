"""A process killed while links get other names: nothing is made twice, and the next apply ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from djlink_manifest.reconcile.plan.actions import Move
from tests.support.faults.crash import Applier
from tests.support.faults.scene import VOLATILE, SourceLinks, evenly, set_up
from tests.support.options import KILLS_SECONDS, killed, kills
from tests.support.rig import Rig, own_rig
from tests.support.servers import ALIKE, Servers
from tests.support.snapshots import Saved

TRIES = kills(16)

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, v int)",
    "CREATE TABLE {lab}.session__trial (s int, n int, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.scan (k int PRIMARY KEY, s int NOT NULL,"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "INSERT INTO {lab}.session VALUES (10, 1), (20, 2)",
    "INSERT INTO {lab}.session__trial VALUES (10, 1), (10, 2), (20, 1)",
    "INSERT INTO {lab}.scan VALUES (5, 10)",
)
RENAME = "RENAME TABLE {lab}.session TO {lab}.recording, {lab}.session__trial TO {lab}.recording__trial"


@dataclass(slots=True)
class Moving(SourceLinks):
    """Two links, one of which was renamed at the source, on their way into another local schema."""

    def schemas(self) -> tuple[str, str]:
        return self.rig.local_schema("lab_a", "lab"), self.rig.names("new")

    def state(self) -> tuple[Saved, Saved, Saved]:  # type: ignore[override]  # one schema more
        local = self.rig.servers.local
        old, new = (Saved.of(local, schema) for schema in self.schemas())
        return Saved.of(self.rig.servers.lab_a, self.rig.outbound), new, old

    def put_back(self) -> None:
        for saved, server in zip(self.before, ("lab_a", "local", "local"), strict=True):
            saved.put_back(self.rig.server(server))

    def rows(self) -> list[tuple[int, ...]]:
        """The local rows of all tables, wherever they are."""
        found = []
        for schema in self.schemas():
            for name, rows in Saved.of(self.rig.servers.local, schema).rows.items():
                found += [row for row in rows if not name.startswith("~")]
        return sorted(found)


def manifests(rig: Rig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest before, and the one after."""
    before = rig.document({"lab_a": {"lab": {"tables": ["Session", "Scan"]}}})
    after = rig.document({"lab_a": {"lab": {"tables": ["Recording", "Scan"]}}})
    after["defaults"]["schema_name"] = rig.names("new")
    after["moved"] = [
        {"from": rig.address("lab_a", "lab", "Session"), "to": rig.address("lab_a", "lab", "Recording")},
        {"local_schema": rig.local_schema("lab_a", "lab"), "to": rig.names("new")},
    ]
    return before, after


@contextmanager
def scene(servers: Servers) -> Iterator[Moving]:
    with own_rig(servers) as rig:
        for statement in PIPELINE:
            rig.run("lab_a", statement)
        rig.accounts({"lab_a": ["lab"]})
        before, after = manifests(rig)
        assert rig.apply(before)[1].succeeded
        rig.run("lab_a", RENAME)
        rig.run("local", "CREATE DATABASE {new}")
        rig.write(before, "before.yaml")
        rig.write({key: value for key, value in after.items() if key != "moved"}, "without.yaml")
        with rig.job(after) as job:
            links = job.links
        with set_up(rig, links) as found:
            moving = Moving(rig, found.manifest, links, found.applier)
            moving.before = moving.state()  # type: ignore[assignment]
            yield moving


def nothing_is_made(found: Moving, applier: Applier, name: str) -> None:
    """With that manifest, in the state that a kill left, nothing is created and no row comes or goes."""
    rows = found.rows()
    answer = applier(manifest=str(found.rig.folder / name), twice=False)
    assert not {"CreateLocal", "Pull", "PullAgain", "Release", "Delete"} & set(answer["kinds"]), name
    assert found.rows() == rows


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.timeout(KILLS_SECONDS)
def test_a_move_killed_at_any_change_is_ended_by_the_next_apply(
    servers: Servers, record_property: Callable[[str, object], None]
) -> None:
    with scene(servers) as found:
        request = {"manifest": str(found.manifest)}
        rows = found.rows()
        answer = found.applier(**request)
        assert (answer["problems"], answer["again"], answer["kinds"]) == ([], False, [Move.__name__])
        made, end = answer["changes"], tuple(s.without(*VOLATILE) for s in found.state())
        assert found.rows() == rows
        endings = [n for n, text in enumerate(made, 1) if text.startswith(("COMMIT", "CREATE", "RENAME"))]
        cases = [(n, False) for n in evenly(range(1, len(made) + 1), TRIES)]
        cases = sorted({*cases, *((n, True) for n in endings)})
        record_property("told", killed(cases, made, "a move", servers.pair))
        for number, (at, sent) in enumerate(cases):
            place = f"change {at}, sent {sent}: {made[at - 1]}"
            found.put_back()
            assert found.applier(**request, at=at, sent=sent) == {"killed": 9}, place
            found.wait_for_the_dead()
            assert found.rows() == rows, place
            if found.is_known():
                continue
            # with the former manifest, and without the entries, it is refused
            nothing_is_made(found, found.applier, ("before.yaml", "without.yaml")[number % 2])
            answer = found.applier(**request)
            assert (answer["problems"], answer["again"]) == ([], False), (place, answer)
            assert tuple(s.without(*VOLATILE) for s in found.state()) == end, place
