"""Large links are pulled by ranges of their key, several at once; rows are loaded in bulk where it holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.errors import ServerError
from djlink_manifest.model.server.address import Secret, ServerAddress
from djlink_manifest.reconcile.apply import pull
from djlink_manifest.reconcile.runtime.events import Advanced, Event, Message
from djlink_manifest.sandbox import ServerOptions, start_server
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Writer
from djlink_manifest.servers.sql import Sql
from tests.support.definitions import every_value
from tests.support.pipelines.trials import COUNT, held, is_the_source, loads, local_count, made_large
from tests.support.rig import PASSWORD, Rig, everything, quiet
from tests.support.servers import ALIKE, PAIRS, Servers, drop_everything, new_names
from tests.support.sql import numbers, run_all
from tests.support.statements import Statement, kill, once, watched

every_pair = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
both_vendors = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)


@pytest.fixture
def large(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A link that counts as large, in batches of few entities."""
    return made_large(rig, monkeypatch)


def snapshot(statement: Statement, rig: Rig) -> bool:
    """Whether the source is about to be read at one moment."""
    of_source = statement.port == rig.servers.lab_a.port
    return of_source and statement.begins("START TRANSACTION WITH CONSISTENT SNAPSHOT")


@every_pair
def test_a_large_link_arrives_whole_by_several_workers_at_once(large: Rig) -> None:
    with watched(prefix=large.names("")) as sent:
        _, report = large.apply(everything(large), parallelism=4)
    assert report.succeeded, report
    assert report.outcomes[0].counts.pulled == held(large) == COUNT
    assert is_the_source(large)
    assert len({s.session for s in sent if loads(s)}) > 1, "more than one worker loaded rows"
    assert not any(s.begins("INSERT INTO") and ".`trial`" in s.text and "VALUES" in s.text for s in sent)
    assert not large.plan(everything(large)).has_changes


