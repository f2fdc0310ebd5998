"""docs/python.md is executed, and what it shows comes out."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.notebooks import Notebook, notebook
from tests.support.rig import PASSWORD

__all__ = ["notebook"]

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SHOWN = re.compile(r"^(?P<code>.*\S)\s+# → (?P<value>.*)$")


def blocks() -> list[str]:
    """The page's Python, in order."""
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(block: str, names: dict[str, Any]) -> int:
    """Execute a block statement by statement; how many shown values were compared."""
    compared = 0
    for statement in ast.parse(block).body:
        text = "\n".join(block.splitlines()[statement.lineno - 1 : statement.end_lineno])
        shown = SHOWN.match(block.splitlines()[(statement.end_lineno or 1) - 1])
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), str(PAGE), "eval"), names)
            repr(value)  # what a notebook does with it
            if shown:
                assert str(value) == shown["value"], text
                compared += 1
        else:
            assert shown is None, text
            exec(compile(ast.Module([statement], []), str(PAGE), "exec"), names)
    return compared


def test_the_page_about_python_does_what_it_says(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, server = notebook.rig, notebook.rig.server("lab_a")
    local = {
        '"lab"': repr(rig.names("lab")),
        '"our_lab"': repr(rig.names("our_lab")),
        '"our_analysis"': repr(rig.names("our_analysis")),
        '"db.princeton.example"': repr(f"{server.host}:{server.port}"),
        "princeton.lab.": f"lab_a.{rig.names('lab')}.",
    }
    monkeypatch.chdir(tmp_path)
    document = rig.document({"lab_a": {"lab": {"tables": {"Count": {}}}}})
    document["sources"]["lab_a"]["outbound"] = rig.names("atlas_outbound")
    rig.run("lab_a", "CREATE DATABASE {atlas_outbound}")
    rig.run("lab_a", f"GRANT ALL ON {{atlas_outbound}}.* TO '{rig.names('link')}'@'%'")
    (tmp_path / "atlas.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("DJ_PASS", PASSWORD)
    names: dict[str, Any] = {"__name__": __name__}
    shown = sum(bool(SHOWN.match(line)) for block in blocks() for line in block.splitlines())
    compared = 0
    for block in blocks():
        for source, local_side in local.items():
            block = block.replace(source, local_side)
        compared += run(block, names)
    assert compared == shown > 10
