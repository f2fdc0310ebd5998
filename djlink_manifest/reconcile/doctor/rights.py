"""Whether the accounts have the rights they need, and no more: missing ones, roles, wildcards in GRANTs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.server.health import Finding, Health, Role
from djlink_manifest.model.server.rights import (
    LOCAL_RIGHTS,
    OUTBOUND_RIGHTS,
    REMOVAL_RIGHTS,
    SOURCE_RIGHTS,
    Grant,
    account_name,
    grant,
    missing,
)
from djlink_manifest.reconcile.doctor.excess import Needs, excess_findings, wide_findings

SOURCE, LOCAL = "the source schema", "the local schema"
_WILD = re.compile(r"(?<!\\)(?:\\\\)*[_%]")


@dataclass(frozen=True, slots=True)
class Need:
    """Rights that an account needs on a schema, or, where `tables` is not empty, on each of these tables."""

    schema: str
    rights: tuple[str, ...]
    what: str
    tables: tuple[str, ...] = ()


def source_needs(
    links: Iterable[Link], schemas: Iterable[str], outbound: str, *, removing: bool = False
) -> tuple[Need, ...]:
    """What a link user needs for these links; `schemas` are the source schemas that the manifest names.

    `removing`: links are to be taken out, too.
    """
    tables = dict[str, set[str]]()
    for link in links:
        tables.setdefault(link.definition.schema, set()).update(t.name for t in link.definition.tables)
    named = (
        Need(name, SOURCE_RIGHTS, SOURCE, tuple(sorted(tables.get(name, ()))))
        for name in sorted(set(schemas))
    )
    more = REMOVAL_RIGHTS if removing else ()
    return (*named, Need(outbound, OUTBOUND_RIGHTS + more, "the outbound schema"))


def local_needs(schemas: Iterable[str], removing: Iterable[str] = ()) -> tuple[Need, ...]:
    """What the local user needs; `schemas` are the local schemas that the manifest can name.

    `removing` are those of links that are to be taken out.
    """
    going = set(removing)
    return tuple(
        Need(name, LOCAL_RIGHTS + (REMOVAL_RIGHTS if name in going else ()), LOCAL)
        for name in sorted({*schemas, *going})
    )


def rights_findings(
    name: str,
    needs: Sequence[Need],
    health: Health,
    catalog: Catalog,
    owners: str | None = None,
    named: Iterable[str] = (),
) -> Iterator[Finding]:
    """What is missing, what is too much, and what of the GRANTs means something else than it seems to.

    `owners` is the schema of the owner's views of a source; None for the local server, whose account may do
    what the lab wishes. `named` are the source schemas of which the manifest names each table.
    """
    missing = [f for need in needs for f in _missing(name, need, health, catalog)]
    yield from missing
    if not missing:
        yield Finding(name, "privileges", "ok", "all required privileges")
    yield from _roles(name, health, bool(missing), catalog)
    if owners is not None:
        listed = ((need.schema, need.rights, need.tables) for need in needs)
        excessive = Needs.of(listed, owners)
        yield from excess_findings(name, excessive, health, catalog)
        yield from wide_findings(name, excessive, named, health, catalog)
    for need in needs:
        yield from _wildcards(name, need, health, catalog)


def _missing(name: str, need: Need, health: Health, catalog: Catalog) -> Iterator[Finding]:
    places: tuple[str | None, ...] = need.tables or (None,)
    lacks = {
        place: missing(health.grants, need.rights, need.schema, place)
        for place in places
        if missing(health.grants, need.rights, need.schema, place)
    }
    exists = need.schema in catalog.all_schemas
    account = catalog.identity.account
    if not lacks:
        # a local schema is made by the first apply
        if not exists and need.what != LOCAL:
            yield Finding(
                name,
                "privileges",
                "error",
                f"{need.what} `{need.schema}` does not exist",
                why="no table of it can be linked" if need.what == SOURCE else "no row can be held",
                fix="check the name, or ask an administrator to run: CREATE SCHEMA "
                f"`{_quoted_name(need.schema)}`;",
            )
        return
    rights = tuple(r for r in need.rights if any(r in each for each in lacks.values()))
    tables = [place for place in lacks if place is not None]
    on = f"{need.what} `{need.schema}`"
    if tables and len(tables) < len(need.tables):
        on = f"{', '.join(tables[:5])} of {on}"
    given = [role for role in health.roles if not role.active and _gives(role, rights, need, places)]
    if given:
        why = f"the role `{given[0].name}` grants this but is not active, so its privileges do not apply"
        fix = f"ask an administrator to run: {_default_role(given[0], catalog)}"
    else:
        why = "without it, the affected links are refused or fail during an apply"
        make = "" if exists or need.what == SOURCE else _create(need, catalog)
        fix = f"ask an administrator to run: {make}{grant(need.rights, need.schema, catalog.identity)}"
    yield Finding(
        name, "privileges", "error", f"{account} lacks {', '.join(rights)} on {on}", why=why, fix=fix
    )


def _gives(role: Role, rights: Iterable[str], need: Need, places: Iterable[str | None]) -> bool:
    return not any(missing(role.grants, rights, need.schema, place) for place in places)


def _create(need: Need, catalog: Catalog) -> str:
    if need.what == LOCAL or need.schema in catalog.all_schemas:
        return ""
    return f"CREATE SCHEMA IF NOT EXISTS `{_quoted_name(need.schema)}`; "


def _default_role(role: Role, catalog: Catalog) -> str:
    account = account_name(catalog.identity.account)
    word = "FOR" if catalog.identity.version.vendor == "mariadb" else "TO"
    return f"SET DEFAULT ROLE `{_quoted_name(role.name)}` {word} {account};"


def _roles(name: str, health: Health, any_missing: bool, catalog: Catalog) -> Iterator[Finding]:
    idle = [role for role in health.roles if not role.active]
    if idle and not any_missing:
        yield Finding(
            name,
            "roles",
            "note",
            f"not active: {', '.join(f'`{r.name}`' for r in idle)}",
            why="privileges of a role apply only while it is active; no required privilege is missing",
            fix=f"to give them to djlink: {_default_role(idle[0], catalog)}",
        )
    active = [role.name for role in health.roles if role.active]
    if active:
        yield Finding(name, "roles", "ok", f"active: {', '.join(f'`{r}`' for r in active)}")


def _wildcards(name: str, need: Need, health: Health, catalog: Catalog) -> Iterator[Finding]:
    matching = {g.schema: g for g in health.grants if _is_pattern_for(g, need.schema)}
    to = catalog.identity
    for pattern in sorted(matching):
        if catalog.identity.literal_names or not _WILD.search(pattern):
            continue
        if "%" not in pattern:
            escaped = re.sub(r"(?<!\\)_", r"\\_", pattern)
            yield Finding(
                name,
                "GRANT wildcards",
                "note",
                f"the GRANT on `{pattern}` matches every schema with any character in place of `_`",
                why="the account has privileges on unintended schemas",
                fix=f"use `{escaped}`: {grant(need.rights, need.schema, to)} then REVOKE the other one",
            )
    yield from _one_alone(name, need, matching, health, catalog)


def _one_alone(
    name: str, need: Need, matching: Mapping[str, Grant], health: Health, catalog: Catalog
) -> Iterator[Finding]:
    """Of several GRANTs that match a schema's name the server takes one, and does not add them up."""
    if len(matching) < 2 or missing(health.grants, need.rights, need.schema):
        return  # what no GRANT gives is told as missing
    counts = max(matching, key=_exactness)
    others = [g for g in health.grants if g.schema == "*"]
    missing_rights = missing([matching[counts], *others], need.rights, need.schema)
    if missing_rights:
        listed = ", ".join(f"`{p}`" for p in sorted(matching))
        yield Finding(
            name,
            "GRANT wildcards",
            "warning" if any(role.active for role in health.roles) else "error",
            f"{len(matching)} GRANTs match the schema `{need.schema}` ({listed}), and the one on `{counts}` "
            f"lacks {', '.join(missing_rights)}",
            why="the server applies only the most specific one and does not combine them",
            fix=f"ask an administrator to run: {grant(need.rights, need.schema, catalog.identity)}",
        )


def _exactness(pattern: str) -> tuple[int, int]:
    """How exact a pattern is to a server: one without wildcards, else the later its first one stands."""
    wild = _WILD.search(pattern)
    return (1, 0) if wild is None else (0, wild.end())


def _is_pattern_for(given: Grant, schema: str) -> bool:
    return given.table == "*" and given.schema != "*" and given.covers(schema, None)


def _quoted_name(name: str) -> str:
    return name.replace("`", "``")
