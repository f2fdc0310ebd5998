"""The network between djlink and its servers: cut, slow, silent or gone, through a proxy."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.model.tables.naming import lock_name
from djlink_manifest.reconcile.apply import scheduler as applying
from djlink_manifest.reconcile.runtime import batches
from djlink_manifest.reconcile.runtime.events import Advanced, Event
from djlink_manifest.servers.session import login
from tests.support.faults.pipeline import Faulty, ends, failure, faulty, later
from tests.support.faults.proxy import Proxy, Verdict, Wire, proxied
from tests.support.servers import ALIKE, Servers
from tests.support.statements import Statement, once, watched

COMMIT = b"\x03COMMIT"  # a packet's body
both_vendors = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)


@pytest.fixture
def lab(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 2)
    with faulty(servers, tmp_path) as found:
        yield found


class Judge:
    """Gives a verdict on the first data that hold the words, from the `number`-th on; all else passes."""

    def __init__(self, words: bytes, verdict: Verdict, number: int = 1) -> None:
        self.words, self.verdict, self.number = words, verdict, number
        self.given = False

    def __call__(self, wire: Wire, data: bytes) -> Verdict:
        if self.given or self.words not in data:
            return "pass"
        self.number -= 1
        if self.number:
            return "pass"
        self.given = True
        return self.verdict


def check_survived(lab: Faulty) -> None:
    """The apply went on by itself to its end."""
    _, report = lab.apply()
    assert report.succeeded, report.outcomes
    assert any("reconnecting" in words for words in lab.said), lab.said
    lab.check_finished()


@pytest.mark.parametrize("server", ["lab_a", "local"])
def test_a_statement_that_never_arrives_is_sent_again(lab: Faulty, server: str) -> None:
    registering = b"INSERT INTO `" + lab.rig.outbound.encode()
    writing = b"INTO TABLE `" + lab.local.encode() + b"`.`session__trial`"
    with proxied(lab.rig, lab.document, server) as proxy:
        proxy.up = judge = Judge(registering if server == "lab_a" else writing, "cut", number=2)
        check_survived(lab)
        assert judge.given


@both_vendors
def test_a_result_cut_in_the_middle_of_a_batch_is_read_again(lab: Faulty) -> None:
    cuts = list[Wire]()

    def cut(wire: Wire, data: bytes) -> Verdict:
        if cuts or len(data) < 100_000:  # of a batch's million bytes
            return "pass"
        cuts.append(wire)
        return "cut"

    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        proxy.down = cut
        check_survived(lab)
    assert cuts


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("server", ["lab_a", "local"])
@pytest.mark.parametrize("verdict", ["cut", "cut after the answer"])
def test_a_commit_of_unknown_outcome_is_neither_lost_nor_made_twice(
    lab: Faulty, server: str, verdict: Verdict, number: int
) -> None:
    lab.make_tables()
    with proxied(lab.rig, lab.document, server) as proxy:
        proxy.up = judge = Judge(COMMIT, verdict, number)
        check_survived(lab)
        assert judge.given


def second_batch(event: Event) -> bool:
    return isinstance(event, Advanced) and event.address.endswith("Session") and event.entities == 4


@both_vendors
def test_all_connections_cut_at_once_with_the_locks_take_the_locks_again(lab: Faulty) -> None:
    with (
        proxied(lab.rig, lab.document, "lab_a") as source,
        proxied(lab.rig, lab.document, "local") as local,
    ):
        cut = list[Event]()

        def listener(event: Event) -> None:
            if second_batch(event) and not cut:
                cut.append(event)
                source.cut()
                local.cut()

        _, report = lab.apply(listener)
        assert cut
        assert report.succeeded, report.outcomes
        lab.check_finished()


@pytest.mark.parametrize("server", ["lab_a", "local"])
def test_an_outage_of_seconds_is_waited_for(lab: Faulty, server: str) -> None:
    with proxied(lab.rig, lab.document, server) as proxy:
        begun = list[Any]()

        def listener(event: Event) -> None:
            if second_batch(event) and not begun:
                proxy.open.clear()
                proxy.cut()
                begun.append(later(1.5, proxy.open.set))

        _, report = lab.apply(listener)
        assert report.succeeded, report.outcomes
        begun[0].join()
        lab.check_finished()


def test_an_outage_that_lasts_fails_its_links_alone_and_the_next_run_goes_on(
    lab: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "AGAIN", replace(applying.AGAIN, tries=2))
    with proxied(lab.rig, lab.document, "lab_a") as proxy:

        def outage(event: Event) -> None:
            if isinstance(event, Advanced) and event.address.endswith("Subject"):
                proxy.open.clear()
                proxy.cut()

        _, report = lab.apply(outage)
        assert ends(report) == {"Note": "done", "Subject": "failed", "Scan": "done", "Session": "skipped"}
        assert "127.0.0.1" in str(failure(report).problem)
        assert "check `host` and `port`" in str(failure(report).hint)
        proxy.open.set()
        lab.finish()


def test_a_source_that_goes_away_between_plan_and_apply_stops_its_links_alone(
    lab: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "AGAIN", replace(applying.AGAIN, tries=2))
    with proxied(lab.rig, lab.document, "lab_a") as proxy, lab.rig.job(lab.document) as job:
        plan = job.plan()
        proxy.open.clear()
        proxy.cut()
        report = job.apply(plan, lambda event: None, threading.Event())
        assert ends(report) == {"Note": "failed", "Subject": "failed", "Scan": "done", "Session": "skipped"}
    lab.finish()


def test_a_connection_cut_while_a_plan_is_made_blocks_the_links_of_its_source_alone(lab: Faulty) -> None:
    """A single cut is got over: what many links were asked at once is asked of each, by a new connection."""
    assert lab.apply()[1].succeeded
    words = b"`" + lab.rig.names("lab_note").encode() + b"`"
    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        proxy.up = judge = Judge(words, "cut")
        plan = lab.rig.plan(lab.document)
        assert judge.given
        assert not plan.has_errors
        assert not plan.has_changes
        proxy.up = lambda wire, data: "cut" if words in data else "pass"
        plan = lab.rig.plan(lab.document)
    assert plan.has_errors
    blocked = {link.address: link.blocked for link in plan.links if link.blocked}
    assert blocked
    assert all(address.startswith("lab_a.") for address in blocked)
    assert all("connection" in each.reason for several in blocked.values() for each in several)


def test_200_milliseconds_of_latency_change_nothing_but_the_time(
    lab: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ENTITIES", 1000)
    lab.make_tables()
    lab.rig.run("lab_a", "DELETE FROM {lab}.session__trial")
    lab.rig.run("lab_a", "INSERT INTO {lab}.note SELECT 10 * a.n + b.s, 0 FROM {lab}.note a, {lab}.session b")
    lab.document["sources"]["lab_a"]["schemas"][lab.rig.names("lab")] = {"tables": ["Note"]}
    del lab.document["sources"]["lab_b"]
    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        proxy.delay = 0.1  # each way
        started = time.monotonic()
        _, report = lab.apply()
        seconds = time.monotonic() - started
    assert report.succeeded, report.outcomes
    assert report.outcomes[0].counts.pulled == 27
    assert not lab.said
    assert seconds < 40  # two hundred statements at most, none of them for a row


def test_a_stall_of_seconds_is_waited_out_and_fails_nothing(lab: Faulty) -> None:
    with proxied(lab.rig, lab.document, "lab_a") as source, proxied(lab.rig, lab.document, "local") as local:
        stalled = list[Proxy]()

        def listener(event: Event) -> None:
            if isinstance(event, Advanced) and len(stalled) < 2:
                proxy = (source, local)[len(stalled)]
                stalled.append(proxy)
                proxy.flowing.clear()
                later(1.5, proxy.flowing.set)

        _, report = lab.apply(listener)
        assert len(stalled) == 2
        assert report.succeeded, report.outcomes
        assert not lab.said
        lab.check_finished()


@both_vendors
@pytest.mark.parametrize("timeout", ["net_write_timeout", "net_read_timeout"])
def test_a_server_that_will_not_wait_for_a_slow_reader_or_writer_is_asked_again(
    lab: Faulty, monkeypatch: pytest.MonkeyPatch, timeout: str
) -> None:
    """The source ends a session that takes nothing for `net_write_timeout` seconds, in mid-result; the local
    server one that sends nothing for `net_read_timeout` seconds, in mid-LOAD."""
    lab.make_tables()
    # more than the sockets between them hold
    lab.rig.run("lab_a", "UPDATE {lab}.session__trial SET data = REPEAT('y', 12000000) WHERE s < 3")
    brief = (*login.SETTINGS, f"{timeout} = 1")
    monkeypatch.setattr(login, "SETTINGS", brief)
    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        reading = Judge(b"`session__trial`", "pass")

        def stall(wire: Wire, data: bytes) -> Verdict:
            if reading.given and len(data) > 100_000 and not stalled:
                stalled.append(wire)
                proxy.flowing.clear()
                later(6, proxy.flowing.set)
            return "pass"

        stalled = list[Wire]()
        proxy.up, proxy.down = reading, stall
        _, report = lab.apply()
        assert stalled
    assert report.succeeded, report.outcomes
    assert any("reconnecting" in words for words in lab.said), lab.said
    lab.check_finished()


def test_a_peer_that_is_gone_without_a_word_is_noticed(lab: Faulty) -> None:
    """A cable that is pulled sends no end: the system asks the other side now and then whether it lives."""
    sockets = list[tuple[int, ...]]()

    def look(statement: Statement) -> None:
        opened = statement.connection._sock
        asked = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        sockets.append(
            (
                opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                *(opened.getsockopt(socket.IPPROTO_TCP, each) for each in asked),
            )
        )

    with watched(look, prefix=lab.rig.names("")):
        assert lab.apply()[1].succeeded
    assert set(sockets) == {(1, 60, 15, 4)}


def test_after_any_cut_another_djlink_that_took_the_lock_is_left_alone(lab: Faulty) -> None:
    """The lock's session is lost, and before it is made anew somebody else has the lock: the link stops."""
    lab.make_tables()
    names = [
        lock_name(row[0], "source")
        for row in lab.rig.run("lab_a", f"SELECT link_id FROM `{lab.rig.outbound}`.`~djlink`")
    ]
    with (
        proxied(lab.rig, lab.document, "lab_a") as proxy,
        lab.rig.servers.lab_a.connect() as other,
        other.cursor() as cursor,
    ):

        def steal(event: Event) -> None:
            if second_batch(event):
                proxy.cut()
                for name in names:
                    cursor.execute("SELECT GET_LOCK(%s, 5)", (name,))

        _, report = lab.apply(steal)
        stopped = failure(report)
        assert stopped.address.endswith("Session")
        assert "another djlink works on this link" in str(stopped.problem)
        assert stopped.counts.pulled == 4
    lab.finish()


def test_the_statement_that_meets_the_cut_is_told(lab: Faulty) -> None:
    with proxied(lab.rig, lab.document, "local") as proxy:
        hook = once(
            lambda s: s.port == proxy.port and s.begins(f"INSERT INTO `{lab.local}`"), lambda s: proxy.cut()
        )
        with watched(hook, prefix=lab.rig.names("")):
            check_survived(lab)
    assert any("connection" in words for words in lab.said)
