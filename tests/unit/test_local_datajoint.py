"""`local: datajoint`: the local server from DataJoint's configuration, found and read as DataJoint does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.errors import SecretError
from djlink_manifest.manifest.load import load, read
from djlink_manifest.manifest.models import datajoint_config
from djlink_manifest.manifest.models.secrets import datajoint_origins, resolve_server
from djlink_manifest.manifest.trust.read import read_trust
from djlink_manifest.model.server.address import ServerAddress, Tls
from tests.support.command import called
from tests.unit.manifest_cases import tables, written

SECRET = "hunter2-never-printed"
LONG = "local: {host: db.lab.example}"


def manifest(local: str = "datajoint") -> str:
    return tables("Subject: {}").replace(LONG, f"local: {local}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which somebody works, one folder below its top."""
    (tmp_path / ".git").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in datajoint_config.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(datajoint_config, "SYSTEM_SECRETS", tmp_path / "run-secrets")
    return tmp_path


def address(environ: Mapping[str, str], local: str = "datajoint") -> ServerAddress:
    path = written(Path.cwd(), manifest(local), "djlink.yaml")
    return resolve_server(load([path]).local, environ)


def refused(environ: Mapping[str, str], local: str = "datajoint") -> SecretError:
    with pytest.raises(SecretError) as caught:
        address(environ, local)
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert str(caught.value.location) == f"{Path.cwd() / 'djlink.yaml'}:4"
    return caught.value


def config(folder: Path, values: Any, where: str = "datajoint.json") -> Path:
    return written(folder, values if isinstance(values, str) else json.dumps(values), where)


FULL = {"database": {"host": "db.lab.example", "port": 3307, "user": "me", "password": SECRET}}


def test_a_file_above_the_folder_is_found_up_to_the_top_of_the_repository(folder: Path) -> None:
    config(folder, FULL)
    found = address({})
    assert (found.host, found.port, found.user) == ("db.lab.example", 3307, "me")
    assert found.password.reveal() == SECRET
    assert found.tls == Tls()
    (Path.cwd() / ".hg").mkdir()
    assert "it has no `database.user`" in refused({}).message


def test_secrets_beside_the_file_fill_what_it_leaves_open_and_the_environment_wins(folder: Path) -> None:
    config(folder, {"database.host": "127.0.0.1", "database.user": "me"})
    written(folder, "other\n", ".secrets/database.user")
    written(folder, f"{SECRET}\n", ".secrets/database.password")
    found = address({})
    assert (found.host, found.port, found.user, found.tls) == ("127.0.0.1", 3306, "me", None)
    assert found.password.reveal() == SECRET
    environ = {
        "DJ_HOST": "db2.example",
        "DJ_PORT": "3310",
        "DJ_USER": "you",
        "DJ_PASS": "x",
        "DJ_USE_TLS": "False",
    }
    found = address(environ)
    assert (found.host, found.port, found.user, found.tls) == ("db2.example", 3310, "you", None)
    assert found.password.reveal() == "x"


def test_the_systems_secrets_are_read_where_the_project_has_none(folder: Path) -> None:
    written(folder, "me", "run-secrets/database.user")
    written(folder, SECRET, "run-secrets/database.password")
    found = address({})
    assert (found.host, found.user, found.password.reveal()) == ("localhost", "me", SECRET)


def test_files_are_ignored_where_datajoint_is_told_so(folder: Path) -> None:
    config(folder, FULL)
    assert "no `database.user`" in refused({"DJ_IGNORE_CONFIG_FILE": "true"}).message
    assert address({"DJ_IGNORE_CONFIG_FILE": "0"}).user == "me"
    assert "neither true nor false" in refused({"DJ_IGNORE_CONFIG_FILE": "perhaps"}).message


def test_what_the_manifest_writes_wins(folder: Path) -> None:
    config(folder, FULL)
    (Path.cwd() / "ca.pem").write_text("")
    found = address(
        {"MINE": "other"}, "{datajoint: true, user: '${env:MINE}', tls: {ca: ca.pem}, identity: our-db}"
    )
    assert (found.host, found.user, found.password.reveal()) == ("db.lab.example", "other", SECRET)
    assert found.tls == Tls(str(Path.cwd() / "ca.pem"))
    assert address({}, "{datajoint: true, host: db3.example}").host == "db3.example"
    assert load([Path.cwd() / "djlink.yaml"]).local.identity is None


