"""The next steps that messages name: written by one function, complete, and possible to type."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from djlink_manifest import cli
from djlink_manifest.api.hints import in_python
from djlink_manifest.cli.root import djlink
from djlink_manifest.cli.terminal.next_steps import options_of
from djlink_manifest.model.next_steps import command, commands, completed
from tests.support.next_steps import check, parsed
from tests.support.structure import CHECKOUT, PACKAGE, modules
from tests.unit.golden import TEXTS

VERBS = "|".join(sorted(djlink.commands))
NAMED = re.compile(rf"(?<![\w/.-])djlink (?:{VERBS})\b(?!:)")
DOCUMENT = "djlink plan"  # the name of a document
HOLE = "X"  # stands for what a message fills in


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The texts of a module that are shown: no docstring, and what is joined by `+` or `%` as it stands."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    for node in ast.walk(tree):
        if id(node) in docstrings or id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(v.value) if isinstance(v, ast.Constant) else HOLE for v in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


MESSAGES = [
    pytest.param(text, id=f"{path.relative_to(CHECKOUT / PACKAGE)}:{number}")
    for path in modules().values()
    if "demo" not in path.parts and path.name != "hints.py"
    for number, text in _texts(ast.parse(path.read_text()))
    if NAMED.search(text) and text != DOCUMENT
]


@pytest.mark.parametrize("text", MESSAGES)
def test_a_command_in_a_message_stands_in_backticks_and_can_be_typed(text: str) -> None:
    assert len(check(text)) == len(NAMED.findall(text)), text


def test_the_messages_are_found() -> None:
    assert len(MESSAGES) > 40


@pytest.mark.parametrize("name", TEXTS)
def test_the_commands_of_every_golden_text_can_be_typed(name: str) -> None:
    text = TEXTS[name]()
    assert len(check(text)) == len(NAMED.findall(text))


@pytest.mark.parametrize("text", [each for each in MESSAGES if not str(each.id).startswith("cli")])
def test_a_hint_in_python_names_no_command_that_needs_a_manifest(text: str) -> None:
    left = commands(in_python(text) or "")
    assert {words[0] for words in left} <= {"source", "init", "fmt", "grants", "validate", "list", "trust"}, (
        in_python(text)
    )


def _given(*arguments: str) -> click.Context:
    return parsed(arguments)


@pytest.mark.parametrize(
    ("invocation", "message", "shown"),
    [
        (("plan",), "run `djlink apply`", "run `djlink apply`"),
        (("plan", "-f", "my file.yaml"), "`djlink apply`", "`djlink apply -f 'my file.yaml'`"),
        (
            ("plan", "-f", "a.yaml", "-f", "b.yaml", "--target", "lab.ephys.*"),
            "`djlink requests lab.x.Y --keys` lists them; then `djlink apply`",
            "`djlink requests -f a.yaml -f b.yaml lab.x.Y --keys` lists them; then `djlink apply -f a.yaml "
            "-f b.yaml --target 'lab.ephys.*'`",
        ),
        (
            ("plan", "--target", "lab.typo.T", "--exclude", "lab.x.Y"),
            "`djlink status` lists the links; `djlink plan --verify`",
            "`djlink status` lists the links; `djlink plan --target lab.typo.T --exclude lab.x.Y --verify`",
        ),
        (("approve", "a.b.C", "-f", "m.yaml"), "`djlink apply -f m.yaml -f n.yaml`", None),
        (("plan", "-f", "m.yaml"), "`djlink source held`", "`djlink source held`"),
        (("plan", "-f", "m.yaml"), "`djlink plan --help`", "`djlink plan --help`"),
        (("plan", "-f", "m.yaml"), "`djlink nonsense`, and `x y`", "`djlink nonsense`, and `x y`"),
        (("plan", "-f", "m.yaml"), "`djlink plan 'odd`", "`djlink plan 'odd`"),
    ],
)
def test_a_command_gets_the_options_of_the_invocation(
    invocation: tuple[str, ...], message: str, shown: str | None
) -> None:
    assert completed(message, options_of(_given(*invocation))) == (shown or message)


def test_what_the_environment_gives_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    [option] = [each for each in djlink.commands["plan"].params if each.name == "files"]
    monkeypatch.setattr(option, "envvar", "FILES_OF_THIS_TEST")
    monkeypatch.setenv("FILES_OF_THIS_TEST", "a.yaml")
    context = _given("plan")
    assert context.params["scope" if "scope" in context.params else "files"]
    assert completed("`djlink apply`", options_of(context)) == "`djlink apply`"


@pytest.mark.parametrize("word", ["lab.ephys.*", "a b", "it's", "$HOME", "`x`", "ü.b.C"])
def test_the_words_of_a_command_come_back_from_a_shell(word: str) -> None:
    shown = command("approve", word)
    assert shlex.split(shown[1:-1]) == ["djlink", "approve", word]


def test_an_error_names_the_next_step_with_the_files_of_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my atlas.yaml"
    assert cli.run(["apply", "-f", str(path), "--target", "lab.ephys.*"]) == 1
    given = f"-f '{path}' --target 'lab.ephys.*'"
    shown = capsys.readouterr().err
    assert f"`djlink plan {given}`" in shown
    assert f"`djlink apply {given} --auto-approve`" in shown
    assert len(check(shown)) == 2
