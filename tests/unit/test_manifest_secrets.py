"""References to secrets: what they resolve to, and that errors name the place and never a value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from djlink_manifest.errors import Location, SecretError
from djlink_manifest.manifest.models.secrets import (
    resolve_outbound,
    resolve_server,
    resolve_text,
)
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.references import BadReference, ValueReference, only_references, parts
from djlink_manifest.model.server.address import Secret, ServerAddress, Tls, is_loopback
from tests.unit.manifest_cases import HEAD, loaded

PLACE = Location("m.yaml", 3, 4)
DEFAULTS = {
    "DJ_USER": "lab",
    "DJ_PASS": "s3cret",
    "LINK_USER": "link",
    "LINK_PASS": "l1nk",
    "LINK_OUTBOUND": "out",
}


def manifest(
    folder: Path, local: str = "host: db.lab.example", source: str = "host: db.other.example"
) -> Manifest:
    head = HEAD.replace("host: db.lab.example", local)
    return loaded(folder, f"{head}sources:\n  lab_a: {{{source}, schemas: {{s: {{tables: [T]}}}}}}\n")


def local(folder: Path, server: str, environ: Mapping[str, str] = DEFAULTS) -> ServerAddress:
    return resolve_server(manifest(folder, server).local, environ)


def test_defaults_come_from_the_variables_that_users_know(tmp_path: Path) -> None:
    found = manifest(tmp_path)
    assert resolve_server(found.local, DEFAULTS) == ServerAddress(
        "local", "db.lab.example", 3306, "lab", Secret("s3cret"), Tls()
    )
    assert resolve_server(found.sources[0], DEFAULTS) == ServerAddress(
        "lab_a", "db.other.example", 3306, "link", Secret("l1nk"), Tls()
    )
    assert resolve_outbound(found.sources[0], DEFAULTS) == "out"


def test_references_may_be_a_part_of_a_value(tmp_path: Path) -> None:
    environ = {"NAME": "ann", "HOST": "db", "PORT": "3310", "A": "x", "B": "y"}
    found = local(
        tmp_path,
        'host: "${env:HOST}.lab.example", port: "${env:PORT}", user: "u_${env:NAME}_x", '
        'password: "${env:A}${env:B}"',
        environ,
    )
    assert (found.host, found.port, found.user, found.password.reveal()) == (
        "db.lab.example",
        3310,
        "u_ann_x",
        "xy",
    )


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"pw", "pw"),
        (b"pw\n", "pw"),
        (b"pw\r\n", "pw"),
        (b"pw\n\n", "pw\n"),
        (b" p w ", " p w "),
        ("pä".encode(), "pä"),
    ],
)
def test_one_trailing_newline_is_not_part_of_a_secret(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "pw").write_bytes(content)
    assert local(tmp_path, 'host: h, password: "${file:pw}"').password.reveal() == secret


def test_relative_files_start_from_the_manifest_and_tilde_from_home(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "pw").write_text("from home")
    (tmp_path / "pw").write_text("from here")
    environ = {**DEFAULTS, "HOME": str(tmp_path / "home")}
    assert local(tmp_path, 'host: h, password: "${file:~/pw}"', environ).password.reveal() == "from home"
    assert local(tmp_path, 'host: h, password: "${file:./pw}"', environ).password.reveal() == "from here"
    assert local(tmp_path, f'host: h, password: "${{file:{tmp_path}/pw}}"').password.reveal() == "from here"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("::2", False),
        ("db", False),
    ],
)
def test_tls_is_the_default_except_on_this_machine(tmp_path: Path, host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    assert local(tmp_path, f"host: '{host}'").tls == (None if loopback else Tls())
    assert local(tmp_path, f"host: '{host}', tls: true").tls == Tls()
    assert local(tmp_path, f"host: '{host}', tls: false").tls is None


def test_the_host_behind_a_reference_decides_about_tls(tmp_path: Path) -> None:
    assert local(tmp_path, 'host: "${env:H}"', {**DEFAULTS, "H": "127.0.0.1"}).tls is None
    assert local(tmp_path, 'host: "${env:H}"', {**DEFAULTS, "H": "db.example"}).tls == Tls()


def test_tls_files_are_found_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / "certs" / name).write_text("PEM")
    said = 'host: h, tls: {ca: certs/ca.pem, cert: "${env:CERTS}/cert.pem", key: certs/key.pem}'
    found = local(tmp_path, said, {**DEFAULTS, "CERTS": "certs"})
    assert found.tls == Tls(*(str(tmp_path / "certs" / n) for n in ("ca.pem", "cert.pem", "key.pem")))


def failure(folder: Path, server: str, environ: Mapping[str, str] = DEFAULTS) -> SecretError:
    with pytest.raises(SecretError) as raised:
        local(folder, server, environ)
    error = raised.value
    assert error.server == "local"
    assert error.location is not None
    assert (error.location.file, error.location.line) == (str(folder / "m.yaml"), 4)
    return error


@pytest.mark.parametrize(
    ("server", "environ", "message"),
    [
        (
            "host: h",
            {"DJ_USER": "u"},
            "`password` of server `local`: the environment variable DJ_PASS is not set",
        ),
        (
            "host: h",
            {"DJ_USER": "", "DJ_PASS": "x"},
            "`user` of server `local`: the environment variable DJ_USER is empty",
        ),
        ('host: "${env:NO}"', DEFAULTS, "`host` of server `local`: the environment variable NO is not set"),
        (
            'host: "${env:H}"',
            {**DEFAULTS, "H": "a b"},
            "server `local`: `host` does not resolve to a host name",
        ),
        (
            'host: "${env:H}"',
            {**DEFAULTS, "H": " "},
            "server `local`: `host` does not resolve to a host name",
        ),
        (
            'host: h, port: "${env:P}"',
            {**DEFAULTS, "P": "x"},
            "server `local`: `port` does not resolve to a number",
        ),
        (
            'host: h, port: "${env:P}"',
            {**DEFAULTS, "P": "70000"},
            "server `local`: `port` does not resolve to a number",
        ),
        ('host: h, password: "${file:none}"', DEFAULTS, "/none cannot be read: No such file or directory"),
        ('host: h, password: "${file:.}"', DEFAULTS, "cannot be read: Is a directory"),
        ('host: h, password: "${file:empty}"', DEFAULTS, "/empty is empty"),
        ('host: h, password: "${file:binary}"', DEFAULTS, "/binary is not UTF-8 text"),
        ('host: h, password: "${file:large}"', DEFAULTS, "/large is larger than 65536 bytes"),
        ("host: h, tls: {ca: none.pem}", DEFAULTS, "`tls.ca`: there is no file"),
        (
            'host: h, tls: {ca: "${env:NO}"}',
            DEFAULTS,
            "`tls.ca` of server `local`: the environment variable NO",
        ),
    ],
)
def test_what_cannot_be_resolved_is_named_with_its_line(
    tmp_path: Path, server: str, environ: Mapping[str, str], message: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"s3cret\xff")
    (tmp_path / "large").write_text("s3cret" * 20_000)
    error = failure(tmp_path, server, environ)
    assert message in error.message
    assert "s3cret" not in error.message + str(error.hint)
    assert error.__cause__ is None


def test_a_value_that_is_wrong_is_not_repeated(tmp_path: Path) -> None:
    error = failure(tmp_path, 'host: "${env:WHERE}"', {**DEFAULTS, "WHERE": "s3cret phrase"})
    assert "s3cret" not in error.message + str(error.hint)


def test_an_outbound_schema_that_cannot_be_is_told(tmp_path: Path) -> None:
    source = manifest(tmp_path).sources[0]
    for value in ("", "a.b", "x" * 65):
        with pytest.raises(SecretError) as raised:
            resolve_outbound(source, {"LINK_OUTBOUND": value})
        assert raised.value.server == "lab_a"


def test_a_resolved_password_prints_stars(tmp_path: Path) -> None:
    found = local(tmp_path, "host: h")
    assert "s3cret" not in f"{found} {found!r} {found.password} {found.password!r} {found.password:>20}"


def test_parts_of_a_text() -> None:
    assert parts("a${env:B}c${file:d/e}") == (
        "a",
        ValueReference("env", "B"),
        "c",
        ValueReference("file", "d/e"),
    )
    assert parts("plain $ {x}") == ("plain $ {x}",)
    assert parts("") == ()
    assert only_references("${env:A}${file:b}")
    assert not only_references("${env:A} ")
    assert not only_references("")


@pytest.mark.parametrize(
    "text", ["${", "${env:A", "${}", "${A}", "${env:}", "${env:1A}", "${ENV:A}", "${file:}", "${file: a}"]
)
def test_a_misspelt_reference_is_none(text: str) -> None:
    with pytest.raises(BadReference):
        parts(text)
    assert not only_references(text)
    with pytest.raises(SecretError, match="the thing: a reference is"):
        resolve_text(text, {}, PLACE, "the thing")


def test_plain_text_needs_no_environment() -> None:
    assert resolve_text("plain", {}, PLACE, "it") == "plain"
