"""Findings at places of files as CI services take them: GitHub's workflow commands, and SARIF 2.1.0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import quote

from djlink_manifest.errors import Diagnostic, Location
from djlink_manifest.report.screen.terminal import plain

Level = Literal["error", "warning", "notice"]
_SARIF_LEVELS: dict[Level, str] = {"error": "error", "warning": "warning", "notice": "note"}
_HOME = "https://github.com/djlink/djlink"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Annotation:
    """A finding. `rule` names its kind, `width` counts the characters from its place on."""

    level: Level
    rule: str
    message: str
    location: Location
    width: int = 1


def of_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[Annotation]:
    """Return the problems of a manifest as annotations, each with its help."""
    return [
        Annotation(d.severity, "manifest", joined(d.summary, d.help), d.location, max(1, d.width))
        for d in diagnostics
    ]


def joined(reason: str, hint: str | None) -> str:
    """Return a reason with its next step."""
    return f"{reason} (next: {hint})" if hint else reason


def github_text(annotations: Iterable[Annotation]) -> str:
    """Return a workflow command for each annotation. No text in one can begin another."""
    lines = []
    for each in annotations:
        place = each.location
        properties = {
            "file": place.file,
            "line": str(place.line),
            "col": str(place.column),
            "endColumn": str(place.column + each.width),
            "title": f"djlink: {each.rule}",
        }
        shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        lines.append(f"::{each.level} {shown}::{_data(each.message)}\n")
    return "".join(lines)


def sarif_json(annotations: Sequence[Annotation], version: str) -> dict[str, Any]:
    """Return the annotations as a SARIF log with one run."""
    rules = sorted({each.rule for each in annotations})
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "djlink",
                        "version": version,
                        "informationUri": _HOME,
                        "rules": [
                            {"id": rule, "shortDescription": {"text": f"djlink: {rule}"}} for rule in rules
                        ],
                    }
                },
                "results": [_result(each, rules.index(each.rule)) for each in annotations],
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


def _result(each: Annotation, rule: int) -> dict[str, Any]:
    place = each.location
    region = {"startLine": place.line, "startColumn": place.column, "endColumn": place.column + each.width}
    return {
        "ruleId": each.rule,
        "ruleIndex": rule,
        "level": _SARIF_LEVELS[each.level],
        "message": {"text": _unlinked(each.message)},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": _uri(place.file)}, "region": region}}
        ],
    }


def _unlinked(text: str) -> str:
    """A message in which nothing is a link or a place to fill in, as SARIF reads brackets and braces."""
    shown = plain(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return shown.replace("{", "{{").replace("}", "}}") or "-"


def _uri(file: str) -> str:
    if PurePath(file).is_absolute():
        return f"file://{quote(plain(file))}"
    path = PurePath(plain(file)).as_posix()
    return quote(path)


def _data(text: str) -> str:
    return plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