@every_pair
def test_ranges_of_keys_in_other_character_sets_and_collations_hold(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_large(rig, monkeypatch)
    run_all(
        rig,
        "CREATE TABLE {lab}.word (german varchar(9) CHARACTER SET latin1 COLLATE latin1_german1_ci,"
        " three char(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci, n int,"
        " PRIMARY KEY (german, three, n))",
        f"INSERT INTO {{lab}}.word {numbers(300)} SELECT ELT(1 + i % 4, 'a', 'Ä', 'ß', '€'),"
        " ELT(1 + i % 3, 'ß', '日', ''), i FROM n",
    )
    with watched(prefix=rig.names("")) as sent:
        assert rig.apply(everything(rig), parallelism=2)[1].succeeded
    local_schema = rig.local_schema("lab_a", "lab")
    source_rows = every_value(rig.servers.lab_a, rig.names("lab"), "word")
    assert every_value(rig.servers.local, local_schema, "word") == source_rows
    assert len([s for s in sent if loads(s) and ".`word`" in s.text]) > 3, "in ranges"
    assert not rig.plan(everything(rig)).has_changes


@pytest.mark.parametrize("server", ["lab_a", "local"])
def test_a_helper_that_loses_its_session_goes_on(large: Rig, server: str) -> None:
    own, lost = list[int](), list[int]()

    def lose(statement: Statement) -> None:
        if statement.begins("CREATE TABLE"):
            own.append(threading.get_ident())  # the link's own worker makes its tables
        at_work = loads(statement) if server == "local" else snapshot(statement, large)
        if at_work and own and not lost and threading.get_ident() not in own:
            lost.append(statement.session)
            kill(large, server, statement.session)

    with watched(lose, prefix=large.names("")):
        _, report = large.apply(everything(large), parallelism=3)
    assert lost, "a helper was at work"
    assert report.succeeded, report
    assert is_the_source(large)
    assert held(large) == COUNT


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize(("server", "user"), [("lab_a", "link"), ("local", "lab")])
def test_a_link_is_pulled_whole_where_its_helpers_get_no_session(large: Rig, server: str, user: str) -> None:
    with large.job(everything(large), parallelism=4) as job:
        plan = job.plan()
        # one for the locks and one to work with: a first limit counts the sessions that come after it
        large.run(server, f"ALTER USER '{large.names(user)}'@'%' WITH MAX_USER_CONNECTIONS 2")
        told = list[Event]()
        report = job.apply(plan, told.append, threading.Event())
    assert report.succeeded, report
    assert not [each for each in told if isinstance(each, Message)], "no session was waited for"
    assert is_the_source(large)
    assert held(large) == COUNT


def test_part_rows_of_no_entity_stay_at_the_source(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "SPREAD_ENTITIES", 5)
    run_all(
        rig,
        "CREATE DATABASE {lab}",
        "CREATE TABLE {lab}.trial (n int PRIMARY KEY)",
        "CREATE TABLE {lab}.trial__event (e int PRIMARY KEY, n int NULL,"
        " FOREIGN KEY (n) REFERENCES {lab}.trial (n))",
        f"INSERT INTO {{lab}}.trial {numbers(10)} SELECT i FROM n",
        "INSERT INTO {lab}.trial__event SELECT n, NULLIF(n, 3) FROM {lab}.trial",
    )
    rig.accounts({"lab_a": ["lab"]})
    assert rig.apply(everything(rig))[1].succeeded
    local_schema = rig.local_schema("lab_a", "lab")
    rows = rig.servers.local.execute(f"SELECT COUNT(*), COUNT(n) FROM `{local_schema}`.trial__event")
    assert rows == [(9, 9)], "whichever way it is copied"
    assert not rig.plan(everything(rig)).has_changes


def test_entities_that_the_local_server_refuses_are_found_within_a_range(large: Rig) -> None:
    local_schema = large.local_schema("lab_a", "lab")
    with large.job(everything(large)) as job:
        plan = job.plan()

        def collide(statement: Statement) -> None:
            large.servers.local.execute(
                f"INSERT INTO `{local_schema}`.trial (subject, day, n, tag) VALUES ('own', "
                "'2020-01-01', 1, 450)"
            )

        with watched(once(loads, collide), prefix=large.names("")):
            report = job.apply(plan, quiet, threading.Event())
    [outcome] = report.outcomes
    assert (outcome.status, outcome.counts.refused, outcome.counts.pulled) == ("failed", 1, COUNT - 1)
    assert held(large) == COUNT - 1, "what was refused is not held"
    assert local_count(large) == COUNT


def test_a_source_that_changes_meanwhile_leaves_nothing_half(large: Rig) -> None:
    def change(statement: Statement) -> None:
        run_all(
            large,
            "DELETE FROM {lab}.trial__event WHERE day = '2026-01-07' AND n >= 700",
            "DELETE FROM {lab}.trial WHERE day = '2026-01-07' AND n >= 700",
            "INSERT INTO {lab}.trial (subject, day, n) VALUES ('a', '2026-01-01', 0)",  # that range is taken
            "INSERT INTO {lab}.trial (subject, day, n) VALUES"
            " ('new', '2026-01-05', 5000), ('z', '2030-01-01', 1)",
            "INSERT INTO {lab}.trial__event (day, subject, n, e)"
            " SELECT day, subject, n, 2 FROM {lab}.trial WHERE tag IS NULL",
        )

    with watched(once(loads, change), prefix=large.names("")):
        _, report = large.apply(everything(large), parallelism=2)
    assert report.succeeded, report
    assert local_count(large) == held(large)
    assert large.apply(everything(large))[1].succeeded
    assert is_the_source(large)


@both_vendors
@pytest.mark.parametrize("infile", [True, False], ids=["loaded", "inserted"])
def test_a_row_that_comes_between_registration_and_copy_is_left_for_the_next_apply(
    large: Rig, monkeypatch: pytest.MonkeyPatch, infile: bool
) -> None:
    """What is read of a range is then more than what is held: it is read again, joined with what is held."""
    if not infile:
        never = property(lambda self: False, lambda self, value: None)
        monkeypatch.setattr(Writer, "loads", never, raising=False)
    outbound, registered = f"`{large.outbound}`.`{large.names('lab')}_trial`", list[int]()

    def come(statement: Statement) -> None:
        if statement.port != large.servers.lab_a.port:
            return
        if not registered and statement.begins(f"INSERT INTO {outbound}"):
            registered.append(statement.session)
        elif len(registered) == 1 and statement.session == registered[0] and snapshot(statement, large):
            registered.append(statement.session)
            run_all(
                large,
                "INSERT INTO {lab}.trial (subject, day, n) VALUES ('a', '2026-01-01', 0)",
                "INSERT INTO {lab}.trial__event VALUES ('2026-01-01', 'a', 0, 1, 'late')",
            )

    with watched(come, prefix=large.names("")) as sent:
        _, report = large.apply(everything(large), parallelism=1)
    assert report.succeeded, report
    assert len(registered) == 2
    joined = [s for s in sent if s.begins("SELECT STRAIGHT_JOIN") and f"FROM {outbound} o JOIN" in s.text]
    assert len(joined) == 2, "both tables of that range, and of no other"
    assert report.outcomes[0].counts.pulled == held(large) == local_count(large) == COUNT
    assert large.apply(everything(large))[1].succeeded
    assert is_the_source(large)


def test_a_pull_of_ranges_that_is_stopped_goes_on_where_it_ended(large: Rig) -> None:
    stop = threading.Event()

    def listener(event: Any) -> None:
        if isinstance(event, Advanced):
            stop.set()

    _, report = large.apply(everything(large), listener, stop, parallelism=2)
    assert report.interrupted
    assert 0 < local_count(large) < COUNT
    assert local_count(large) <= held(large)
    assert large.apply(everything(large), parallelism=2)[1].succeeded
    assert is_the_source(large)


@contextmanager
def with_local(servers: Servers, folder: Path, *extra: str) -> Iterator[Rig]:
    """A rig whose local server is one of its own, with other settings."""
    with start_server("other", ServerOptions(extra=extra)) as local:
        names = new_names()
        rig = Rig(Servers(servers.lab_a, servers.lab_b, local), names, folder)
        try:
            yield rig
        finally:
            drop_everything(servers.lab_a, names)


def test_where_local_infile_is_off_rows_are_inserted(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with with_local(servers, tmp_path, "--local-infile=OFF") as rig:
        made_large(rig, monkeypatch)
        with watched(prefix=rig.names("")) as sent:
            _, report = rig.apply(everything(rig), parallelism=2)
        assert report.succeeded, report
        assert is_the_source(rig)
        assert len([s for s in sent if loads(s)]) <= 4, "each session tries once at most"


def test_a_small_packet_limit_bounds_what_is_loaded(servers: Servers, tmp_path: Path) -> None:
    with with_local(servers, tmp_path, "--max-allowed-packet=1M") as rig:
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.image (id int PRIMARY KEY, data longblob)",
            "INSERT INTO {lab}.image VALUES (1, REPEAT('x', 900000)), (2, REPEAT('y', 3000000)), (3, 'z')",
        )
        rig.accounts({"lab_a": ["lab"]})
        [outcome] = rig.apply(everything(rig))[1].outcomes
        assert (outcome.status, outcome.counts.pulled, outcome.counts.refused) == ("failed", 2, 1)
        assert "max_allowed_packet" in (outcome.problem or "")


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_wide_keys_are_sent_in_statements_that_a_small_packet_limit_takes(
    servers: Servers, tmp_path: Path
) -> None:
    options = ServerOptions(servers.pair.source, extra=("--max-allowed-packet=1M",))
    with start_server("small", options) as small:
        rig = Rig(Servers(small, servers.lab_b, small), new_names(), tmp_path)
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.wide (k varchar(700) COLLATE utf8mb4_bin PRIMARY KEY, n int)",
            f"INSERT INTO {{lab}}.wide {numbers(900)} SELECT CONCAT(i, REPEAT('😀', 690)), i FROM n",
        )
        rig.accounts({"lab_a": ["lab"]})
        document, out = everything(rig), rig.outbound_table("lab", "wide")
        assert rig.apply(document)[1].succeeded
        rig.run("lab_a", f"DELETE FROM {out}")
        with watched(prefix=rig.names("")) as sent:
            assert [o.counts.registered for o in rig.apply(document)[1].outcomes] == [900]
            run_all(rig, f"DELETE FROM `{rig.local_schema('lab_a', 'lab')}`.wide WHERE n > 1", server="local")
            some = rig.document({"lab_a": {"lab": {"tables": {"*": {"where": "n = 1"}}}}})
            assert [o.counts.released for o in rig.apply(some)[1].outcomes] == [899]
        assert rig.run("lab_a", f"SELECT COUNT(*) FROM {out}") == [(1,)]
        assert max(s.size for s in sent) < 1 << 20


def test_a_server_that_asks_for_a_file_gets_none(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("1\n")
    run_all(rig, "CREATE DATABASE {lab}", server="local")
    rig.run("local", "CREATE TABLE {lab}.t (a int)")
    rig.accounts({"lab_a": ["lab"]})
    server = rig.servers.local
    address = ServerAddress("local", server.host, server.port, rig.names("lab"), Secret(PASSWORD))
    with (
        closing(open_session(address, Writer)) as session,
        pytest.raises(ServerError, match="the request was refused"),
    ):
        session.execute(Sql(f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE `{rig.names('lab')}`.t"))
    assert rig.run("local", "SELECT COUNT(*) FROM {lab}.t") == [(0,)]
