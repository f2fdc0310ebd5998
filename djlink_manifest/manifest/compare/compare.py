"""Compare two manifests, offline: links, options, servers, approvals, removals and moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from djlink_manifest.manifest.compare.changes import Change, grouped
from djlink_manifest.manifest.compare.meaning import OPTIONS, meaning, shown
from djlink_manifest.manifest.compare.places import place_changes
from djlink_manifest.manifest.models.match import EquallyClose, rule_for
from djlink_manifest.manifest.models.moves import followed, is_below, steps_of
from djlink_manifest.manifest.models.names import covers, is_class, is_glob, same_table
from djlink_manifest.manifest.models.values import Manifest, Moved, SchemaSpec, TableRule
from djlink_manifest.model.tables.naming import class_name

Place = tuple[str, str]  # a source and a schema


def compare(old: Manifest, new: Manifest) -> tuple[Change, ...]:
    """Return what differs between two manifests, what is removed first, with what each change means."""
    links = list(_link_changes(old, new))
    out = [steps_of(subject) for change in links if change.kind == "removed" for subject in change.subjects]
    places = (c for c in place_changes(old, new) if c.option != "removed" or not _is_told(c, out))
    return grouped([*places, *links])


def _is_told(change: Change, out: Iterable[tuple[str, ...]]) -> bool:
    """Whether an entry of `removed` is told with the link that it takes out."""
    steps = steps_of(change.subjects[0])
    return any(_is_entry((one[0], one[1], one[2]), steps) for one in out if len(one) == len(steps) == 3)


def _link_changes(old: Manifest, new: Manifest) -> Iterator[Change]:
    fresh = [m for m in new.moved if not any(_same_move(m, each) for each in old.moved)]
    yield from _moves(fresh)
    before, after = _schemas(old), _schemas(new)
    renamed = {_followed_place(place, fresh): place for place in before}
    for place in sorted({*after, *renamed}):
        former = before.get(renamed.get(place, place))
        yield from _in_schema(place, former, after.get(place), new, fresh)


def _schemas(manifest: Manifest) -> dict[Place, SchemaSpec]:
    return {(source.name, schema.name): schema for source in manifest.sources for schema in source.schemas}


def _same_move(one: Moved, other: Moved) -> bool:
    return (one.before, one.to) == (other.before, other.to)


def _moves(fresh: Iterable[Moved]) -> Iterator[Change]:
    for entry in fresh:
        words = "its tables and marks get the new name; no row travels"
        yield Change(
            "moved", (entry.before,), words, before=entry.before, after=entry.to, location=entry.location
        )


def _followed_place(place: Place, fresh: Iterable[Moved]) -> Place:
    """The place of a schema after moves of it or of its source."""
    entries = [m for m in fresh if m.from_ and len(steps_of(m.from_)) < 3]
    found = followed(".".join(place), entries)
    if not found:
        return place
    source, _, schema = found[-1].partition(".")
    return source, schema


def _in_schema(
    place: Place,
    old: SchemaSpec | None,
    new: SchemaSpec | None,
    manifest: Manifest,
    fresh: Iterable[Moved],
) -> Iterator[Change]:
    address = ".".join(place)
    old_rules, new_rules = (old.rules if old else ()), (new.rules if new else ())
    tables = {steps_of(m.from_)[2]: steps_of(m.to)[2] for m in fresh if _is_table_of(m, place)}
    for rule in new_rules:
        former = _counterpart(rule.pattern, old, {to: one for one, to in tables.items()})
        if former is not None:
            yield from _option_changes(f"{address}.{rule.pattern}", former, rule)
        else:
            yield _added(f"{address}.{rule.pattern}", rule)
    for rule in old_rules:
        if _named(rule.pattern, new_rules, tables) is not None:
            continue
        covering = _counterpart(rule.pattern, new, tables)
        if covering is not None:
            yield from _option_changes(f"{address}.{rule.pattern}", rule, covering)
        else:
            yield _gone(f"{address}.{rule.pattern}", rule, manifest)
    if old is not None and new is not None:
        yield from _excludes(address, old, new)


def _is_table_of(entry: Moved, place: Place) -> bool:
    steps = steps_of(entry.from_) if entry.from_ else ()
    return len(steps) == 3 and is_below(steps_of(entry.to), place)


def _named(pattern: str, rules: Iterable[TableRule], renamed: dict[str, str]) -> TableRule | None:
    """The rule with the same key, or with another spelling of the same table."""
    wanted = renamed.get(pattern, pattern)
    found = [rule for rule in rules if rule.pattern == wanted]
    found += [r for r in rules if not r.is_glob and r.pattern != wanted and same_table(r.pattern, wanted)]
    return next(iter(found), None)


def _counterpart(pattern: str, schema: SchemaSpec | None, renamed: dict[str, str]) -> TableRule | None:
    """The rule that decides in another manifest about what this key names; None where none does."""
    if schema is None:
        return None
    named = _named(pattern, schema.rules, renamed)
    if named is not None:
        return named
    wanted = renamed.get(pattern, pattern)
    if is_glob(wanted):
        wide = [rule for rule in schema.rules if rule.is_glob and covers(rule.pattern, wanted)]
        return next(iter(sorted(wide, key=lambda rule: -len(rule.pattern))), None)
    try:
        return rule_for(schema, wanted, wanted if is_class(wanted) else class_name(wanted))
    except EquallyClose:
        return None


def _option_changes(address: str, before: TableRule, after: TableRule) -> Iterator[Change]:
    for option in OPTIONS:
        if getattr(before.options, option) == getattr(after.options, option):
            continue
        words, is_risky = meaning(option, before.options, after.options)
        yield Change(
            "changed",
            (address,),
            words,
            option,
            before=shown(option, before.options),
            after=shown(option, after.options),
            is_risky=is_risky,
            location=after.place_of(option),
        )


def _added(address: str, rule: TableRule) -> Change:
    rows = {
        "needed": "the rows that linked children refer to are pulled",
        "none": "no row is pulled (`pull: none`)",
    }.get(rule.options.pull, "all its rows are pulled")
    condition = shown("where", rule.options)
    if condition is not None:
        rows = f"rows where {condition} are pulled"
    each = "each table that it matches is linked" if rule.is_glob else "a new link"
    words = f"{each}: outbound and local tables are made, {rows}, and the source cannot delete them"
    return Change("added", (address,), words, location=rule.location)


def _gone(address: str, rule: TableRule, manifest: Manifest) -> Change:
    source, schema, table = steps_of(address)
    entry = next((r for r in manifest.taken_out if _is_entry(r.place, (source, schema, table))), None)
    if entry is None:
        each = "its tables that no other entry matches are" if rule.is_glob else "it is"
        words = (
            f"{each} forgotten: what was pulled stays protected at the source and is brought up to date no "
            "more; an entry of `removed` takes a link out"
        )
        return Change("removed", (address,), words, is_risky=True, location=rule.location)
    kept = (
        "the local tables are dropped" if entry.table == "drop" else "the local tables stay, as ordinary ones"
    )
    words = f"taken out: the source may delete its rows again, and {kept}"
    return Change(
        "removed",
        (address,),
        words,
        after=f"removed: {entry.table}",
        is_risky=entry.table == "drop",
        location=entry.location,
    )


def _is_entry(place: tuple[str, str, str], link: tuple[str, ...]) -> bool:
    return place[:2] == link[:2] and same_table(place[2], link[2])


def _excludes(address: str, old: SchemaSpec, new: SchemaSpec) -> Iterator[Change]:
    for pattern in sorted({*old.exclude, *new.exclude}):
        if (pattern in old.exclude) == (pattern in new.exclude):
            continue
        if pattern in new.exclude:
            words = "tables that it matches and no entry names are forgotten, where they are linked"
            place = new.place_of("exclude")
            yield Change(
                "changed", (address,), words, "exclude", after=pattern, is_risky=True, location=place
            )
        else:
            words = "tables that it matched are linked where `tables` matches them"
            place = new.place_of("exclude") if new.exclude else new.location
            yield Change("changed", (address,), words, "exclude", before=pattern, location=place)
