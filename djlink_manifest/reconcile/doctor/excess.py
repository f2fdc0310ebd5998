"""Rights of a link user that it does not need, each with the statement that takes it away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.server.health import Finding, Health, Role
from djlink_manifest.model.server.rights import (
    ALL,
    OWNER_SCHEMA_RIGHTS,
    SOURCE_RIGHTS,
    Grant,
    grant,
    missing,
    revoke,
)
from djlink_manifest.model.tables.naming import LINEAGE

# code that an owner could have run, files, other accounts, other sessions, the server
_DANGEROUS = frozenset(
    {"EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "TRIGGER", "EVENT", "FILE", "SUPER", "CREATE USER"}
    | {"SHUTDOWN", "RELOAD", "SYSTEM_USER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER", "PROCESS"}
    | {"CONNECTION_ADMIN", "CONNECTION ADMIN", "ROLE_ADMIN", "SYSTEM_VARIABLES_ADMIN", "BINLOG ADMIN"}
    | {"ALLOW_NONEXISTENT_DEFINER", "CREATE ROLE", "DROP ROLE", "GRANT OPTION", *ALL}
)
_HARMLESS = frozenset({"USAGE", "SHOW VIEW"})
_WHY = "djlink needs none of these; anyone who has the password or misleads this account can do more"
_CODE = (
    "code that the source's owner puts into a function, or into a view that calls one, could run with the "
    "privileges of the link user, which can write to the outbound schema"
)


@dataclass(frozen=True, slots=True)
class Needs:
    """Rights that an account needs, by schema, or, where tables are named, on each of these."""

    rights: Mapping[str, frozenset[str]]
    tables: Mapping[str, tuple[str, ...]]

    @staticmethod
    def of(needs: Iterable[tuple[str, Iterable[str], tuple[str, ...]]], owners: str) -> Needs:
        """What is needed: schemas with their rights and tables, and the schema of the owner's views."""
        listed = [(schema, frozenset(rights), tables) for schema, rights, tables in needs]
        return Needs(
            {owners: frozenset(OWNER_SCHEMA_RIGHTS), **{schema: rights for schema, rights, _ in listed}},
            {schema: tables for schema, _, tables in listed},
        )

    def excess(self, given: Grant) -> frozenset[str]:
        """The rights of a grant that nothing needs; on schemas that djlink does not use, dangerous ones."""
        rights = given.rights - _HARMLESS | ({"GRANT OPTION"} if given.option else set())
        if given.routine:
            return rights
        if given.schema == "*":
            return rights
        covered = [r for schema, r in self.rights.items() if given.covers(schema, given.table)]
        return rights - frozenset().union(*covered) if covered else rights & _DANGEROUS

    def given_back(self, remaining: Sequence[Grant], catalog: Catalog) -> Iterator[str]:
        """The GRANTs of what would be missing with these grants alone."""
        for schema, rights in sorted(self.rights.items()):
            tables: tuple[str | None, ...] = self.tables.get(schema) or (None,)
            if schema in catalog.all_schemas and any(
                missing(remaining, sorted(rights), schema, table) for table in tables
            ):
                yield grant(sorted(rights), schema, catalog.identity)


def excess_findings(name: str, needs: Needs, health: Health, catalog: Catalog) -> Iterator[Finding]:
    """Rights of the link user that are more than needed, dangerous ones as warnings."""
    over = [(g, needs.excess(g)) for g in health.grants if not g.revoked]
    code = [(g, r & {"EXECUTE"}) for g, r in over if r & {"EXECUTE"}]
    danger = [(g, (r & _DANGEROUS) - {"EXECUTE"}) for g, r in over if (r & _DANGEROUS) - {"EXECUTE"}]
    rest = [(g, r - _DANGEROUS) for g, r in over if r - _DANGEROUS]
    account = catalog.identity.account
    places = ", ".join(sorted({g.target.replace("`", "") for g, _ in code}))
    for found, level, words, why in (
        (code, "warning", f"{account} may EXECUTE routines ({places})", _CODE),
        (danger, "warning", f"{account} also has {_listed(danger)}", _WHY),
        (rest, "note", f"{account} may also {_listed(rest)}", _WHY),
    ):
        if found:
            # a GRANT first would be taken away by the REVOKE of ALL on the same schema
            fix = " ".join(
                [*_revokes(found, health.roles, account), *_given_back(needs, found, health, catalog)]
            )
            yield Finding(
                name,
                "needless privileges",
                "warning" if level == "warning" else "note",
                words,
                why=why,
                fix=f"ask an administrator to run: {fix}",
            )


