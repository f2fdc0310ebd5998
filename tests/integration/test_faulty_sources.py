"""One server answers nonsense, or nothing, at any time: its links are told and the others are done."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.errors import Unusable
from djlink_manifest.reconcile.runtime.events import Advanced, Event
from djlink_manifest.servers.session import patience
from tests.support.command import run, start
from tests.support.faults.fake_server import STAGES, Faulty, Stage, answering, fake_server, sending, switching
from tests.support.faults.pipeline import Faulty as Pipeline
from tests.support.faults.pipeline import ends, failure, faulty
from tests.support.faults.proxy import Verdict, Wire, proxied
from tests.support.servers import ALIKE, Servers

SILENT = sending(b"", then_silent=True)
GARBAGE = sending(b"\x07\0\0\x01\x05garbage")
NONSENSE = b"\x03\0\0\x77abc"  # out of order


@pytest.fixture
def lab(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """The pipeline over two sources; nobody waits for long."""
    monkeypatch.setattr(patience, "LOGIN_SILENCE", 1.0)
    monkeypatch.setattr(patience, "ASK_AFTER", 0.5)
    with faulty(servers, tmp_path) as found:
        yield found


def led_to(document: dict[str, Any], place: str, port: int) -> dict[str, Any]:
    """The manifest with another port of a source, or of the local server."""
    if place == "local":
        return {**document, "local": {**document["local"], "port": port}}
    sources = document["sources"]
    return {**document, "sources": {**sources, place: {**sources[place], "port": port}}}


@pytest.mark.parametrize(
    "script",
    [
        *(Faulty(stage, GARBAGE) for stage in STAGES),
        *(Faulty(stage, SILENT) for stage in STAGES),
        Faulty("authentication", switching("mysql_old_password")),
        Faulty("rows", answering(b"\x01", then_silent=True)),
        Faulty(version="odd"),
    ],
    ids=lambda script: f"{script.stage} {script.version}",
)
def test_a_source_that_answers_nonsense_or_nothing_is_told_and_the_other_is_planned(
    lab: Pipeline, script: Faulty
) -> None:
    with fake_server(script) as server:
        plan = lab.rig.plan(led_to(lab.document, "lab_a", server.port))
    [facts] = [each for each in plan.sources if each.problem]
    assert (facts.name, bool(facts.hint)) == ("lab_a", True)
    assert plan.has_errors
    assert [link.address for link in plan.links if link.actions] == [lab.rig.address("lab_b", "lab", "Scan")]


@pytest.mark.parametrize("stage", ["authentication", "rows"])
def test_a_local_server_that_answers_nonsense_ends_the_command_with_an_error(
    lab: Pipeline, stage: Stage
) -> None:
    with fake_server(Faulty(stage, GARBAGE)) as server:
        path = lab.rig.write(led_to(lab.document, "local", server.port))
        code, out, err = run(lab.rig, path, "plan")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "server:  local" in err.replace("server: local", "server:  local")
    assert "next:" in err


def test_with_debug_the_place_of_an_exception_is_shown(lab: Pipeline) -> None:
    with fake_server(Faulty("authentication", GARBAGE)) as server:
        path = lab.rig.write(led_to(lab.document, "lab_a", server.port))
        _, _, err = run(lab.rig, path, "plan", "--debug")
    assert "connections.py:" in err


def test_a_source_whose_answers_become_nonsense_while_it_is_observed_is_left_out(lab: Pipeline) -> None:
    assert lab.apply()[1].succeeded
    lab.rig.run("lab_b", "INSERT INTO {lab}.scan VALUES (4, 4)")
    words = b"`" + lab.rig.names("lab_note").encode() + b"`"
    spoilt = list[bytes]()

    def ask(wire: Wire, data: bytes) -> Verdict:
        if words in data:
            spoilt.append(data)
        return "pass"

    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        proxy.up = ask
        proxy.rewrite = lambda wire, data: NONSENSE if spoilt else data
        plan, report = lab.apply()
    assert spoilt
    [facts] = [each for each in plan.sources if each.problem]
    assert facts.name == "lab_a"
    assert "cannot be read" in str(facts.problem)
    assert ends(report) == {"Scan": "done"}


def test_an_answer_that_a_line_loses_without_a_word_is_asked_for_again(
    lab: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOST_AFTER", 1)
    lab.make_tables()
    lost = list[Wire]()

    def ask(wire: Wire, data: bytes) -> Verdict:
        if not lost and b"INSERT INTO" in data and lab.rig.names("lab_subject").encode() in data:
            lost.append(wire)
        return "pass"

    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        proxy.up = ask
        proxy.rewrite = lambda wire, data: b"" if wire in lost else data
        _, report = lab.apply()
    assert lost
    assert report.succeeded, report.outcomes


def test_a_source_whose_answers_become_nonsense_in_an_apply_fails_its_links_alone(lab: Pipeline) -> None:
    lab.make_tables()
    begun = list[Event]()

    def listener(event: Event) -> None:
        if isinstance(event, Advanced) and event.address.endswith("Subject"):
            begun.append(event)

    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        proxy.rewrite = lambda wire, data: NONSENSE if begun else data
        _, report = lab.apply(listener)
    assert begun
    found = ends(report)
    assert found["Scan"] == "done"
    assert "failed" in found.values()
    failed = [o for o in report.outcomes if o.status == "failed"]
    assert all("lab_a" in str(o.problem) and o.hint for o in failed), failed
    lab.finish()


def test_a_source_that_falls_silent_in_an_apply_fails_its_links_in_time(lab: Pipeline) -> None:
    lab.make_tables()
    with proxied(lab.rig, lab.document, "lab_a") as proxy:

        def listener(event: Event) -> None:
            if isinstance(event, Advanced) and event.address.endswith("Subject"):
                proxy.flowing.clear()

        _, report = lab.apply(listener)
        assert ends(report)["Scan"] == "done"
        told = failure(report) if list(ends(report).values()).count("failed") == 1 else report.outcomes[0]
        assert "lab_a" in str([o.problem for o in report.outcomes])
        assert told.hint
        proxy.flowing.set()
    lab.finish()


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_a_view_that_waits_in_place_of_a_table_blocks_its_link_and_is_ended_on_the_server_too(
    lab: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST", 1.0)
    lab.make_tables()
    with lab.rig.job(lab.document) as job:
        lab.rig.run("lab_a", "RENAME TABLE {lab}.note TO {lab}.note_before")
        view = "CREATE VIEW {lab}.note AS SELECT n, v FROM {lab}.note_before WHERE SLEEP(1000) = 0"
        lab.rig.run("lab_a", view)
        plan = job.plan()
    [blocked] = [link for link in plan.links if link.blocked]
    assert blocked.address == lab.rig.address("lab_a", "lab", "Note")
    assert "lab_a: the server did not answer" in blocked.blocked[0].reason
    assert sum(bool(link.actions) for link in plan.links) == 3
    running = lab.rig.run("lab_a", "SHOW FULL PROCESSLIST")
    assert not [row for row in running if "note" in str(row[7]) and row[1] == lab.rig.names("link")]


def test_a_plan_that_waits_for_a_silent_source_ends_at_once_with_ctrl_c(lab: Pipeline) -> None:
    with fake_server(Faulty("rows", SILENT)) as server:
        path = lab.rig.write(led_to(lab.document, "lab_a", server.port))
        process = start(lab.rig, path, "plan")
        while not any(text.startswith("SELECT SCHEMA_NAME") for text in server.statements):
            time.sleep(0.02)
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        try:
            assert process.wait(5) == 130
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert "Interrupted" in process.communicate()[1]


def test_an_unusable_local_server_ends_a_plan_that_observes(lab: Pipeline) -> None:
    assert lab.apply()[1].succeeded
    seen = list[bytes]()

    def ask(wire: Wire, data: bytes) -> Verdict:
        if b"`note`" in data:
            seen.append(data)
        return "pass"

    with proxied(lab.rig, lab.document, "local") as proxy:
        proxy.up = ask
        proxy.rewrite = lambda wire, data: NONSENSE if seen else data
        with pytest.raises(Unusable, match="cannot be read") as caught:
            lab.rig.plan(lab.document)
    assert caught.value.server == "local"
