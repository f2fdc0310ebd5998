"""Two processes link into one local schema at once, for manifests of two names.

Both plan while nothing is made. Then one waits before one of its changes, each in turn, until the other has
applied from beginning to end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.model.links.link import Link
from djlink_manifest.sandbox.servers.accounts import create_link_user
from tests.support.faults.halted import Ended, Halting
from tests.support.faults.scene import evenly, piece_of
from tests.support.invariants.protection import check_whole, rows
from tests.support.options import KILLS, KILLS_SECONDS
from tests.support.rig import PASSWORD, Rig, own_rig
from tests.support.servers import Servers

PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.session (id int, n int, PRIMARY KEY (id, n),"
    " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.note (k int PRIMARY KEY)",
    "INSERT INTO {lab}.subject VALUES (1), (2)",
    "INSERT INTO {lab}.session VALUES (1, 1), (2, 1), (2, 2)",
    "INSERT INTO {lab}.note VALUES (1), (2)",
)
CHAIN, ENTITIES = ("Subject", "Session"), 5
NOTE, NOTES = ("Note",), 2
APPLY = ("apply", "--auto-approve", "--parallelism", "1")
RAW = ("1062", "1050", "1007", "Duplicate entry", "Traceback", "unexpected")
IN_USE = "the table is in use by another session"  # it waits for what the other has under way
CLAIM = re.compile(r"CREATE SCHEMA|(CREATE TABLE IF NOT EXISTS|INSERT INTO) \S+`~djlink`")
PIECES = 2


@dataclass(frozen=True, slots=True)
class Entrant:
    """One manifest, with the process that runs its commands."""

    rig: Rig
    name: str
    document: dict[str, Any]
    process: Halting

    @property
    def manifest(self) -> Path:
        return self.rig.write(self.document, f"{self.name}.yaml")

    @property
    def outbound(self) -> str:
        return str(self.document["sources"]["lab_a"]["outbound"])

    def start(self, at: int | None) -> str | Ended:
        return self.process.start(*APPLY, "-f", str(self.manifest), at=at)

    def run(self, *arguments: str) -> Ended:
        return self.process.run(*arguments, "-f", str(self.manifest))

    def links(self) -> tuple[Link, ...]:
        with self.rig.job(self.document) as job:
            return job.links

    def elsewhere(self, *, one_outbound: bool) -> Entrant:
        """The same manifest with another local schema, and another outbound schema where two had one."""
        source = {**self.document["sources"]["lab_a"]}
        if one_outbound:
            source |= {"user": self.rig.names("second"), "outbound": self.rig.names("second")}
        defaults = {"schema_name": self.rig.names("elsewhere_{schema}")}
        document = {**self.document, "defaults": defaults, "sources": {"lab_a": source}}
        return Entrant(self.rig, self.name, document, self.process)


@contextmanager
def entrants(
    servers: Servers, tables: Sequence[Sequence[str]], *, one_outbound: bool
) -> Iterator[tuple[Entrant, Entrant]]:
    """Two manifests, of these tables each, for two labs' accounts where their outbound schemas are two."""
    with own_rig(servers) as rig:
        for statement in PIPELINE:
            rig.run("lab_a", statement)
        rig.accounts({"lab_a": ["lab"]})
        second = rig.names("second")
        create_link_user(rig.servers.lab_a, second, PASSWORD, [rig.names("lab")], second)
        found = []
        for name, names in zip(("one", "other"), tables, strict=True):
            document = rig.document({"lab_a": {"lab": {"tables": list(names)}}}, name=rig.names(name))
            if name == "other" and not one_outbound:
                document["sources"]["lab_a"] |= {"user": second, "outbound": second}
            found.append(Entrant(rig, name, document, Halting(rig.environ)))
        try:
            yield found[0], found[1]
        finally:
            for each in found:
                each.process.close()


def race(one: Entrant, other: Entrant, at: int) -> tuple[Ended, Ended]:
    """Both plan; then `one` waits before its `at`-th change until `other` has ended. How they ended."""
    assert isinstance(other.start(at=1), str)
    assert isinstance(one.start(at), str)
    second = other.process.go_on()
    return one.process.go_on(), second


