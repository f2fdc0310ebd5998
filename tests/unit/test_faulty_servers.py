"""Whatever a server answers, or if it answers nothing: an error of that server, in our words, and in time."""

from __future__ import annotations

import re
import struct
import threading
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import ConnectionLost, ServerError, Unreachable, Unusable
from djlink_manifest.servers.session import login, patience
from djlink_manifest.servers.session.checked_values import (
    Kind,
    a_count,
    a_flag,
    a_moment,
    a_name,
    a_number,
    a_text,
    an_optional_moment,
)
from djlink_manifest.servers.session.error_words import WORDS
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.pool import Pool
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql
from tests.support.faults.fake_server import (
    END,
    OK,
    SALT,
    STAGES,
    Conversation,
    Faulty,
    Script,
    Stage,
    answering,
    dripping,
    error_packet,
    fake_server,
    greeting,
    sending,
    switching,
)

SILENT = sending(b"", then_silent=True)
HUGE = b"\xff\xff\xff"
AT_LOGIN: dict[str, Script] = {
    "mysql_old_password": Faulty("authentication", switching("mysql_old_password")),
    "mysql_clear_password": Faulty("authentication", switching("mysql_clear_password")),
    "dialog": Faulty("authentication", switching("dialog")),
    "client_ed25519": Faulty("authentication", switching("client_ed25519")),
    "an unknown plugin": Faulty("authentication", switching("\x1b[2Jnonsense")),
    "a switch without an end": Faulty("authentication", answering(b"\xfe")),
    "switch after switch": Faulty("authentication", answering(b"\xfemysql_native_password\0", b"\xfe\0")),
    "extra data": Faulty("authentication", answering(b"\x01\x04")),
    "an odd version": Faulty(version="nine.point"),
    "no version": Faulty(version=""),
    "an old version": Faulty(version="5.5.62"),
    "an SSH server": sending(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "a web server": sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "an empty packet": answering(b""),
    "a short greeting": answering(greeting()[:20]),
    "half a greeting": sending(b"\x4a\0\0\0" + greeting()[:9]),
    "a wrong sequence number": sending(len(greeting()).to_bytes(3, "little") + b"\x05" + greeting()),
    "an odd charset": answering(greeting().replace(struct.pack("<B", 45) + b"\x02\0", b"\xff\x02\0")),
    "a plugin that is no text": answering(greeting(plugin="x").replace(b"x\0", b"\xff\xfe\0")),
    "an error without a text": answering(b"\xff"),
    "an error that is no text": answering(b"\xff\x15\x04\x80\xff\xfe"),
    "a result at once": Faulty("authentication", answering(b"\x02")),
}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long at a login."""
    monkeypatch.setattr(patience, "LOGIN_SILENCE", 0.1)
    monkeypatch.setattr(patience, "LOGIN_TIME", 0.3)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is asked soon whether a statement still runs."""
    monkeypatch.setattr(patience, "ASK_AFTER", 0.1)


def check_told(error: ServerError) -> None:
    """It names the server and a next step, without what a terminal acts upon, and without the password."""
    assert error.server == "lab_a"
    assert error.hint
    assert error.message.isprintable()
    assert len(error.message) < 1000
    assert "a-secret-of-tests" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize("case", AT_LOGIN)
def test_what_is_odd_at_a_login_makes_the_server_unreachable(case: str) -> None:
    with fake_server(AT_LOGIN[case]) as server, pytest.raises(Unreachable) as caught:
        open_session(server.address(), Session)
    check_told(caught.value)


@pytest.mark.parametrize("plugin", ["mysql_old_password", "mysql_clear_password", "dialog", "client_ed25519"])
def test_a_method_of_logging_in_that_is_not_supported_is_named(plugin: str) -> None:
    words = f"a method that djlink does not support: {plugin}"
    with (
        fake_server(Faulty("authentication", switching(plugin))) as server,
        pytest.raises(Unreachable, match=words) as caught,
    ):
        open_session(server.address(), Session)
    assert "ask its administrator" in str(caught.value.hint)


def asking_for_the_password(key: bytes, got: list[bytes], plugin: str, *, asked: bool) -> Script:
    """A fault: whoever stands between client and server wants the password under a key of their own."""

    def fault(talk: Conversation) -> None:
        talk.send(b"\xfe" + plugin.encode() + b"\x00" + SALT + b"\x00")
        got.append(talk.receive())
        if plugin == "caching_sha2_password":
            talk.send(b"\x01\x04")
            got.append(talk.receive())
        if asked:
            talk.send(b"\x01" + key)
        got.append(talk.receive())
        talk.send(OK)

    return fault


@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
@pytest.mark.parametrize("host", ["127.0.0.1", "db.lab.example"])
def test_the_password_is_not_sent_under_a_key_that_nobody_verified(
    plugin: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = rsa.generate_private_key(65537, 2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    key = private.public_key().public_bytes(serialization.Encoding.PEM, form)
    got = list[bytes]()
    monkeypatch.setattr(login, "is_loopback", lambda name: host == "127.0.0.1")
    with fake_server(
        Faulty("authentication", asking_for_the_password(key, got, plugin, asked=True))
    ) as server:
        if host == "127.0.0.1":
            with suppress(Unreachable):  # the fault ends the connection
                open_session(server.address(), Session)
        else:
            words = "cannot be sent the password of link without TLS"
            with pytest.raises(Unreachable, match=words) as caught:
                open_session(server.address(), Session)
            check_told(caught.value)
    sent = [each for each in got if len(each) == 256]
    assert len(sent) == (1 if host == "127.0.0.1" else 0)
    assert not any(b"a-secret-of-tests" in each for each in got)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("stage", STAGES[:-1])
def test_silence_at_any_stage_of_a_login_ends_it(stage: Stage) -> None:
    with (
        fake_server(Faulty(stage, SILENT)) as server,
        pytest.raises(Unusable, match=r"did not|was not") as caught,
    ):
        open_session(server.address(), Session)
    check_told(caught.value)


@pytest.mark.usefixtures("brief")
def test_a_login_that_drips_without_end_ends_in_time() -> None:
    with fake_server(dripping) as server, pytest.raises(Unusable, match="was not completed") as caught:
        open_session(server.address(), Session)
    check_told(caught.value)


def asked(fault: Script, *, streamed: bool = False) -> ServerError:
    """The error of a SELECT."""
    with fake_server(Faulty("rows", fault)) as server:
        session = open_session(server.address(), Session)
        statement = sql("SELECT a FROM t")
        with pytest.raises(ServerError) as caught:
            list(session.stream(statement)) if streamed else session.rows(statement)
        session.close()
    check_told(caught.value)
    return caught.value


RESULTS: dict[str, bytes] = {
    "no columns": b"\xfb/etc/passwd",
    "too many columns": b"\xfe" + b"\xff" * 8,
    "a column that ends early": b"\x01",
    "an empty packet": b"",
    "an error without a text": b"\xff",
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("case", RESULTS)
def test_a_malformed_result_is_an_error_of_its_server(case: str, streamed: bool) -> None:
    assert isinstance(asked(answering(RESULTS[case], b"\x00", b"\x03x"), streamed=streamed), ServerError)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_row_of_fewer_values_than_columns_makes_the_server_unusable(streamed: bool) -> None:
    def fault(talk: Conversation) -> None:
        column = b"\x03def" + b"\0" * 3 + b"\x01a\0" + b"\x0c" + struct.pack("<HIBHBH", 45, 9, 0xFD, 0, 0, 0)
        talk.send(b"\x02", column, column, END, b"\x01x", END)

    assert "cannot be read" in asked(fault, streamed=streamed).message


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("streamed", [False, True])
def test_silence_in_the_middle_of_a_result_ends_where_the_server_answers_nobody(
    streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lets the first login through and no other."""
    silent = Faulty("rows", answering(b"\x01", then_silent=True))

    def script(talk: Conversation) -> None:
        (silent if talk.server.logins == 1 else SILENT)(talk)

    with fake_server(script) as server:
        session = open_session(server.address(), Session)
        monkeypatch.setattr(patience, "LOGIN_SILENCE", 0.1)
        with pytest.raises(Unusable, match="did not answer") as caught:
            list(session.stream(sql("SELECT a FROM t"))) if streamed else session.rows(sql("SELECT a FROM t"))
        session.close()
    check_told(caught.value)


def waiting_server(sessions: list[tuple[str, ...]]) -> Script:
    """A server that is silent at the first session's statement, and lists these sessions to the others."""
    first = Faulty("rows", SILENT)
    others = Faulty(answers={"SHOW PROCESSLIST": (("Id",), sessions)})
    return lambda talk: (first if talk.server.logins == 1 else others)(talk)


@pytest.mark.usefixtures("asking")
def test_a_silent_statement_goes_on_while_the_server_says_so_up_to_a_limit_and_is_ended_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "LONGEST", 0.5)
    with fake_server(waiting_server([("7",)])) as server:
        session = open_session(server.address(), Session)
        with pytest.raises(ServerError, match="did not answer") as caught:
            session.rows(sql("SELECT SLEEP(1000)"))
        assert server.statements.count("SHOW PROCESSLIST") >= 2
        assert server.statements[-1] == "KILL QUERY 7"
        session.close()
    assert not isinstance(caught.value, Unusable), "other links of the server go on"
    assert "SHOW PROCESSLIST" in str(caught.value.hint)


@pytest.mark.usefixtures("asking")
def test_a_session_that_the_server_no_longer_has_is_lost() -> None:
    with fake_server(waiting_server([("8",)])) as server:
        session = open_session(server.address(), Session)
        with pytest.raises(ConnectionLost, match="no longer has the session"):
            session.rows(sql("SELECT a FROM t"))
        session.close()


@pytest.mark.usefixtures("brief")
def test_once_a_server_proved_unusable_nobody_waits_for_it_again() -> None:
    with fake_server(Faulty("greeting", SILENT)) as server:
        pool = Pool(server.address(), Session)
        for _ in range(3):
            with pytest.raises(Unusable, match="was not completed"), pool.session():
                pass
        assert server.logins == 1


@pytest.mark.parametrize("number", sorted(WORDS))
def test_each_error_number_has_our_words_and_a_next_step(number: int) -> None:
    error = asked(answering(error_packet(number, b"Some words\x1b[2J \xff of the server")))
    assert WORDS[number].problem in error.message or number in {1044, 1142, 1143}
    assert "Some words" in error.said


def test_an_unknown_error_number_is_told_with_it() -> None:
    error = asked(answering(error_packet(4999, b"x" * 100_000)))
    assert re.match(r"the server refused a statement \(error 4999\): x+…$", error.message)


GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=40).map(lambda body: len(body).to_bytes(3, "little") + b"\x01" + body),
    st.binary(max_size=40).map(lambda body: HUGE + b"\x01" + body),
    st.sampled_from([OK, END, greeting(), error_packet(1045, b"\xff")]).flatmap(
        lambda packet: st.integers(0, len(packet)).map(
            lambda cut: len(packet).to_bytes(3, "little") + b"\x02" + packet[:cut]
        )
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=GARBAGE, stage=st.sampled_from(STAGES), streamed=st.booleans())
def test_garbage_at_any_stage_is_an_error_of_its_server(data: bytes, stage: Stage, streamed: bool) -> None:
    with fake_server(Faulty(stage, sending(data))) as server:
        try:
            session = open_session(server.address(), Session)
            statement = sql("SELECT a FROM t")
            found = list(session.stream(statement)) if streamed else session.rows(statement)
        except ServerError as error:
            check_told(error)
        else:  # by chance it may be an answer
            assert found == []
            session.close()


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few answers fill the memory."""
    monkeypatch.setattr(patience, "MOST_BYTES", 100_000)
    monkeypatch.setattr(patience, "MOST_STREAMED", 200_000)
    monkeypatch.setattr(patience, "MOST_PACKETS", 5_000)
    monkeypatch.setattr(patience, "LARGEST_PACKET", 20 << 20)
    monkeypatch.setattr(patience, "LOGIN_BYTES", 20_000)


def endless(talk: Conversation, body: bytes = b"\x05abcde") -> None:
    """A fault: a result whose rows do not end."""
    column = b"\x03def" + b"\0" * 3 + b"\x01a\0" + b"\x0c" + struct.pack("<HIBHBH", 45, 9, 0xFD, 0, 0, 0)
    talk.send(b"\x01", column, END)
    while True:
        talk.send(*[body] * 100)


def long_packet(talk: Conversation) -> None:
    """A fault: a packet that does not end."""
    while True:
        talk.raw(b"\xff\xff\xff" + bytes([talk.sequence]) + bytes(0xFFFFFF))
        talk.sequence = (talk.sequence + 1) & 0xFF


def more_results(talk: Conversation) -> None:
    """A fault: result after result."""
    while True:
        talk.send(b"\x00\x00\x00\x0a\x00\x00\x00")


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", [endless, long_packet, more_results])
def test_an_answer_without_an_end_makes_the_server_unusable(fault: Script, streamed: bool) -> None:
    assert isinstance(asked(fault, streamed=streamed), Unusable | ConnectionLost)


@pytest.mark.usefixtures("little")
def test_rows_that_are_held_are_no_more_than_memory_takes() -> None:
    with fake_server(Faulty("rows", endless)) as server:
        session = open_session(server.address(), Session)
        with pytest.raises(Unusable, match="larger than any"):
            session.raw_rows(sql("SELECT a FROM t"))
        session.close()


@pytest.mark.usefixtures("little", "brief")
@pytest.mark.parametrize("stage", STAGES[:-1])
def test_an_answer_without_an_end_ends_a_login(stage: Stage) -> None:
    with fake_server(Faulty(stage, long_packet)) as server, pytest.raises(ServerError) as caught:
        open_session(server.address(), Session)
    check_told(caught.value)


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_drips_ends_in_time(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST", 0.3)

    def dripping_rows(talk: Conversation) -> None:
        talk.raw(b"\xff\xff\xff" + bytes([talk.sequence]))
        while True:
            talk.raw(b"a")
            threading.Event().wait(0.05)

    assert "did not answer" in asked(dripping_rows, streamed=streamed).message


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *(("x", each) for each in (a_count, a_number, a_flag, a_moment, an_optional_moment)),
        *((None, each) for each in (a_count, a_number, a_text, a_name, a_moment)),
        *(("-1", a_count), ("9" * 30, a_count), ("1.5", a_number), ("7", a_flag), ("y" * 65, a_name)),
        ("0000-00-00 00:00:00", a_moment),
    ],
)
def test_a_value_of_another_kind_is_an_error_of_its_server(value: str | None, kind: Kind) -> None:
    answers = {"SELECT a": (["a"], [(value,)])}
    with fake_server(Faulty(answers=answers)) as server:
        session = open_session(server.address(), Session)
        with pytest.raises(ServerError, match="its response has a") as caught:
            session.value(sql("SELECT a FROM t"), kind)
        check_told(caught.value)
        with pytest.raises(ServerError, match="cannot be read"):
            session.rows(sql("SELECT a FROM t"), kind, kind)
        session.close()
