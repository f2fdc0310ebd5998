"""The command line as far as it asks nothing of a server: exit codes, streams, files."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from djlink_manifest import __version__
from djlink_manifest.cli.commands.apply import question
from djlink_manifest.cli.root import djlink
from djlink_manifest.cli.terminal import files
from djlink_manifest.cli.terminal.confirm import confirmed
from djlink_manifest.errors import UsageError
from tests.support.command import called

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(djlink.commands)
SECRET = "hunter2-never-printed"
# nothing listens on port 1 of this machine
MANIFEST = """\
manifest: 1
name: atlas
contact: data@ourlab.example

local:
  host: 127.0.0.1
  port: 1
  user: ${env:DJ_USER}
  password: ${env:DJ_PASS}

defaults:
  schema_name: "{source}_{schema}"

sources:
  lab_a:
    host: 127.0.0.1
    port: 1
    user: ${env:LINK_USER}
    password: ${env:LINK_PASS}
    outbound: ourlab_outbound
    schemas:
      lab:
        tables: [Subject]
"""
ENVIRONMENT = {"DJ_USER": "u", "DJ_PASS": SECRET, "LINK_USER": "u", "LINK_PASS": SECRET}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments: str, folder: Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Run `djlink` in a folder, without a terminal."""
    ended = called(*arguments, environ=environment or {}, folder=folder)
    assert "Traceback" not in ended.stderr or "--debug" in arguments
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def process(*arguments: str, folder: Path, encoding: str = "utf-8") -> Ended:
    """Run `djlink` as a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "djlink_manifest", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding=encoding,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "djlink.yaml").write_text(MANIFEST)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_examples_that_it_understands(command: str) -> None:
    help = djlink.commands[command].get_help(click.Context(djlink.commands[command], info_name=command))
    examples = [line.strip() for line in help.splitlines() if line.strip().startswith("djlink ")]
    assert examples
    for example in examples:
        words = [word.strip("'") for word in re.split(r" [|>] ", example)[0].split()[1:]]
        assert words[0] == command
        djlink.commands[command].make_context(command, words[1:], parent=click.Context(djlink, obj=Nothing()))


class Nothing:
    """Takes what the options of output set."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_says_what_it_does(command: str) -> None:
    options = [each for each in djlink.commands[command].params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert process("--version", folder=tmp_path) == Ended(0, f"djlink, version {__version__}\n", "")


def test_no_command_is_an_error_that_shows_the_help(tmp_path: Path) -> None:
    ended = run(folder=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "Commands:" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--targt", "x"], "--target"),
        (["pln"], "plan"),
        (["plan", "--parallelism", "0"], "--parallelism"),
        (["plan", "--parallelism", "many"], "--parallelism"),
        (["graph", "--format", "png"], "mermaid"),
        (["apply", "plan.json"], "plan.json"),
        (["plan", "-f"], "-f"),
        (["--color", "sometimes", "plan"], "always"),
    ],
)
def test_a_usage_error_ends_with_1_and_never_with_2(arguments: list[str], said: str, folder: Path) -> None:
    ended = run(*arguments, folder=folder)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
    assert said in ended.err
    assert "next:" in ended.err