def begin_anew(rig: Rig) -> None:
    for server in ("lab_a", "local"):
        test = f"LEFT(schema_name, {len(rig.names.prefix)}) = '{rig.names.prefix}'"
        for (schema,) in rig.run(server, f"SELECT schema_name FROM information_schema.schemata WHERE {test}"):
            if schema != rig.names("lab"):
                rig.run(server, f"DROP DATABASE `{schema}`")
            if server == "lab_a" and schema != rig.names("lab"):
                rig.run(server, f"CREATE DATABASE `{schema}`")  # as its administrator made it


def moments(one: Entrant) -> list[int]:
    """Before which changes to wait: those that claim a place for the first link, and some later ones.

    DJLINK_KILLS=all waits before every change.
    """
    ended = one.start(at=None)
    assert isinstance(ended, Ended)
    assert ended.code == 0, ended.text
    begin_anew(one.rig)
    every = range(1, len(ended.changes) + 1)
    if KILLS:
        return list(every)
    rows = next(n for n in every if ended.changes[n - 1] == "COMMIT")
    claims = [n for n in every[:rows] if CLAIM.match(ended.changes[n - 1])]
    return [*claims, *evenly(every[rows:], 3)]


def check_winner(winner: Entrant, entities: int) -> None:
    """All is linked, whole and protected, and nothing is left to do."""
    assert check_whole(winner.rig, winner.links()) == entities
    plan = winner.run("plan", "--verify", "--detailed-exitcode")
    assert plan.code == 0, plan.text


def check_loser(loser: Entrant, ended: Ended, winner: Entrant) -> None:
    """It is told so in our words, holds nothing, and links elsewhere as it is told to."""
    assert ended.code == 1, ended.text
    assert "next: " in ended.text, ended.text
    if IN_USE not in ended.text:
        assert "linked by somebody else" in ended.text, ended.text
    assert [word for word in RAW if word in ended.text] == [], ended.text
    if loser.outbound != winner.outbound:
        for link in loser.links():
            assert rows(loser.rig, "lab_a", loser.outbound, link.outbound_table, ", ".join(link.key)) == set()
    again = loser.run("apply", "--auto-approve")
    assert again.code == 1
    assert f"belongs to the manifest `{winner.document['name']}`" in again.text, again.text
    assert "choose another" in again.text, again.text


@pytest.mark.timeout(KILLS_SECONDS)
@pytest.mark.parametrize("piece", range(PIECES))
@pytest.mark.parametrize("one_outbound", [True, False], ids=["one-outbound", "two-outbounds"])
def test_of_two_manifests_that_race_for_one_local_schema_one_wins_and_the_other_is_told(
    servers: Servers, one_outbound: bool, piece: int
) -> None:
    with entrants(servers, (CHAIN, CHAIN), one_outbound=one_outbound) as (one, other):
        faults = []
        for at in piece_of(moments(one), piece, PIECES):
            ends = race(one, other, at)
            try:
                won = [each for each, ended in zip((one, other), ends, strict=True) if ended.code == 0]
                assert len(won) == 1, ends
                loser, ended = (other, ends[1]) if won == [one] else (one, ends[0])
                check_loser(loser, ended, won[0])
                check_winner(won[0], ENTITIES)
                elsewhere = loser.elsewhere(one_outbound=one_outbound)
                done = elsewhere.run("apply", "--auto-approve")
                assert done.code == 0, done.text
                for each in (elsewhere, won[0]):
                    check_winner(each, ENTITIES)
            except AssertionError as error:
                faults.append(f"at change {at}: {error}")
            begin_anew(one.rig)
        assert not faults, "\n".join(faults)


@pytest.mark.timeout(KILLS_SECONDS)
def test_two_manifests_that_make_one_local_schema_at_once_with_other_tables_both_win(
    servers: Servers,
) -> None:
    with entrants(servers, (CHAIN, NOTE), one_outbound=True) as (one, other):
        faults = []
        for at in moments(one):
            ends = race(one, other, at)
            try:
                assert [ended.code for ended in ends] == [0, 0], ends
                check_winner(one, ENTITIES)
                check_winner(other, NOTES)
            except AssertionError as error:
                faults.append(f"at change {at}: {error}")
            begin_anew(one.rig)
        assert not faults, "\n".join(faults)
