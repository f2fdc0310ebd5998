"""`moved`: an entry gives one thing that can be linked another name, which the manifest has, in no circle."""

from __future__ import annotations

from collections.abc import Iterator

from djlink_manifest.errors import Location
from djlink_manifest.manifest.checks.addresses import circles, linked
from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.models.moves import Steps, followed, is_below, steps_of
from djlink_manifest.manifest.models.names import identifier_fault, is_glob, source_fault, table_fault
from djlink_manifest.manifest.models.values import Manifest, Moved
from djlink_manifest.manifest.text.nodes import spot_of
from djlink_manifest.manifest.text.problems import did_you_mean

FORM = (
    "name a source (`kyoto`), a schema (`kyoto.lab`) or a table (`kyoto.lab.Session`); "
    "a local schema is written `local_schema: NAME`"
)
_KINDS = ("a source", "a schema", "a table")


def check_moves(at: Checked) -> None:
    """Note entries that name nothing, that contradict each other, or what the manifest says elsewhere."""
    sound = [entry for entry in sorted(at.manifest.moved, key=_place) if _check_form(entry, at)]
    seen = dict[tuple[str, str], Moved]()
    for entry in sound:
        key = (entry.from_, f"{entry.local_schema} {entry.to}" if entry.local_schema else "")
        first = seen.setdefault(key, entry)
        if first is not entry:
            at.error(
                entry.origin.path,
                f"two entries move `{entry.before}`",
                f"the other is at {first.location}; keep one of them",
            )
    turning = _check_circles(sound, at)
    for entry in sound:
        if entry.from_:
            _check_declared(entry, sound, at, told=entry.from_ in turning)
        elif entry.local_schema not in turning:
            _check_local_schema(entry, sound, at)
    _check_removed(sound, at)


def _place(entry: Moved) -> int:
    return int(entry.origin.path[1])


def _check_form(entry: Moved, at: Checked) -> bool:
    """Whether the entry names two things of one kind; noted where it does not."""
    steps = entry.origin.path
    if bool(entry.from_) == bool(entry.local_schema):
        at.error(steps, "an entry of `moved` needs either `from` or `local_schema`, and `to`", FORM)
        return False
    if entry.before == entry.to:
        at.error((*steps, "to"), f"`{entry.to}` is the name that it has already", "remove the entry")
        return False
    for key, name in (("from" if entry.from_ else "local_schema", entry.before), ("to", entry.to)):
        fault = _fault(steps_of(name)) if entry.from_ else identifier_fault(name)
        if fault:
            at.error((*steps, key), f"`{name}` {fault}", FORM)
            return False
    before, after = len(steps_of(entry.from_)), len(steps_of(entry.to))
    if entry.from_ and before != after:
        words = f"`{entry.from_}` is {_KINDS[before - 1]}, and `{entry.to}` is {_KINDS[after - 1]}"
        at.error((*steps, "to"), words, FORM)
        return False
    return True


def _fault(steps: Steps) -> str | None:
    """What is wrong with an address, as the end of a sentence; else None."""
    checks = (source_fault, identifier_fault, _table_fault)
    return next((fault for check, step in zip(checks, steps, strict=False) if (fault := check(step))), None)


def _table_fault(name: str) -> str | None:
    return table_fault(name) or ("is a glob; name one table" if is_glob(name) else None)


def _check_circles(entries: list[Moved], at: Checked) -> set[str]:
    """Note circles; the names in them, of which nothing more is to be said."""
    found = set[str]()
    edges = dict[str, list[str]]()
    for entry in entries:
        edges.setdefault(entry.before, []).append(entry.to)
    for circle in circles(edges):
        first = next(e for e in entries if e.before == circle[0])
        shown = " → ".join([*circle, circle[0]])
        help = (
            "two names cannot be exchanged at once: move one to a third name, run `djlink apply`, then move "
            "the others"
        )
        at.error(first.origin.path, f"`moved` forms a cycle: {shown}", help)
        found.update(circle)
    return found


def _check_declared(entry: Moved, entries: list[Moved], at: Checked, *, told: bool) -> None:
    still = _declared_at(steps_of(entry.from_), at)
    if still is not None:
        at.error(
            (*entry.origin.path, "from"),
            f"`{entry.from_}` is still declared at {still}",
            f"rename it there to `{entry.to}`, or remove this entry",
        )
        return
    if told:
        return
    last = (entry.to, *followed(entry.to, entries))[-1]
    is_removed = any(is_below(steps_of(r.address), steps_of(last)) for r in at.manifest.removed)
    if not is_removed and not _is_declared(steps_of(last), at.manifest):
        help = did_you_mean(last, _names_like(steps_of(last), at.manifest))
        at.error(
            (*entry.origin.path, "to"),
            f"the manifest does not declare `{last}`",
            help or "declare it below `sources` under its present name",
        )


def _declared_at(steps: Steps, at: Checked) -> Location | None:
    """Where a source, a schema or a table is declared by its name; a glob that matches a table is no name."""
    source = next((s for s in at.manifest.sources if s.name == steps[0]), None)
    if source is None or len(steps) == 1:
        return spot_of(at.root, ("sources", steps[0]), key=True).location if source else None
    schema = next((s for s in source.schemas if s.name == steps[1]), None)
    if schema is None or len(steps) == 2:
        return schema.location if schema else None
    rule = linked(schema, steps[2])[1]
    return rule.location if rule is not None and not rule.is_glob else None


def _is_declared(steps: Steps, manifest: Manifest) -> bool:
    source = next((s for s in manifest.sources if s.name == steps[0]), None)
    if source is None or len(steps) == 1:
        return source is not None
    schema = next((s for s in source.schemas if s.name == steps[1]), None)
    if schema is None or len(steps) == 2:
        return schema is not None
    return linked(schema, steps[2])[0] != "no"


def _names_like(steps: Steps, manifest: Manifest) -> Iterator[str]:
    for source in manifest.sources:
        if len(steps) == 1:
            yield source.name
        for schema in source.schemas:
            if len(steps) == 2:
                yield f"{source.name}.{schema.name}"
            elif len(steps) == 3:
                yield from (f"{source.name}.{schema.name}.{r.pattern}" for r in schema.rules if not r.is_glob)


def _check_local_schema(entry: Moved, entries: list[Moved], at: Checked) -> None:
    named = {
        rule.options.local_schema(source.name, schema.name)
        for source in at.manifest.sources
        for schema in source.schemas
        for rule in schema.rules
    }
    if entry.to not in named and entry.to not in {e.local_schema for e in entries}:
        help = did_you_mean(entry.to, sorted(named))
        at.error(
            (*entry.origin.path, "to"),
            f"no link has the local schema `{entry.to}`",
            help or "set `schema_name` to it, or remove this entry",
        )


def _check_removed(entries: list[Moved], at: Checked) -> None:
    for removed in at.manifest.removed:
        last = followed(removed.address, entries)
        if last:
            steps = ("removed", removed.address)
            at.error(
                steps,
                f"`removed`: `{removed.address}` has moved to `{last[-1]}`",
                f"write `{last[-1]}` here: it is found under its former names too",
                key=True,
            )
