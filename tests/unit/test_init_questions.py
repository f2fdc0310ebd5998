"""`djlink init` at a terminal: it asks what has no option, and nothing without a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from djlink_manifest.manifest.load import load
from tests.support.command import called

ROOT = Path(__file__).parents[2]
USERS = {"DJ_USER": "us", "LINK_USER": "link", "LINK_OUTBOUND": "our_outbound", "DJ_HOST": "db.our.example"}
OPTIONS = ("--source", "princeton", "--host", "db.princeton.example", "--schema", "ephys")


class Terminal:
    """A command at a terminal, whose questions are answered one by one."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.terminal, slave = pty.openpty()
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("DJ_", "LINK_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "djlink_manifest", *arguments],
            cwd=folder,
            env={**variables, "TERM": "dumb", "PYTHONPATH": str(ROOT), **environ},
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: None,
        )
        os.close(slave)
        self.shown = ""

    def sees(self, text: str) -> None:
        """Wait until the terminal shows a text that it has not shown before."""
        end, seen = time.monotonic() + 60, ""
        while text not in seen:
            assert time.monotonic() < end, self.shown + seen
            if select.select([self.terminal], [], [], 1)[0]:
                try:
                    seen += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:  # the command has ended
                    break
        self.shown += seen
        assert text in seen, self.shown

    def answers(self, *dialogue: tuple[str, str]) -> None:
        """Type each answer once its question is shown."""
        for question, answer in dialogue:
            self.sees(question)
            os.write(self.terminal, f"{answer}\n".encode())

    def ends(self) -> tuple[int, str]:
        """The exit code and stdout; what the terminal shows last is kept."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        code = self.process.wait(60)
        while select.select([self.terminal], [], [], 0.2)[0]:
            try:
                self.shown += os.read(self.terminal, 65536).decode(errors="replace")
            except OSError:
                break
        os.close(self.terminal)
        return code, out


@pytest.fixture(autouse=True)
def _top(tmp_path: Path) -> None:
    """DataJoint's configuration is sought up to here."""
    (tmp_path / ".git").mkdir()