@pytest.mark.parametrize("command", ["validate", "fmt", "plan", "status", "graph"])
def test_without_a_manifest_init_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(MANIFEST)
    ended = run(command, folder=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "there is no djlink.yaml in this folder" in ended.err
    assert "djlink init" in ended.err


def test_init_writes_a_manifest_that_is_valid_and_formatted(tmp_path: Path) -> None:
    ended = run("init", folder=tmp_path)
    assert (ended.code, ended.out) == (0, "")
    assert "Wrote djlink.yaml" in ended.err
    assert run("validate", folder=tmp_path).code == 0
    assert run("fmt", "--check", folder=tmp_path).code == 0


def test_init_overwrites_nothing_unless_told_to(folder: Path) -> None:
    ended = run("init", folder=folder)
    assert ended.code == 1
    assert "--force" in ended.err
    assert (folder / "djlink.yaml").read_text() == MANIFEST
    assert run("init", "--force", folder=folder).code == 0
    assert (folder / "djlink.yaml").read_text() != MANIFEST


def test_init_writes_the_schema_that_its_manifest_names_for_editors(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    ended = run("init", "manifests/atlas.yaml", folder=tmp_path)
    first = (tmp_path / "manifests" / "atlas.yaml").read_text().split("\n", 1)[0]
    named = tmp_path / "manifests" / first.removeprefix("# yaml-language-server: $schema=")
    assert f"Wrote {named.relative_to(tmp_path)}" in ended.err
    assert named.read_bytes() == (ROOT / "schemas" / "manifest.schema.json").read_bytes()


def test_a_second_manifest_in_a_folder_shares_the_schema(tmp_path: Path) -> None:
    assert run("init", "one.yaml", folder=tmp_path).code == 0
    assert run("init", "two.yaml", folder=tmp_path).code == 0
    assert len(list(tmp_path.iterdir())) == 3


def test_init_keeps_a_schema_of_somebody_else_and_then_writes_nothing(tmp_path: Path) -> None:
    schema = tmp_path / "manifest.schema.json"
    schema.write_text("{}")
    ended = run("init", folder=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "manifest.schema.json already exists" in ended.err
    assert "--force" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == [schema.name]
    assert schema.read_text() == "{}"
    assert run("init", "--force", folder=tmp_path).code == 0
    assert json.loads(schema.read_text())["title"] == "djlink manifest"


def test_init_to_a_dash_writes_to_stdout_alone(tmp_path: Path) -> None:
    ended = run("init", "-", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "manifest: 1" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_init_into_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    ended = run("init", "nowhere/djlink.yaml", folder=tmp_path)
    assert ended.code == 1
    assert "nowhere/djlink.yaml cannot be written: No such file or directory" in ended.err


def test_a_valid_manifest_is_told_on_stdout(folder: Path) -> None:
    ended = run("validate", folder=folder)
    assert ended.code == 0
    assert ended.out.startswith("djlink.yaml: valid (1 source, 1 table rule")


def test_an_error_in_a_manifest_shows_line_column_and_caret(folder: Path) -> None:
    (folder / "djlink.yaml").write_text(MANIFEST.replace("outbound:", "outbond:"))
    ended = run("validate", folder=folder)
    assert (ended.code, ended.out) == (1, "")
    number = MANIFEST.splitlines().index("    outbound: ourlab_outbound") + 1
    assert f"╭─ djlink.yaml:{number}:5" in ended.err
    assert f"{number} │     outbond: " in ended.err
    assert "   │     ^^^^^^^\n" in ended.err
    assert "did you mean `outbound`?" in ended.err


def test_a_literal_password_is_an_error_that_does_not_print_it(folder: Path) -> None:
    (folder / "djlink.yaml").write_text(MANIFEST.replace("password: ${env:LINK_PASS}", f"passwrd: {SECRET}"))
    for arguments in (["validate"], ["validate", "--json"], ["plan"], ["plan", "--debug"]):
        ended = run(*arguments, folder=folder)
        assert ended.code == 1
        assert SECRET not in ended.out + ended.err


def test_the_json_of_validate_is_alone_on_stdout(folder: Path) -> None:
    (folder / "djlink.yaml").write_text(MANIFEST.replace("outbound:", "outbond:"))
    ended = run("validate", "--json", folder=folder)
    assert (ended.code, ended.err) == (1, "")
    value = json.loads(ended.out)
    assert value["valid"] is False
    assert value["error_count"] == len(value["diagnostics"]) - value["warning_count"] > 0
    assert value["diagnostics"][0]["range"]["filename"] == "djlink.yaml"


def test_control_characters_of_a_manifest_are_not_printed(folder: Path) -> None:
    hidden = MANIFEST + 'x-note: 1\nevil: "\\e[2J \\u202e"\n"k\\e[31mey": 1\n'
    (folder / "djlink.yaml").write_text(hidden)
    for arguments in (["validate"], ["validate", "--json"], ["plan"]):
        ended = run(*arguments, folder=folder)
        assert ended.code == 1
        assert "\x1b" not in ended.out + ended.err
        assert "\u202e" not in ended.out + ended.err


def test_fmt_check_ends_with_3_names_the_file_and_changes_nothing(folder: Path) -> None:
    untidy = MANIFEST.replace("name: atlas", "name:    atlas   ")
    (folder / "djlink.yaml").write_text(untidy)
    assert run("fmt", "--check", folder=folder) == Ended(3, "djlink.yaml\n", "")
    assert (folder / "djlink.yaml").read_text() == untidy
    assert run("fmt", folder=folder) == Ended(0, "djlink.yaml\n", "")
    assert (folder / "djlink.yaml").read_text() == MANIFEST
    assert run("fmt", "--check", folder=folder) == Ended(0, "", "")


def test_fmt_formats_no_file_where_one_of_them_has_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name:    atlas   \n")
    (tmp_path / "b.yaml").write_text("name: [\n")
    ended = run("fmt", "-f", "a.yaml", "-f", "b.yaml", folder=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "b.yaml:" in ended.err
    assert (tmp_path / "a.yaml").read_text() == "name:    atlas   \n"


def test_fmt_keeps_the_mode_of_a_file_and_follows_a_link_to_it(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text("name:    atlas   \n")
    real.chmod(0o640)
    (tmp_path / "djlink.yaml").symlink_to("real.yaml")
    assert run("fmt", folder=tmp_path).code == 0
    assert (tmp_path / "djlink.yaml").is_symlink()
    assert real.read_text() == "name: atlas\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_fmt_takes_the_manifests_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", ".hidden.yaml", "c.txt"):
        (tmp_path / name).write_text("name:    atlas   \n")
    assert run("fmt", "-f", ".", folder=tmp_path) == Ended(0, "a.yaml\nb.yaml\n", "")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name: \xe9\n"])
def test_a_file_that_is_not_text_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "djlink.yaml").write_bytes(content)
    for command in ("fmt", "validate", "plan"):
        ended = run(command, folder=tmp_path)
        assert (ended.code, ended.out) == (1, "")
        assert "djlink.yaml" in ended.err


@pytest.mark.parametrize("command", ["fmt", "validate", "plan"])
def test_a_file_that_is_not_there_is_named(command: str, tmp_path: Path) -> None:
    ended = run(command, "-f", "nope.yaml", folder=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "nope.yaml" in ended.err
    assert "No such file or directory" in ended.err


def test_without_a_terminal_apply_names_auto_approve_before_anything_else(folder: Path) -> None:
    (folder / "djlink.yaml").write_text("not even a manifest")
    ended = run("apply", folder=folder)
    assert (ended.code, ended.out) == (1, "")
    assert "--auto-approve" in ended.err
    assert "not even" not in ended.err


@pytest.mark.parametrize(
    ("typed", "agreed"),
    [
        ("yes\n", True),
        (" yes \n", True),
        ("yes", True),
        ("y\n", False),
        ("YES\n", False),
        ("\n", False),
        ("yes please\n", False),
        ("no\nyes\n", False),
        ("", False),
    ],
)
def test_only_the_word_yes_agrees(typed: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert confirmed("?") is agreed


def test_the_question_says_that_yes_approves_deletions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n"))
    assert not confirmed(question(17))
    assert "approve the 17 deletions that it lists" in capsys.readouterr().err


def test_apply_as_json_asks_nothing_and_says_what_it_needs(folder: Path) -> None:
    ended = run("apply", "--json", folder=folder)
    assert (ended.code, ended.out) == (1, "")
    assert "--auto-approve" in ended.err


@pytest.mark.parametrize("command", ["plan", "status", "graph", "apply"])
def test_a_secret_that_is_not_set_is_named_with_its_line(command: str, folder: Path) -> None:
    arguments = [command, "--auto-approve"] if command == "apply" else [command]
    ended = run(*arguments, folder=folder, environment={"DJ_USER": "u", "DJ_PASS": ""})
    assert (ended.code, ended.out) == (1, "")
    assert "DJ_PASS" in ended.err
    assert "djlink.yaml:9" in ended.err
    assert "next:" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [["plan"], ["plan", "--json"], ["plan", "--detailed-exitcode"], ["status"], ["apply", "--auto-approve"]],
)
@pytest.mark.parametrize("more", [[], ["--debug"]], ids=["plain", "debug"])
def test_an_unreachable_local_server_ends_with_1_and_no_secret(
    arguments: list[str], more: list[str], folder: Path
) -> None:
    ended = run(*arguments, *more, folder=folder, environment=ENVIRONMENT)
    assert (ended.code, ended.out) == (1, "")
    assert "server: local" in ended.err
    assert SECRET not in ended.err


def test_a_plan_loads_nothing_that_other_commands_need(folder: Path) -> None:
    """The local server cannot be reached: all that a plan needs is loaded by then."""
    code = (
        "import sys\n"
        "from djlink_manifest.cli import run\n"
        "run(['plan'])\n"
        "acting = ['apply', 'pulling', 'inquiry', 'explaining', 'adopting', 'doctor', 'prospecting']\n"
        "slow = {'datajoint', 'pandas', 'numpy', 'fsspec', 'jinja2'}\n"
        "slow |= {'djlink_manifest.reconcile.' + name for name in acting}\n"
        "slow |= {'djlink_manifest.owner', 'djlink_manifest.api', 'djlink_manifest.sandbox'}\n"
        "assert 'djlink_manifest.reconcile.job' in sys.modules\n"
        "print(*sorted(slow & set(sys.modules)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["validate"], ["fmt", "--check"]])
def test_what_asks_no_server_loads_no_driver(arguments: list[str], folder: Path) -> None:
    code = (
        "import sys\n"
        "from djlink_manifest.cli import run\n"
        f"code = run({arguments!r})\n"
        "slow = {'datajoint', 'pymysql', 'networkx', 'pandas', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {slow}' if slow else code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [
        (["validate"], {}, False),
        (["validate", "--color", "always"], {}, True),
        (["--color", "always", "validate"], {"NO_COLOR": "1"}, True),
        (["validate"], {"FORCE_COLOR": "1"}, True),
        (["validate"], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["validate", "--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_as_asked_for(
    arguments: list[str], environment: dict[str, str], coloured: bool, folder: Path
) -> None:
    (folder / "djlink.yaml").write_text(MANIFEST.replace("outbound:", "outbond:"))
    ended = run(*arguments, folder=folder, environment={"TERM": "xterm", **environment})
    assert ("\x1b[" in ended.err) is coloured


def test_a_terminal_of_few_letters_gets_question_marks_and_no_error(folder: Path) -> None:
    (folder / "djlink.yaml").write_text(MANIFEST.replace("outbound:", "outbond:"))
    ended = process("validate", folder=folder, encoding="ascii")
    assert ended.code == 1
    assert "?? djlink.yaml:20:5" in ended.err


def test_what_is_written_meanwhile_follows_no_link_and_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder where others may write, a link with a name that can be foreseen would lead elsewhere."""
    victim, target, modes = tmp_path / "victim", tmp_path / "djlink.yaml", list[int]()
    victim.write_text("precious")
    for name in (f".djlink.yaml.{os.getpid()}", ".djlink.yaml.0000000000000000"):
        (tmp_path / name).symlink_to(victim)
    replace = Path.replace

    def noted(self: Path, other: Path) -> Path:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", noted)
    files.replace_file(target, "manifest: 1\n")
    assert (victim.read_text(), target.read_text(), modes) == ("precious", "manifest: 1\n", [0o644])
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    with pytest.raises(UsageError, match="cannot be written"):
        files.replace_file(target, "manifest: 2\n")
    assert (victim.read_text(), target.read_text()) == ("precious", "manifest: 1\n")


def test_a_command_leaves_no_copy_of_its_memory_when_it_crashes() -> None:
    code = (
        "import resource as r, sys; from djlink_manifest import cli;"
        " cli.run = lambda arguments: print(r.getrlimit(r.RLIMIT_CORE)[0]) or 0; cli.main()"
    )
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    )
    assert ended.stdout == "0\n"


def test_what_is_missing_is_named_on_one_line(tmp_path: Path) -> None:
    ended = run("completion", folder=tmp_path)
    assert ended.code == 1
    assert "Choose from: bash, zsh, fish" in ended.err
    assert "\\t" not in ended.err


@pytest.mark.parametrize("given", ["5x", "", "1h30m", "-5", "s"])
def test_the_words_on_a_duration_name_all_that_is_taken(given: str, tmp_path: Path) -> None:
    words = "a number of seconds"
    ended = run("apply", "--auto-approve", "--lock-timeout", given, folder=tmp_path)
    assert ended.code == 1
    assert words in ended.err
    [option] = [p for p in djlink.commands["apply"].params if p.name == "lock_timeout"]
    assert isinstance(option, click.Option)
    assert words in (option.help or "")
    ended = run("apply", "--auto-approve", "--lock-timeout", "5", folder=tmp_path)
    assert "--lock-timeout" not in ended.err


@pytest.mark.parametrize("given", [",", "", "drift,", " ,drift"])
def test_a_gate_without_a_name_is_missing(given: str, tmp_path: Path) -> None:
    ended = run("plan", "--fail-on", given, folder=tmp_path)
    assert ended.code == 1
    assert "a name is missing; write one of" in ended.err
    assert "``" not in ended.err


@pytest.mark.parametrize("command", [("approve",), ("explain", "id=1"), ("count",)])
def test_a_command_on_one_link_says_so_to_a_glob(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "djlink.yaml").write_text(MANIFEST)
    for glob in ("lab_a.*", "lab_a.lab.Sub?ect"):
        ended = run(command[0], glob, *command[1:], folder=tmp_path, environment=ENVIRONMENT)
        assert ended.code == 1
        assert f"{command[0]} takes one link" in ended.err
        assert run("list", "--target", glob, folder=tmp_path).code == 0
