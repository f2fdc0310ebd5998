"""Which server is taken, and what a person hears where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers import binaries, docker, packages
from djlink_manifest.sandbox.servers.binaries import MYSQLD_VARIABLE, ServerBinary

MYSQL_9 = "/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))"
MYSQL_8 = "mysqld  Ver 8.0.43-0ubuntu0.24.04.1 for Linux on x86_64 ((Ubuntu))"
MYSQL_5 = "mysqld  Ver 5.7.44 for Linux on x86_64 (MySQL Community Server (GPL))"
MARIADB_11 = "mariadbd from 11.8.9-MariaDB, client 15.2 Ver 11.8.9-MariaDB-0+deb13u1 for debian-linux-gnu"
MARIADB = "mysqld  Ver 10.11.18-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)"


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, on a machine without any other server."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(MYSQLD_VARIABLE, raising=False)
    monkeypatch.setattr(binaries, "MORE_FOLDERS", ())
    return tmp_path


def put(folder: Path, name: str, version: str) -> str:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    return str(program)


def found(kind: binaries.Kind = "mysql") -> ServerBinary:
    return binaries.find_server.__wrapped__(kind)


@pytest.mark.parametrize(("says", "version"), [(MYSQL_9, "9.7.4"), (MYSQL_8, "8.0.43")])
def test_an_installed_server_is_taken(programs: Path, says: str, version: str) -> None:
    path = put(programs, "mysqld", says)
    assert found() == ServerBinary("mysql", version, path)


def test_the_environment_wins_over_what_is_installed(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(programs, "mysqld", MYSQL_8)
    own = put(tmp_path, "my-own-mysqld", MYSQL_9)
    monkeypatch.setenv(MYSQLD_VARIABLE, own)
    assert found() == ServerBinary("mysql", "9.7.4", own)


@pytest.mark.parametrize("says", [MARIADB, MYSQL_5, "hello"])
def test_a_server_named_by_the_environment_must_be_a_recent_mysql(
    programs: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    put(programs, "mysqld", MYSQL_9)
    own = put(programs, "my-own-mysqld", says)
    monkeypatch.setenv(MYSQLD_VARIABLE, own)
    with pytest.raises(SandboxError, match="not a MySQL server of version 8 or later") as caught:
        found()
    assert own in caught.value.message


def test_a_path_in_the_environment_that_leads_nowhere_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MYSQLD_VARIABLE, "/no/such/mysqld")
    with pytest.raises(SandboxError, match="/no/such/mysqld"):
        found()


def test_a_mariadb_that_calls_itself_mysqld_is_taken_as_mariadb_alone(programs: Path) -> None:
    path = put(programs, "mysqld", MARIADB)
    assert found("mariadb") == ServerBinary("mariadb", "10.11.18", path)
    with pytest.raises(SandboxError, match="no mysql server is installed"):
        found()


def test_a_kind_that_names_a_version_takes_an_installed_server_of_that_version_alone(programs: Path) -> None:
    put(programs, "mysqld", MARIADB)
    with pytest.raises(SandboxError, match=r"no mariadb-11\.8 server is installed"):
        found("mariadb-11.8")
    path = put(programs, "mariadbd", MARIADB_11)
    newer = ServerBinary("mariadb", "11.8.9", path)
    assert (found("mariadb-11.8"), found("mariadb")) == (newer, newer)


def test_where_nothing_is_to_be_had_one_error_says_what_to_install() -> None:
    with pytest.raises(SandboxError, match="no mysql server is installed") as caught:
        found()
    assert "apt-get and dpkg-deb are not installed" in caught.value.message
    assert "docker is not installed" in caught.value.message
    assert caught.value.hint is not None
    for words in ("apt install", "dnf install", "brew install", "Docker", MYSQLD_VARIABLE):
        assert words in caught.value.hint


def test_an_engine_that_does_not_answer_is_no_docker(programs: Path) -> None:
    silent = programs / "docker"
    silent.write_text("#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    with pytest.raises(SandboxError, match="the Docker engine does not respond"):
        found()


def test_a_container_opens_its_port_on_the_loopback_alone(tmp_path: Path) -> None:
    command = docker.run_command("mysql:9", tmp_path / "djlink-lab", 23456)
    assert command[command.index("--publish") + 1] == "127.0.0.1:23456:23456"
    assert "--publish" not in docker.run_command("mysql:9", tmp_path / "djlink-lab", None)


def test_of_several_packages_the_newest_version_is_taken() -> None:
    known = ["mysql-server-core-8.0", "mysql-server", "mysql-server-core-8.4", "mysql-client-core-9.1"]
    assert packages._newest(known, packages.PACKAGES["mysql"][0]) == "mysql-server-core-8.4"
    assert packages._newest([*known, "mysql-server-core-10.0"], packages.PACKAGES["mysql"][0]).endswith(
        "10.0"
    )
    with pytest.raises(SandboxError, match="no package"):
        packages._newest(known, packages.PACKAGES["mariadb"][0])