def wide_findings(
    name: str, needs: Needs, named: Iterable[str], health: Health, catalog: Catalog
) -> Iterator[Finding]:
    """Rights on a whole schema of which the manifest names each table, and the rights on these alone."""
    account = catalog.identity.account
    for schema in sorted(named):
        tables = needs.tables.get(schema, ())
        wide = [
            (g, g.rights & needs.rights[schema])
            for g in health.grants
            if not g.revoked
            and g.schema != "*"
            and g.covers(schema, None)
            and g.rights & needs.rights[schema]
        ]
        if not tables or not wide:
            continue
        lineage = [LINEAGE] if (schema, LINEAGE) in catalog.tables else []
        fix = [
            *(grant(SOURCE_RIGHTS, schema, catalog.identity, table) for table in (*tables, *lineage)),
            *_revokes(wide, health.roles, account),
        ]
        yield Finding(
            name,
            "needless privileges",
            "note",
            f"{account} may read all tables of `{schema}`; the manifest needs {len(tables)} of them",
            why="privileges on these would do; then a part that is added later needs a GRANT of its own",
            fix=f"to restrict it, ask an administrator to run: {' '.join(fix)}",
        )


def _given_back(
    needs: Needs, taken: Sequence[tuple[Grant, frozenset[str]]], health: Health, catalog: Catalog
) -> Iterator[str]:
    if any(_goes_whole(given) for given, _ in taken):
        return needs.given_back((), catalog)
    gone = dict(taken)
    remaining = [replace(g, rights=g.rights - gone.get(g, frozenset())) for g in health.grants]
    return needs.given_back(remaining, catalog)


def _goes_whole(given: Grant) -> bool:
    """Whether all rights have to go at once: from an account that may grant rights on all schemas MySQL takes
    no dynamic one otherwise, without an error. It then takes those on schemas along."""
    return given.schema == "*" and given.option


def _revokes(
    taken: Iterable[tuple[Grant, frozenset[str]]], roles: Iterable[Role], account: str
) -> Iterator[str]:
    """A role that gives a right is where it is taken from."""
    active = [role for role in roles if role.active]
    whole = [given for given, _ in taken if _goes_whole(given)]
    for right in ("ALL PRIVILEGES", "GRANT OPTION") if whole else ():
        yield revoke([right], whole[0], account)
    for given, rights in taken:
        if given in whole:
            continue
        for holder, names in _holders(given, rights, active, account).items():
            plain = sorted(names - {"GRANT OPTION"})
            for listed in ([plain] if plain else []) + (
                [["GRANT OPTION"]] if "GRANT OPTION" in names else []
            ):
                yield revoke(listed, given, holder)


def _holders(
    given: Grant, rights: frozenset[str], roles: Iterable[Role], account: str
) -> dict[str, frozenset[str]]:
    for role in roles:
        of_role = [g for g in role.grants if g.target == given.target]
        own = frozenset().union(*(g.rights for g in of_role)) & rights
        if own:
            return {role.name: own, **({account: rights - own} if rights - own else {})}
    return {account: rights}


def _listed(found: Sequence[tuple[Grant, frozenset[str]]]) -> str:
    """The rights with what they are on: `INSERT on lab.*, FILE on *.*`."""
    return "; ".join(
        f"{', '.join(sorted(rights))} on {given.target.replace('`', '')}" for given, rights in found
    )