@pytest.mark.parametrize(
    ("use_tls", "found"), [(True, Tls()), (False, None), ("true", Tls()), ("off", None), (None, Tls())]
)
def test_use_tls_decides(use_tls: object, found: Tls | None, folder: Path) -> None:
    config(folder, {"database": {**FULL["database"], "use_tls": use_tls}})
    assert address({}).tls == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not valid JSON (line 1)"),
        ("[1]", "is not a JSON object"),
        ("", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"database": {"host": ["' + SECRET + '"]}}', "`database.host` is not what DataJoint takes there"),
        ('{"database": {"user": 5}}', "`database.user` is not what"),
        ('{"database": {"port": true}}', "`database.port` is not what"),
        ('{"database.password": {"a": "' + SECRET + '"}}', "`database.password` is not what"),
        ('{"database": {"backend": "postgresql"}}', "DataJoint's backend is not `mysql`"),
        (
            '{"database": {"use_tls": "' + SECRET + '", "user": "u", "password": "p"}}',
            "neither true nor false",
        ),
        ('{"database": {"host": "${env:AWS_SECRET}", "user": "u", "password": "p"}}', "a value holds `${`"),
        ('{"database": {"user": "${file:/etc/passwd}", "password": "p"}}', "a value holds `${`"),
        ("x" * 1_000_001, "is larger than 1 MB"),
        ('{"stores": {}}', "it has no `database.user`"),
    ],
    ids=lambda value: value[:40],
)
def test_a_configuration_that_cannot_be_used_is_an_error_at_the_manifests_line(
    text: str, said: str, folder: Path
) -> None:
    config(folder, text)
    error = refused({"AWS_SECRET": SECRET})
    assert said in error.message
    assert error.hint


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "datajoint.json").write_bytes(b"\xff")
    assert f"{folder / 'datajoint.json'} is not UTF-8 text" in refused({}).message
    config(folder, {"database": {"user": "me"}})
    (folder / ".secrets").mkdir()
    (folder / ".secrets" / "database.password").write_bytes(b"\xff")
    assert "database.password is not UTF-8 text" in refused({}).message


def test_a_host_or_port_of_the_configuration_is_checked_like_a_manifests(folder: Path) -> None:
    assert "does not resolve to a host name" in refused_any({"DJ_HOST": "a/b"})
    assert "does not resolve to a number" in refused_any({"DJ_PORT": "99999"})


def refused_any(environ: Mapping[str, str]) -> str:
    with pytest.raises(SecretError) as caught:
        address({"DJ_USER": "u", "DJ_PASS": SECRET, **environ})
    return caught.value.message


def test_without_files_the_environment_alone_is_taken(folder: Path) -> None:
    config(folder, FULL)
    path = written(Path.cwd(), manifest(), "djlink.yaml")
    local = load([path]).local.model_copy(update={"without_files": True})
    with pytest.raises(SecretError) as caught:
        resolve_server(local, {"DJ_HOST": "h"})
    assert "no `database.user`" in caught.value.message
    assert ".secrets" not in str(caught.value.hint)
    environ = {"DJ_USER": "u", "DJ_PASS": "p"}
    found = resolve_server(local, environ)
    assert (found.host, found.user) == ("localhost", "u")


def test_where_the_values_are_from_is_told_and_no_value(folder: Path) -> None:
    path = config(folder, {"database": {"host": "db.lab.example", "port": 3307}})
    secret = written(folder, SECRET, ".secrets/database.password")
    local = load([written(Path.cwd(), manifest(), "djlink.yaml")]).local
    [told] = datajoint_origins(local, {"DJ_USER": "me"})
    origins = f"password from {secret}, host and port from {path}, user from DJ_USER"
    assert told == f"local: DataJoint's configuration: {origins}"
    assert list(datajoint_origins(load([written(Path.cwd(), tables("A: {}"), "m.yaml")]).local, {})) == []


def test_both_forms_are_one_manifest(folder: Path) -> None:
    short = load([written(Path.cwd(), manifest(), "a.yaml")])
    long = load([written(Path.cwd(), manifest("{datajoint: true}"), "b.yaml")])
    assert short.digest == long.digest
    over = written(Path.cwd(), "local: {identity: our-db}\n", "over.yaml")
    assert load([Path.cwd() / "a.yaml", over]).local.identity == "our-db"
    over.write_text("local: {datajoint: null, host: db4.example}\n")
    local = load([Path.cwd() / "a.yaml", over]).local
    assert (local.datajoint, local.host) == (False, "db4.example")


@pytest.mark.parametrize(
    ("local", "said"),
    [
        ("dataoint", "`local` must be a mapping"),
        ("{datajoint: 2}", "`datajoint` must be true or false"),
        ("{datajoint: false}", "`local` has no `host`"),
        ("{datajoint: true, password: literal}", "the manifest contains a password"),
        ("{datajoint: true, without_files: true}", "unknown key `without_files`"),
    ],
)
def test_what_is_wrong_in_the_manifest_is_told_offline(local: str, said: str, folder: Path) -> None:
    _, found = read([written(Path.cwd(), manifest(local), "djlink.yaml")])
    assert [each for each in found if said in each.summary], found
    assert {each.location.line for each in found if each.severity == "error"} == {4}


