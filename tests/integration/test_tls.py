"""TLS that is asked for is enforced, on real servers with and without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest import LazySchema
from djlink_manifest.errors import Unreachable
from djlink_manifest.manifest.load import load
from djlink_manifest.manifest.models.secrets import resolve_server
from djlink_manifest.reconcile.state.snapshot import ServerFacts
from djlink_manifest.sandbox import SandboxServer, ServerOptions, running_servers
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import Names, Servers, drop_everything
from tests.support.sql import ask, run_all


@pytest.fixture(scope="module")
def pair() -> Iterator[dict[str, SandboxServer]]:
    """`strict` refuses plain sessions and is reached at every address of this machine; `lax` takes both."""
    extra = ("--require-secure-transport=ON", "--bind-address=0.0.0.0")
    wanted = {"strict": ServerOptions(tls=True, extra=extra), "lax": ServerOptions(tls=True)}
    with running_servers(wanted) as started:
        yield started


@pytest.fixture
def tls(pair: dict[str, SandboxServer], servers: Servers, names: Names, tmp_path: Path) -> Iterator[Rig]:
    """A rig whose sources are `strict` (lab_a) and `lax` (lab_b)."""
    rig = Rig(Servers(pair["strict"], pair["lax"], servers.local), names, tmp_path)
    for name in ("lab_a", "lab_b"):
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.t (id int PRIMARY KEY, x varchar(9))",
            "INSERT INTO {lab}.t VALUES (1, 'é')",
            server=name,
        )
    rig.accounts({"lab_a": ["lab"], "lab_b": ["lab"]})
    yield rig
    for server in pair.values():
        drop_everything(server, names)


def document(rig: Rig, source: str, **settings: Any) -> dict[str, Any]:
    """A manifest with one source, its server's settings changed."""
    made = rig.document({source: {"lab": {"tables": "*"}}})
    made["sources"][source].update(settings)
    return made


def facts(rig: Rig, made: dict[str, Any]) -> ServerFacts:
    [found] = rig.plan(made).sources
    return found


def authority(server: SandboxServer) -> dict[str, str]:
    assert server.ca_path is not None
    return {"ca": str(server.ca_path)}


def cipher(rig: Rig, made: dict[str, Any]) -> str:
    """The cipher of a session that djlink opens to the manifest's source; empty where it is plain."""
    manifest = load([rig.write(made)])
    address = resolve_server(manifest.sources[0], {**os.environ, **rig.environ})
    session = open_session(address, Session)
    try:
        return str(session.row(sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'"))[1])
    finally:
        session.close()


def test_with_the_right_authority_the_session_is_encrypted_and_the_work_is_done(
    tls: Rig, pair: dict[str, SandboxServer]
) -> None:
    made = document(tls, "lab_a", tls=authority(pair["strict"]))
    assert cipher(tls, made).startswith("TLS_")
    assert tls.apply(made)[1].succeeded
    assert not tls.plan(made).has_changes
    lax = document(tls, "lab_b", tls=authority(pair["lax"]), host="localhost")
    assert cipher(tls, lax).startswith("TLS_")


def test_without_tls_the_session_is_plain_or_refused_by_the_server(tls: Rig) -> None:
    assert cipher(tls, document(tls, "lab_b", tls=False)) == ""
    refused = facts(tls, document(tls, "lab_a", tls=False))
    assert "requires TLS" in (refused.problem or "")
    assert "use TLS: `tls: {ca: FILE}`" in (refused.hint or "")


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(
    rig: Rig, pair: dict[str, SandboxServer]
) -> None:
    run_all(rig, "CREATE DATABASE {lab}")
    rig.accounts({"lab_a": ["lab"]})
    for asked in (True, authority(pair["strict"])):
        refused = facts(rig, document(rig, "lab_a", tls=asked))
        assert "TLS connection to" in (refused.problem or "")
        assert "disable TLS with `tls: false`" in (refused.hint or "")
    assert facts(rig, document(rig, "lab_a", tls=False)).problem is None


@pytest.mark.parametrize("source", ["lab_a", "lab_b"])
def test_a_certificate_that_another_authority_signed_is_refused(
    tls: Rig, pair: dict[str, SandboxServer], source: str
) -> None:
    stranger = pair["lax" if source == "lab_a" else "strict"]
    for asked in (True, authority(stranger)):
        refused = facts(tls, document(tls, source, tls=asked))
        assert "TLS connection to" in (refused.problem or "")
        assert "certificate verify failed" in (refused.problem or "")
        assert "set the server's certificate authority" in (refused.hint or "")


def test_a_certificate_for_another_host_is_refused(tls: Rig, pair: dict[str, SandboxServer]) -> None:
    refused = facts(tls, document(tls, "lab_a", host="127.0.0.2", tls=authority(pair["strict"])))
    assert "TLS connection to 127.0.0.2" in (refused.problem or "")
    assert "not valid for '127.0.0.2'" in (refused.problem or "")


def test_an_account_that_needs_a_certificate_of_the_client_is_served(
    tls: Rig, pair: dict[str, SandboxServer]
) -> None:
    server = pair["strict"]
    ask(server, f"ALTER USER '{tls.names('link')}'@'%' REQUIRE X509")
    refused = facts(tls, document(tls, "lab_a", tls=authority(server)))
    assert "refused the login" in (refused.problem or "")
    # any certificate of the same authority does; the server's own is at hand
    files = {"cert": str(server.folder / "server-cert.pem"), "key": str(server.folder / "server-key.pem")}
    assert cipher(tls, document(tls, "lab_a", tls={**authority(server), **files})).startswith("TLS_")


def test_a_certificate_file_that_is_none_is_told(tls: Rig, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("not a certificate")
    told = facts(tls, document(tls, "lab_b", tls={"ca": str(tmp_path / "empty.pem")}))
    assert "TLS" in (told.problem or ""), told
    assert "ca" in (told.hint or "")


def test_the_source_is_browsed_under_the_same_tls(tls: Rig, pair: dict[str, SandboxServer]) -> None:
    def browsed(name: str, asked: bool | dict[str, str]) -> str:
        schema = LazySchema(
            tls.names("lab"),
            host="localhost",
            port=pair[name].port,
            user=tls.names("link"),
            password=PASSWORD,
            tls=asked,
        )
        found: str = schema.connection.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'").fetchone()[1]
        return found

    assert browsed("strict", authority(pair["strict"])).startswith("TLS_")
    assert browsed("lax", authority(pair["lax"])).startswith("TLS_")
    for name, asked in (
        ("strict", True),
        ("lax", True),
        ("lax", authority(pair["strict"])),
    ):
        with pytest.raises(Unreachable):
            browsed(name, asked)
