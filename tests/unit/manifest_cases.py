"""What the tests of the manifest share: texts with a mark where a problem is expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from djlink_manifest.errors import Diagnostic
from djlink_manifest.manifest.load import load, read
from djlink_manifest.manifest.models.values import Manifest, TableRule

MARK = "▸"  # stands right before the place that a diagnostic names

HEAD = """\
manifest: 1
name: atlas
contact: data@lab.example
local: {host: db.lab.example}
"""
SOURCE = """\
sources:
  lab_a:
    host: db.lab-a.example
    schemas:
"""


def tables(text: str, options: str = "") -> str:
    """A manifest whose schema `lab_a.s` has the given lines below `tables`, which start in column 11."""
    lines = "".join(f"          {line}\n" for line in text.strip("\n").split("\n"))
    return f"{HEAD}{SOURCE}      s:\n{options}        tables:\n{lines}"


def one(rule: str) -> str:
    """A manifest with the one table `T` and these options."""
    return tables("T: {" + rule + "}")


def written(folder: Path, text: str, name: str = "m.yaml") -> Path:
    """The file that holds a text."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def problems(folder: Path, text: str) -> tuple[Diagnostic, ...]:
    """What is told about a manifest."""
    return read([written(folder, text.replace(MARK, ""))])[1]


def marked(text: str) -> list[tuple[int, int]]:
    """The places (line, column) that a text marks, each counted without the marks before it."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        at = line.find(MARK)
        while at >= 0:
            line = line[:at] + line[at + len(MARK) :]
            found.append((number, at + 1))
            at = line.find(MARK)
    return found


def places(found: tuple[Diagnostic, ...]) -> list[tuple[int, int]]:
    """Where the problems are."""
    return [(d.location.line, d.location.column) for d in found]


def told(folder: Path, text: str, severity: str = "error") -> Diagnostic:
    """The only problem of a marked manifest, which is at its mark; only a warning leaves a manifest."""
    path = written(folder, text.replace(MARK, ""))
    manifest, found = read([path])
    assert [d.summary for d in found] == [found[0].summary], found
    assert found[0].severity == severity
    assert found[0].location.file == str(path)
    assert places(found) == marked(text), found[0]
    assert (manifest is None) == (severity == "error")
    return found[0]


def loaded(folder: Path, text: str) -> Manifest:
    """The manifest of a text."""
    return load([written(folder, text)])


def rules(manifest: Manifest, source: str = "lab_a", schema: str = "s") -> dict[str, TableRule]:
    """The rules of a schema by their patterns."""
    specs = {(s.name, c.name): c for s in manifest.sources for c in s.schemas}
    return {rule.pattern: rule for rule in specs[source, schema].rules}


def rule(folder: Path, options: str) -> TableRule:
    """The rule of the one table `T` with these options."""
    return rules(loaded(folder, one(options)))["T"]


def without_places(value: Any) -> Any:
    """A value's repr without the places, which the layout of the text decides."""
    import re

    return re.sub(r"files=\([^)]*\)", "", repr(value))
