"""Render the doctor's findings as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from djlink_manifest.model.server.health import LEVELS, Diagnosis, ExaminedServer, Finding, Level
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.terminal import line, plain

FORMAT_VERSION = 1
SIGNS: dict[Level, tuple[str, str]] = {
    "ok": ("✓", "bold green"),
    "note": ("·", "bold cyan"),
    "warning": ("!", "bold yellow"),
    "error": ("✗", "bold red"),
}


def diagnosis_lines(diagnosis: Diagnosis, *, quiet: bool = False) -> list[Text]:
    """Return the findings of each server, with their reasons and fixes, and a line with the totals.

    `quiet` omits findings that are ok.
    """
    lines = list[Text]()
    for server in diagnosis.servers:
        findings = [f for f in diagnosis.findings if f.server == server.name]
        shown = [f for f in findings if not quiet or f.level != "ok"]
        lines += [_heading(server), *_found(shown), line()]
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


def _found(findings: list[Finding]) -> Iterator[Text]:
    width = max((cell_len(plain(f.subject)) for f in findings), default=0)
    for finding in findings:
        sign, style = SIGNS[finding.level]
        subject = finding.subject + " " * (width - cell_len(plain(finding.subject)))
        yield line("  ", (sign, style), " ", (subject, "bold"), "  ", finding.words)
        for label, words in (("why: ", finding.why), ("fix: ", finding.fix)):
            if words:
                yield line(" " * (width + 6), (label, "cyan"), words)


def _sums(diagnosis: Diagnosis) -> str:
    told = [
        counted(diagnosis.count(level), level)
        for level in ("error", "warning", "note")
        if diagnosis.count(level)
    ]
    return f"Doctor: {', '.join(told)}." if told else "Doctor: no problems found."