def test_answers_make_a_manifest_and_its_grants_are_printed(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", **USERS)
    terminal.answers(
        ("[our-lab]: ", "hippocampus"),
        ("[data@ourlab.example]: ", "me@lab.example"),
        ("[${env:DJ_HOST}]: ", "db.ours.example"),
        ("Port of the local server [3306]: ", ""),
        ("Name of the source", "princeton"),
        ("Host of the source's server: ", "db.princeton.example"),
        ("Port of the source's server [3306]: ", ""),
        ("[${env:LINK_USER}]: ", ""),
        ("[${env:LINK_OUTBOUND}]: ", ""),
        ("Schemas to link", "ephys, lab ephys"),
    )
    code, out = terminal.ends()
    assert code == 0, terminal.shown
    assert "assword:" not in terminal.shown
    manifest = load([tmp_path / "djlink.yaml"])
    assert (manifest.name, manifest.contact, manifest.local.host) == (
        "hippocampus",
        "me@lab.example",
        "db.ours.example",
    )
    [source] = manifest.sources
    assert (source.name, source.host, source.user) == (
        "princeton",
        "db.princeton.example",
        "${env:LINK_USER}",
    )
    assert {schema.name: [rule.pattern for rule in schema.rules] for schema in source.schemas} == {
        "ephys": ["*"],
        "lab": ["*"],
    }
    assert source.password == "${env:LINK_PASS}"  # a reference, no secret
    assert "GRANT SELECT, REFERENCES ON `ephys`.* TO `link`@`%`" in out.replace("'", "`")
    assert "CREATE SCHEMA IF NOT EXISTS `our_outbound`" in out
    assert "djlink doctor" in terminal.shown
    assert (tmp_path / "manifest.schema.json").exists()
    assert called("fmt", "--check", environ={}, folder=tmp_path).returncode == 0


def test_what_does_not_do_is_asked_again(tmp_path: Path) -> None:
    terminal = Terminal(
        tmp_path, "init", "--name", "a", "--contact", "c", "--local-host", "h", "--outbound", "o", **USERS
    )
    terminal.answers(
        ("Name of the source", ""),
        ("is needed", "local"),
        ("is `local`, which is reserved", "two words"),
        ("must consist of letters", "princeton"),
        ("Host of the source's server", "mysql://me:pw@db"),
        ("is a URL or contains a login", "db:70000"),
        ("is not a port: 1 to 65535", "\x1b[2J"),
        ("cannot be printed", "db.princeton.example"),
        ("Port of the source's server", "many"),
        ("is not a port: 1 to 65535", "3307"),
        ("[${env:LINK_USER}]", "me"),
        ("Schemas to link", "ephys, a/b"),
        ("has a schema that contains", "ephys"),
    )
    assert terminal.ends()[0] == 0, terminal.shown
    [source] = load([tmp_path / "djlink.yaml"]).sources
    assert (source.name, source.host, source.user) == ("princeton", "db.princeton.example", "me")
    assert source.port == "3307"


def test_a_port_comes_with_its_host_or_from_datajoints_variable(tmp_path: Path) -> None:
    given = ("--name", "a", "--contact", "c", "--user", "u", "--outbound", "o", "--schema", "s")
    terminal = Terminal(tmp_path, "init", *given, DJ_PORT="3310", **USERS)
    terminal.answers(
        ("[${env:DJ_HOST}]: ", ""),
        ("Port of the local server [${env:DJ_PORT}]: ", ""),
        ("Name of the source", "princeton"),
        ("Host of the source's server: ", "db:3307"),
    )
    assert terminal.ends()[0] == 0, terminal.shown
    assert "Port of the source" not in terminal.shown
    manifest = load([tmp_path / "djlink.yaml"])
    [source] = manifest.sources
    assert (source.host, source.port) == ("db", "3307")
    assert (manifest.local.host, manifest.local.port) == ("${env:DJ_HOST}", "${env:DJ_PORT}")


@pytest.mark.parametrize(
    ("options", "environ", "local", "source"),
    [
        ((), {}, "3306", "3306"),
        ((), {"DJ_PORT": "3310"}, "${env:DJ_PORT}", "3306"),
        (("--local-host", "h"), {"DJ_PORT": "3310"}, "3306", "3306"),
        (("--local-host", "h:3311", "--host", "s:3312"), {"DJ_PORT": "3310"}, "3311", "3312"),
        (("--local-port", "3313", "--port", "3314"), {"DJ_PORT": "3310"}, "3313", "3314"),
    ],
)
def test_without_a_terminal_ports_come_from_options_hosts_and_the_environment(
    options: tuple[str, ...], environ: dict[str, str], local: str, source: str, tmp_path: Path
) -> None:
    ended = called("init", *OPTIONS, *options, "a.yaml", environ={**USERS, **environ}, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    manifest = load([tmp_path / "a.yaml"])
    assert (manifest.local.port, manifest.sources[0].port) == (local, source)


def test_each_question_has_an_option_and_what_is_given_is_not_asked(tmp_path: Path) -> None:
    options = (
        "--name n --contact c --local-host datajoint --user u --outbound o --port 3307 --no-tls --schema lab"
    )
    terminal = Terminal(tmp_path, "init", *options.split(), *OPTIONS, "new.yaml", DJ_USER="us")
    code, _ = terminal.ends()
    assert code == 0, terminal.shown
    assert "]: " not in terminal.shown
    manifest = load([tmp_path / "new.yaml"])
    assert manifest.local.datajoint
    [source] = manifest.sources
    assert (source.port, source.tls, source.user, source.outbound) == ("3307", False, "u", "o")
    assert [schema.name for schema in source.schemas] == ["ephys", "lab"]
    assert "djlink doctor -f new.yaml" in terminal.shown


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    ended = called("init", *OPTIONS, "a.yaml", environ=USERS, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "GRANT" in ended.stdout
    assert load([tmp_path / "a.yaml"]).name == "our-lab"
    ended = called("init", *OPTIONS[:4], "b.yaml", environ=USERS, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "a manifest from options needs --schema" in ended.stderr
    assert not (tmp_path / "b.yaml").exists()
    text = called("init", *OPTIONS, "-", environ={}, folder=tmp_path).stdout
    assert text == (tmp_path / "a.yaml").read_text()
    ended = called("init", environ={}, folder=tmp_path)  # as ever
    assert "Enter your servers and tables in it" in ended.stderr


def test_variables_that_are_not_set_yet_are_named_and_the_manifest_is_written(tmp_path: Path) -> None:
    ended = called("init", *OPTIONS, environ={"LINK_USER": ""}, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "the environment variable LINK_OUTBOUND is not set" in ended.stderr
    assert "djlink grants" in ended.stderr
    load([tmp_path / "djlink.yaml"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "s:3312", "--port", "3314"), "--port 3314: the host has the port 3312"),
        (("--local-host", "h:0"), "--local-host h:0: this is not a port"),
        (("--host", "me:pw@db"), "--host me:pw@db: this is a URL or contains a login"),
        (("--source", "two words"), "must consist of letters"),
        (("--password", "literal"), "takes a reference, not a password"),
        (("--starter",), "--starter takes no option of a server"),
        (("-f", "x.yaml"), "`-f` exists only with --from"),
        (("--from", "a.b"), "`--source` exists only without --from"),
        (("--name", "a b"), "this must consist of letters, digits"),
    ],
    ids=str,
)
def test_options_that_do_not_do_are_refused_and_nothing_is_written(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    ended = called("init", *OPTIONS, *arguments, environ=USERS, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_a_file_that_stands_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "djlink.yaml").write_text("mine")
    terminal = Terminal(tmp_path, "init")
    code, _ = terminal.ends()
    assert code == 1
    assert "djlink.yaml already exists" in terminal.shown
    assert "]: " not in terminal.shown
    assert (tmp_path / "djlink.yaml").read_text() == "mine"


@pytest.mark.parametrize("how", ["the end of the input", "Ctrl-C"])
def test_who_leaves_in_between_leaves_nothing_behind(how: str, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init")
    terminal.answers(("[our-lab]: ", "x"))
    terminal.sees("[data@ourlab.example]: ")
    if how == "Ctrl-C":
        terminal.process.send_signal(signal.SIGINT)
    else:
        os.write(terminal.terminal, b"\x04")
    code, _ = terminal.ends()
    assert code == 130
    assert "Interrupted." in terminal.shown
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_the_starter_is_had_at_a_terminal_too(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", "--starter")
    assert terminal.ends()[0] == 0
    assert "Enter your servers and tables in it" in terminal.shown


def test_datajoints_configuration_is_proposed_where_it_names_a_host(tmp_path: Path) -> None:
    (tmp_path / "datajoint.json").write_text('{"database": {"host": "db.lab.example"}}')
    terminal = Terminal(
        tmp_path, "init", "--name", "n", "--contact", "c", *OPTIONS, DJ_USER="us", LINK_USER="l"
    )
    terminal.answers(("[datajoint]: ", ""), ("[${env:LINK_USER}]: ", ""), ("[${env:LINK_OUTBOUND}]: ", "o"))
    code, out = terminal.ends()
    assert code == 0, terminal.shown
    assert load([tmp_path / "djlink.yaml"]).local.datajoint
    assert "local (db.lab.example)" in out
