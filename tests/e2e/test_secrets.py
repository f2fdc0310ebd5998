"""Passwords stay secret whatever fails: in every command, in every way that a login can go wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import run, start
from tests.support.faults.pipeline import Faulty, faulty
from tests.support.faults.proxy import proxied
from tests.support.invariants.secrecy import SECRETS, found, spellings
from tests.support.servers import Servers

PASSWORD = next(each for each in SECRETS if "%s" in each)


@pytest.fixture(scope="module")
def lab(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """Accounts whose password holds whatever formats, quotes and escapes could trip over."""
    with faulty(servers, tmp_path_factory.mktemp("secrets")) as found:
        for server, user in ((servers.lab_a, "link"), (servers.lab_b, "link"), (servers.local, "lab")):
            server.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", (found.rig.names(user), PASSWORD))
        found.rig.environ.update(LINK_PASS=PASSWORD, DJ_PASS=PASSWORD)
        yield found


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate",),
        ("validate", "--json"),
        ("plan",),
        ("plan", "--json"),
        ("apply", "--auto-approve", "--debug"),
        ("apply", "--auto-approve", "--json"),
        ("status",),
        ("list", "--json"),
    ],
    ids=" ".join,
)
def test_no_command_prints_a_password_where_all_is_well(lab: Faulty, arguments: tuple[str, ...]) -> None:
    code, out, err = run(lab.rig, lab.rig.write(lab.document), *arguments)
    assert code == 0, out + err
    assert not found(out + err)
    assert "Traceback" not in out + err


OUTBOUND, SAME = "a password as the outbound schema", "an outbound schema that is the password"
FAILURES: dict[str, dict[str, Any]] = {
    "another password": {"password": "${env:WRONG}"},
    "TLS that the server lacks": {"tls": True},
    "a port where nobody listens": {"port": 1},
    "a host that is none": {"host": "no-such-host.invalid"},
    "a password in the clear": {"password": PASSWORD},
    "a password that is part of a text": {"password": "x${env:LINK_PASS}y"},
    "a reference that is misspelt": {"password": "${envLINK_PASS}" + PASSWORD},
    "a file that is not there": {"password": "${file:nothing.txt}"},
    "a variable that is not set": {"password": "${env:NOT_SET}"},
    OUTBOUND: {"outbound": "${env:LINK_PASS}"},
    SAME: {"outbound": "${env:NAMED}"},
    "a password as the user": {"user": "${env:LINK_PASS}"},
    "a password as the host": {"host": "${env:DJ_PASS}"},
    "a password as the user, by another name": {"user": "${env:NAMED}"},
    "a password as the host, by another name": {"host": "${env:NAMED}"},
    "a password in a host, by another name": {"host": "${env:NAMED}.invalid"},
    "user and password swapped": {"user": "${env:NAMED}", "password": "${env:HOME}"},
}
# what is told without a server
ILL = {
    *(OUTBOUND, "a password as the user", "a password as the host", "a password in the clear"),
    *("a password that is part of a text", "a reference that is misspelt"),
}


# the local server has no outbound schema
PLACES = [(f, p) for f in FAILURES for p in ("lab_a", "local") if f not in (OUTBOUND, SAME) or p != "local"]


@pytest.mark.parametrize(("failure", "place"), PLACES)
def test_no_failed_login_prints_a_password(lab: Faulty, failure: str, place: str) -> None:
    document = {**lab.document, "sources": dict(lab.document["sources"])}
    where = document if place == "local" else document["sources"]
    where[place] = {**where[place], **FAILURES[failure]}
    path = lab.rig.write(document, "failing.yaml")
    environ = {"WRONG": "wrong-secret-77", "NAMED": "wrong-secret-77"}
    if failure == SAME:
        environ["LINK_PASS"] = environ["NAMED"]
    more = (("doctor", "--json"), ("validate",)) if "password" in failure and place == "lab_a" else ()
    for arguments in (("plan", "--debug"), *more):
        code, out, err = run(lab.rig, path, *arguments, environ=environ)
        assert code == (0 if arguments == ("validate",) and failure not in ILL else 1), out + err
        assert not found(out + err), out + err
        assert "unexpected" not in out + err
        assert "unexpected error in djlink" not in err


def test_what_the_system_shows_of_a_running_apply_holds_no_password(lab: Faulty) -> None:
    with proxied(lab.rig, lab.document, "lab_a") as proxy:
        proxy.delay = 0.005
        path = lab.rig.write(lab.document, "slow.yaml")
        with start(lab.rig, path, "apply", "--auto-approve") as process:
            shown = set[str]()
            while process.poll() is None:
                for name in ("cmdline", "comm", "status"):
                    try:
                        shown.add(Path(f"/proc/{process.pid}/{name}").read_bytes().decode(errors="replace"))
                    except OSError:
                        break
            out, err = process.communicate()
    assert len(shown) >= 3
    assert not any(found(text) for text in shown)
    assert not found(out + err)


def test_what_the_servers_hold_of_us_is_no_password(lab: Faulty) -> None:
    """Marks, and what a server's administrator sees of our sessions."""
    code, out, err = run(lab.rig, lab.rig.write(lab.document), "apply", "--auto-approve")
    assert code == 0, out + err
    rows = [
        *lab.rig.run("lab_a", f"SELECT * FROM `{lab.rig.outbound}`.`~djlink`"),
        *lab.rig.run("local", f"SELECT * FROM `{lab.local}`.`~djlink`"),
        *lab.rig.run("lab_a", "SELECT ATTR_NAME, ATTR_VALUE FROM performance_schema.session_connect_attrs"),
    ]
    assert rows
    assert not found(repr(rows))


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_the_search_finds_what_it_looks_for(secret: str) -> None:
    for text in spellings(secret):
        assert found(f"… {text} …") == {secret}
    code = "import sys; print(bytes.fromhex(sys.argv[1]).decode(), file=sys.stderr)"
    with pytest.raises(AssertionError, match="printed a secret"):
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code, secret.encode().hex()], capture_output=True, check=True
        )
