"""Show what a manifest declares, and what a condition selects of one of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from djlink_manifest.manifest.models.declared import Declared
from djlink_manifest.manifest.models.options import Options
from djlink_manifest.manifest.models.where import spelt
from djlink_manifest.model.links.link import Limit
from djlink_manifest.reconcile.state.trial import Trial
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.layout import Item, Rows
from djlink_manifest.report.screen.rows import NOTE, Row
from djlink_manifest.report.screen.terminal import line

FORMAT_VERSION = 1
USUAL = Options.model_construct()
ELSEWHERE = frozenset({"schema_name", "where"})  # shown by itself


def declared_lines(found: Sequence[Declared]) -> list[Item]:
    """Return a line for each address: its local schema, its options but for usual ones, its place."""
    if not found:
        return [line("No table is selected.")]
    rows = [Row(NOTE, each.address, " · ".join(_words(each)), str(each.rule.location)) for each in found]
    return [Rows(tuple(rows))]


def declared_json(found: Sequence[Declared]) -> dict[str, Any]:
    """Return every address with all options that hold for it."""
    return {"format_version": FORMAT_VERSION, "tables": [_table_json(each) for each in found]}


def trial_lines(trial: Trial) -> list[Text]:
    """Return how many rows of the table meet the condition, and where the condition is from."""
    rows = counted(trial.rows, "row")
    if trial.where is None:
        return [line((trial.address, "bold"), f": {rows}; no condition")]
    found = [line((trial.address, "bold"), ": ", (f"{trial.matching:,} of {rows}", "bold"), " selected")]
    place = f" ({trial.rule.location})" if trial.is_own and trial.rule is not None else ""
    found.append(line("  where ", spelt(trial.where), (place, "dim")))
    if trial.unknown:
        found.append(
            line(f"  {counted(trial.unknown, 'row')} not selected as the condition is NULL for them")
        )
    if trial.rule is None:
        found.append(line("  the manifest does not declare this table"))
    elif trial.rule.options.pull == "needed" and not trial.is_own:
        found.append(line("  the table has `pull: needed`: to give it this `where`, write `pull: all`"))
    return found


def trial_json(trial: Trial) -> dict[str, Any]:
    """Return the counts and the condition."""
    return {
        "format_version": FORMAT_VERSION,
        "address": trial.address,
        "where": None if trial.where is None else spelt(trial.where),
        "from_manifest": trial.where is not None and trial.is_own,
        "declared": trial.rule is not None,
        "rows": trial.rows,
        "matching": trial.matching,
        "unknown": trial.unknown,
    }


def _words(of: Declared) -> Iterator[str]:
    yield f"local {of.local_schema}"
    options = of.options
    for name in Options.model_fields:
        value = getattr(options, name)
        if name not in ELSEWHERE and value != getattr(USUAL, name):
            yield f"{name}: {_shown(value)}"
    if options.where is not None:
        yield f"where {spelt(options.where)}"
    if of.excluded:
        yield f"except {', '.join(of.excluded)}"


def _shown(value: object) -> str:
    if isinstance(value, Limit):
        return f"{value.value:g}%" if value.percent else f"{value.value:.0f}"
    if isinstance(value, tuple):
        return ", ".join(" → ".join(each) if isinstance(each, tuple) else str(each) for each in value)
    return str(value)


def _table_json(of: Declared) -> dict[str, Any]:
    place = of.rule.location
    return {
        "address": of.address,
        "is_glob": of.rule.is_glob,
        "source": of.source,
        "schema": of.schema.name,
        "table": of.rule.pattern,
        "exclude": list(of.excluded),
        "local_schema": of.local_schema,
        "options": {name: _value(of.options, name) for name in Options.model_fields if name != "schema_name"},
        "file": place.file,
        "line": place.line,
    }


def _value(options: Options, name: str) -> object:
    value = getattr(options, name)
    match name:
        case "where":
            return None if value is None else spelt(value)
        case "max_deletions":
            return _shown(value) if value.percent else int(value.value)
        case "stores":
            return dict(value)
        case _:
            return list(value) if isinstance(value, tuple) else value
