"""Render the doctor's findings as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rich.text import Text

from djlink_manifest.model.server.health import LEVELS, Diagnosis, ExaminedServer, Finding, Level
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.layout import Item, Rows
from djlink_manifest.report.screen.rows import DONE, FAILED, TROUBLE, WAITS, Row
from djlink_manifest.report.screen.terminal import line

FORMAT_VERSION = 1
SIGNS: dict[Level, str] = {"ok": DONE, "note": WAITS, "warning": TROUBLE, "error": FAILED}


def diagnosis_lines(diagnosis: Diagnosis, *, quiet: bool = False) -> list[Item]:
    """Return the findings of each server, with their reasons and fixes, and a line with the totals.

    `quiet` omits findings that are ok.
    """
    lines = list[Item]()
    for server in diagnosis.servers:
        findings = [f for f in diagnosis.findings if f.server == server.name]
        shown = [f for f in findings if not quiet or f.level != "ok"]
        lines += [_heading(server), Rows(tuple(_found(shown))), line()]
    return [*lines, line((_sums(diagnosis), "bold"))]


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the servers and all findings, including those that are ok, as a JSON value."""
    return {
        "format_version": FORMAT_VERSION,
        "manifest": diagnosis.manifest,
        "has_errors": diagnosis.has_errors,
        "counts": {level: diagnosis.count(level) for level in LEVELS},
        "servers": [asdict(server) for server in diagnosis.servers],
        "findings": [asdict(finding) for finding in diagnosis.findings],
    }


def _heading(server: ExaminedServer) -> Text:
    about = f"  {server.vendor} {server.version}" if server.reached else "  not reached"
    place = f"  {server.host}:{server.port}" if server.port else f"  {server.host}"
    return line((server.name, "bold"), place, (about, "dim"))


def _found(findings: Iterable[Finding]) -> Iterator[Row]:
    for finding in findings:
        sign = SIGNS[finding.level]
        yield Row(sign, finding.subject, finding.words)
        for label, words in (("why", finding.why), ("fix", finding.fix)):
            if words:
                yield Row(sign, "", f"{label}: {words}", style="dim")


def _sums(diagnosis: Diagnosis) -> str:
    told = [
        counted(diagnosis.count(level), level)
        for level in ("error", "warning", "note")
        if diagnosis.count(level)
    ]
    return f"Doctor: {', '.join(told)}." if told else "Doctor: no problems found."
