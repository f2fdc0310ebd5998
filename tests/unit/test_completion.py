"""Completion at a shell: what is offered, by the protocol and by shells that run; never an error."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from djlink_manifest.manifest.outline import outline
from tests.support.command import called
from tests.unit.manifest_cases import written

MANIFEST = """\
manifest: 1
name: atlas
local: {host: db.example}
sources:
  princeton:
    host: db.princeton.example
    schemas:
      ephys:
        tables: {Recording: {}, "#probe_type": {}, "Rec*": {}}
      lab: {tables: "*"}
  kyoto:
    host: db.kyoto.example
    schemas:
      rig: {tables: [Camera, Session]}
"""
SCHEMAS = ["kyoto.rig", "princeton.ephys", "princeton.lab"]
TABLES = [
    "kyoto.rig.Camera",
    "kyoto.rig.Session",
    "princeton.ephys.#probe_type",
    "princeton.ephys.Recording",
]
GLOBS = [*(f"{each}.*" for each in ["kyoto", *SCHEMAS, "princeton"]), "princeton.ephys.Rec*"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path, MANIFEST, "djlink.yaml")
    return tmp_path


def offered(folder: Path, *words: str, **environ: str) -> list[str]:
    """What is offered for the last word, as it is answered to a shell that takes values as they are."""
    question = {
        "_DJLINK_COMPLETE": "zsh_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    ended = called(environ={**question, **environ}, folder=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()[1::3]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("plan", "--target", "''"), sorted([*TABLES, *GLOBS])),
        (("plan", "--target", "kyoto."), ["kyoto.*", "kyoto.rig.*", "kyoto.rig.Camera", "kyoto.rig.Session"]),
        (("apply", "--exclude", "princeton.ephys.R"), ["princeton.ephys.Rec*", "princeton.ephys.Recording"]),
        (("list", "--target", "princeton.l"), ["princeton.lab.*"]),
        (("explain", "kyoto.rig."), ["kyoto.rig.Camera", "kyoto.rig.Session"]),
        (("approve", "princeton"), TABLES[2:]),
        (("requests", "kyoto.rig.Camera", "kyoto.rig.S"), ["kyoto.rig.Session"]),
        (("count", "''"), TABLES),
        (("adopt", "kyo"), ["kyoto.*", "kyoto.rig.*", "kyoto.rig.Camera", "kyoto.rig.Session"]),
        (("init", "--from", "prin"), ["princeton.ephys", "princeton.lab"]),
        (("grants", "--server", "''"), ["kyoto", "local", "princeton"]),
        (("graph", "--format", "''"), ["mermaid", "dot"]),
        (("comp",), ["completion"]),
        (("completion", "''"), ["bash", "zsh", "fish"]),
        (("validate", "--js"), ["--json"]),
        (
            (
                "plan",
                "--target=kyoto.rig.C",
            ),
            ["kyoto.rig.Camera"],
        ),
        (("plan", "--target", "tokyo"), []),
    ],
    ids=" ".join,
)
def test_what_fits_is_offered(words: tuple[str, ...], found: list[str], folder: Path) -> None:
    assert offered(folder, "djlink", *words) == found


def test_the_manifest_is_the_one_that_the_command_would_read(folder: Path) -> None:
    words = ("djlink", "plan", "-f", "other.yaml", "--target", "''")
    written(folder, "sources: {tokyo: {schemas: {s: {tables: [T]}}}}\n", "other.yaml")
    other = ["tokyo.*", "tokyo.s.*", "tokyo.s.T"]
    assert offered(folder, *words) == other
    assert offered(folder, *words[:2], *words[4:], DJLINK_FILE="other.yaml") == other
    assert offered(folder, *words[:2], *words[4:], DJLINK_FILE="djlink.yaml:other.yaml") == sorted(
        [*TABLES, *GLOBS, *other]
    )
    assert offered(folder, "djlink", "count", "''", "--where", "x", DJLINK_FILE=".") == []


def test_later_files_take_names_out_as_they_do_in_a_manifest(folder: Path) -> None:
    over = written(
        folder, "sources:\n  kyoto: null\n  princeton: {schemas: {ephys: {tables: {Recording: null}}}}\n"
    )
    found = outline([folder / "djlink.yaml", over])
    assert found.sources == {"princeton": {"ephys": ["#probe_type", "Rec*"], "lab": ["*"]}}


@pytest.mark.parametrize(
    "text",
    [
        "sources: [",
        "- 1\n",
        "",
        "sources: 3\n",
        "sources: {a: 3, b: {schemas: [1]}, c: {schemas: {d: {tables: {e: [}}}}",
        "sources: {a: {schemas: {b: {tables: {1: x}}}}}\n",
        "a: &a [*a]\n",
        "\x00",
        "x: " + "[" * 5000,
        "sources: {? [a] : 1}\n",
    ],
)
def test_a_broken_manifest_is_no_error(text: str, folder: Path) -> None:
    written(folder, text, "djlink.yaml")
    offered(folder, "djlink", "plan", "--target", "''")
    assert "plan" in offered(folder, "djlink", "pl")


def test_what_cannot_be_a_manifest_is_no_error(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "big.yaml").write_text(MANIFEST + "# " + "x" * 2_000_000)
    for name in ("pipe", "loop", "big.yaml", "nowhere.yaml", "/dev/zero", "x" * 5000):
        assert offered(folder, "djlink", "plan", "-f", name, "--target", "''") == []
    assert len(offered(folder, "djlink", "count", "''", DJLINK_LOG="/nowhere/x.log")) == len(TABLES)
    (folder / "djlink.yaml").unlink()
    assert offered(folder, "djlink", "plan", "--target", "''") == []


def test_part_of_a_broken_manifest_is_offered(folder: Path) -> None:
    written(
        folder, MANIFEST.replace("host: db.kyoto.example", "hst: 1\n    password: literal"), "djlink.yaml"
    )
    assert offered(folder, "djlink", "count", "kyoto") == TABLES[:2]


HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "a b",
    "a\\nb",
    "\\e[2J",
    "a'b",
    'a\\"b',
    "a,b",
    "é",
    "a&",
    "<x",
]


def test_names_that_a_shell_would_take_for_something_else_are_not_offered(folder: Path) -> None:
    tables = ", ".join(f'"{each}": {{}}' for each in ["Good", *HOSTILE])
    written(folder, f"sources: {{a: {{schemas: {{s: {{tables: {{{tables}}}}}}}}}}}\n", "djlink.yaml")
    assert len(outline([folder / "djlink.yaml"]).sources["a"]["s"]) == 1 + len(HOSTILE)
    assert offered(folder, "djlink", "count", "''") == ["a.s.Good"]


def test_a_script_is_printed_for_each_shell_without_a_manifest(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        ended = called("completion", shell, environ={}, folder=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert f"_DJLINK_COMPLETE={shell}_complete" in ended.stdout
    ended = called("completion", "tcsh", environ={}, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")


def test_clicks_way_of_asking_for_a_script_works_too(tmp_path: Path) -> None:
    ended = called(environ={"_DJLINK_COMPLETE": "bash_source"}, folder=tmp_path)
    assert ended.stdout == called("completion", "bash", environ={}, folder=tmp_path).stdout


def test_an_answer_waits_for_no_library_that_it_does_not_need(folder: Path) -> None:
    code = (
        "import sys\n"
        "from djlink_manifest.cli import run\n"
        "assert run([]) == 0\n"
        "slow = {'datajoint', 'pymysql', 'networkx', 'pydantic', 'ruamel', 'numpy'}\n"
        "print(*sorted(slow & set(sys.modules)))\n"
    )
    question = {"_DJLINK_COMPLETE": "zsh_complete", "COMP_WORDS": "djlink count kyoto", "COMP_CWORD": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **question},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "kyoto.rig.Camera" in ended.stdout
    assert ended.stdout.splitlines()[-1] == ""


class Shell:
    """A folder with a `djlink` on the path, in which shells run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = written(
            folder, f'#!/bin/sh\nexec "{sys.executable}" -m djlink_manifest "$@"\n', "bin/djlink"
        )
        program.chmod(0o755)
        checkout = str(Path(__file__).parents[2])
        self.environ = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": checkout,
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "ZDOTDIR": str(folder),
        }

    def run(self, *arguments: str) -> str:
        ended = subprocess.run(
            arguments,
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.stderr == ""
        return ended.stdout

    def typed(self, start: list[str], keys: str, until: str) -> bool:
        """Whether a shell at a terminal shows a text, once keys are typed after its first prompt."""
        master, slave = pty.openpty()
        environ = {**self.environ, "TERM": "xterm"}
        with subprocess.Popen(
            start,
            cwd=self.folder,
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        ) as running:
            os.close(slave)
            shown = self._shown(master, "READY> ")
            os.write(master, keys.encode())
            shown = self._shown(master, until)
            running.kill()
        os.close(master)
        return until in shown

    def _shown(self, terminal: int, until: str) -> str:
        shown, end = "", time.monotonic() + 60
        while until not in shown and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")
        return shown


@pytest.fixture
def shell(folder: Path) -> Shell:
    (folder / "princeton.yaml").write_text("")  # what `princeton.*` would become
    return Shell(folder)


def in_bash(shell: Shell, *words: str) -> list[str]:
    listed = " ".join(f"'{word}'" for word in words)
    return shell.run(
        "bash",
        "--norc",
        "-c",
        f'eval "$(djlink completion bash)"; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; '
        'compopt() { echo "compopt $1 $2"; }; _djlink_completion djlink; printf "%s\\n" "${COMPREPLY[@]}"',
    ).splitlines()


def test_bash_is_given_addresses_with_globs_that_it_does_not_expand(shell: Shell) -> None:
    assert in_bash(shell, "djlink", "plan", "--target", "princeton.") == [
        r"princeton.\*",
        "princeton.ephys.#probe_type",
        r"princeton.ephys.\*",
        r"princeton.ephys.Rec\*",
        "princeton.ephys.Recording",
        r"princeton.lab.\*",
    ]
    assert in_bash(shell, "djlink", "plan", "--target", r"princeton.lab.\*") == [r"princeton.lab.\*"]
    assert in_bash(shell, "djlink", "plan", "--target", "=", "kyoto.rig.C") == ["kyoto.rig.Camera"]
    assert in_bash(shell, "djlink", "graph", "--format", "=") == ["mermaid", "dot"]
    assert in_bash(shell, "djlink", "plan", "-f", "")[0] == "compopt -o default"
    assert in_bash(shell, "djlink", "comple") == ["completion"]


def test_bash_completes_what_is_typed_at_a_terminal(shell: Shell) -> None:
    script = shell.run("djlink", "completion", "bash")
    written(shell.folder, f"{script}\nPS1='READY> '\n", "rc")
    bash = ["bash", "--noprofile", "--rcfile", "rc", "-i"]
    assert shell.typed(bash, "djlink explain kyoto.rig.Ses\t", "kyoto.rig.Session ")


needs_zsh = pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
needs_fish = pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")


@needs_zsh
def test_zsh_completes_what_is_typed_at_a_terminal_and_quotes_globs(shell: Shell) -> None:
    script = shell.run("djlink", "completion", "zsh")
    rc = f"autoload -U compinit; compinit -u; unsetopt zle_bracketed_paste; PS1='READY> '\n{script}\n"
    written(shell.folder, rc, ".zshrc")
    assert shell.typed(["zsh", "-i"], "djlink explain kyoto.rig.Ses\t", "kyoto.rig.Session")
    assert shell.typed(["zsh", "-i"], "djlink plan --target princeton.la\t", r"princeton.lab.\*")


@needs_fish
def test_fish_is_given_addresses(shell: Shell) -> None:
    script = shell.run("djlink", "completion", "fish")
    written(shell.folder, script, "djlink.fish")
    found = shell.run(
        "fish", "--no-config", "-c", "source djlink.fish; complete -C 'djlink explain kyoto.rig.'"
    )
    assert [line.split("\t")[0] for line in found.splitlines()] == ["kyoto.rig.Camera", "kyoto.rig.Session"]
