"""What `moved` says of addresses: where a link was before, and where an address leads today. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from djlink_manifest.manifest.models.names import same_table
from djlink_manifest.manifest.models.values import Moved
from djlink_manifest.model.links.link import Former

Steps = tuple[str, ...]  # source, schema, table, or the first of them


def steps_of(address: str) -> Steps:
    """The steps of an address, of a schema's or of a source's."""
    return tuple(address.split(".", 2))


def is_below(steps: Steps, above: Steps) -> bool:
    """Whether an address is that of `above`, or of anything below it; a table has a class as well."""
    if len(steps) < len(above):
        return False
    return all(
        one == other or (place == 2 and same_table(one, other))
        for place, (one, other) in enumerate(zip(steps, above, strict=False))
    )


def followed(address: str, entries: Iterable[Moved]) -> tuple[str, ...]:
    """The addresses that an address had after each move, the last of which it has today.

    Of several entries that fit the one that says most counts. Ends where an address comes again.
    """
    found, current, entries = list[str](), steps_of(address), tuple(entries)
    while True:
        fitting = [e for e in entries if e.from_ and is_below(current, steps_of(e.from_))]
        if not fitting:
            return tuple(found)
        entry = max(fitting, key=lambda e: len(steps_of(e.from_)))
        current = (*steps_of(entry.to), *current[len(steps_of(entry.from_)) :])
        if ".".join(current) in (address, *found):
            return (*found, ".".join(current))
        found.append(".".join(current))


def former_places(entries: Iterable[Moved], source: str, schema: str, table: str) -> tuple[Former, ...]:
    """Where a table was before, by all entries, the latest place first. `table` is its name at the source."""
    entries = tuple(entries)
    found: list[tuple[Steps, Moved | None]] = [((source, schema, table), None)]
    for current, _ in found:  # which grows meanwhile
        for entry in entries:
            to = steps_of(entry.to)
            if not entry.from_ or not is_below(current, to):
                continue
            before = (*steps_of(entry.from_), *current[len(to) :])
            if len(before) == 3 and before not in [steps for steps, _ in found]:
                found.append((before, entry))
    return tuple(
        Former(steps[0], steps[1], steps[2], entry.location) for steps, entry in found if entry is not None
    )


def former_schemas(entries: Iterable[Moved], source: str, schema: str) -> tuple[tuple[str, str], ...]:
    """Where tables of a schema of a source may have been before, as (source, schema) pairs."""
    entries = tuple(entries)
    found = [(source, schema)]
    for current in found:  # which grows meanwhile
        for entry in entries:
            to, before = steps_of(entry.to)[:2], steps_of(entry.from_)[:2]
            if entry.from_ and is_below(current, to):
                pair = (before[0], before[1] if len(before) > 1 else current[1])
                if pair not in found:
                    found.append(pair)
    return tuple(found[1:])


def former_local_schemas(entries: Iterable[Moved], schemas: Sequence[str]) -> tuple[str, ...]:
    """These local schemas and those from which `moved` brings tables into them, each once."""
    entries, found = tuple(entries), list(dict.fromkeys(schemas))
    for current in found:  # which grows meanwhile
        for entry in entries:
            if entry.local_schema and entry.to == current and entry.local_schema not in found:
                found.append(entry.local_schema)
    return tuple(found)