def test_validate_reads_no_configuration(folder: Path) -> None:
    os.mkfifo(folder / "datajoint.json")  # reading it would wait for ever
    written(Path.cwd(), manifest(), "djlink.yaml")
    assert called("validate", environ={}, folder=Path.cwd()).returncode == 0


def test_a_plan_and_the_doctor_say_where_the_local_server_is_from_before_they_reach_it(folder: Path) -> None:
    path = config(folder, {"database": {"host": "127.0.0.1", "port": 1, "user": "me", "password": SECRET}})
    written(Path.cwd(), manifest(), "djlink.yaml")
    environ = {"LINK_USER": "l", "LINK_PASS": "p", "LINK_OUTBOUND": "o"}
    for command in ("plan", "doctor"):
        ended = called(command, environ=environ, folder=Path.cwd())
        assert ended.returncode == 1
        assert f"DataJoint's configuration: host and port and user and password from {path}" in ended.stderr
        assert SECRET not in ended.stdout + ended.stderr


TRUST = """\
trust: 1
manifests: [atlas]
local:
  - host: ${env:DJ_HOST}
    port: 3306
    user: ${env:DJ_USER}
    password: ${env:DJ_PASS}
sources:
  - host: db.lab-a.example
    port: 3306
    user: ${env:LINK_USER}
    password: ${env:LINK_PASS}
    outbound: ${env:LINK_OUTBOUND}
"""


def test_a_branchs_files_are_not_read_with_a_trust_file(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    os.mkfifo(Path.cwd() / "datajoint.json")  # reading it would wait for ever
    config(folder, {"database": {**FULL["database"], "host": "evil.example"}})
    path = written(Path.cwd(), manifest(), "djlink.yaml")
    trust = read_trust(str(written(tmp_path_factory.mktemp("ci"), TRUST, "trust.yaml")))
    local = load([path], trust).local
    environ = {"DJ_HOST": "db.lab.example", "DJ_USER": "ci", "DJ_PASS": SECRET}
    found = resolve_server(local, environ)
    assert (found.host, found.user, found.password.reveal()) == ("db.lab.example", "ci", SECRET)
    for name in environ:
        with pytest.raises(SecretError):
            resolve_server(local, {key: value for key, value in environ.items() if key != name})
    assert "evil" not in "".join(datajoint_origins(local, environ))


def test_a_trust_file_that_names_other_variables_refuses_it(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(Path.cwd(), manifest(), "djlink.yaml")
    ci = tmp_path_factory.mktemp("ci")
    for number, (old, new) in enumerate((("DJ_HOST", "OUR_HOST"), ("DJ_PASS", "OUR_PASS"))):
        trust = read_trust(str(written(ci, TRUST.replace(old, new), f"trust{number}.yaml")))
        found, problems = read([path], trust)
        assert found is None
        assert [each for each in problems if "trust file" in each.summary and each.location.line == 4]
    evil = written(Path.cwd(), manifest("{datajoint: true, host: evil.example}"), "evil.yaml")
    found, _ = read([evil], read_trust(str(written(ci, TRUST, "trust.yaml"))))
    assert found is None


def test_the_trust_file_of_such_a_manifest_names_the_environment(folder: Path) -> None:
    path = written(Path.cwd(), manifest(), "djlink.yaml")
    text = called("trust", environ={}, folder=Path.cwd()).stdout
    assert '- host: "${env:DJ_HOST}"' in text
    trust = read_trust(str(written(folder.parent, text, f"{folder.name}-trust.yaml")))
    assert load([path], trust).local.without_files


@pytest.mark.parametrize(
    ("values", "environ"),
    [
        (FULL, {}),
        ({"database.host": "flat.example", **FULL}, {}),
        ({**FULL, "database.host": "flat.example"}, {}),
        (FULL, {"DJ_HOST": "env.example", "DJ_PORT": "3399", "DJ_USER": "env"}),
        ({"database": {"host": "db.lab.example"}}, {"DJ_USER": "u"}),
        ({"database": {"use_tls": True}}, {"DJ_USER": "u"}),
    ],
)
def test_datajoint_itself_reads_the_same(values: Any, environ: dict[str, str], folder: Path) -> None:
    config(folder, values)
    written(folder, "from-secrets", ".secrets/database.user")
    written(folder, SECRET, ".secrets/database.password")
    code = (
        "import datajoint as dj, json; d = dj.config.database; "
        "print(json.dumps([d.host, d.port, d.user, d.password.get_secret_value(), d.use_tls]))"
    )
    variables = {key: value for key, value in os.environ.items() if not key.startswith("DJ_")}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**variables, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    host, port, user, password, use_tls = json.loads(ended.stdout)
    found = address(environ)
    assert (found.host, found.port, found.user, found.password.reveal()) == (host, port, user, password)
    assert use_tls is None or bool(found.tls) is use_tls
