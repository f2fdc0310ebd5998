"""Rights: what an account has, and the GRANT that mends a missing one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

SOURCE_RIGHTS = ("SELECT", "REFERENCES")
OUTBOUND_RIGHTS = ("CREATE", "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES")
OWNER_SCHEMA_RIGHTS = ("SELECT", "CREATE VIEW", "DROP")
LOCAL_RIGHTS = (
    "CREATE",
    "ALTER",
    "REFERENCES",
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE TEMPORARY TABLES",
)
PULLING_RIGHTS = frozenset({"CREATE", "ALTER", "REFERENCES"})  # those that deletions do not need
REMOVAL_RIGHTS = ("DROP",)  # on both of these schemas, for `removed` alone
MOVING_RIGHTS = ("ALTER", "DROP")  # on the local schema whose tables get other names, for `moved` alone
OWNER_RIGHTS = ("SELECT", "INSERT", "DELETE")
ALL = frozenset({"ALL", "ALL PRIVILEGES"})
# any of these on a whole schema lets an account see all tables of it; other rights show none
_SHOWING = frozenset(
    {*ALL, "SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "CREATE", "DROP", "ALTER", "INDEX"}
    | {"TRIGGER", "CREATE VIEW", "SHOW VIEW", "DELETE HISTORY"}
)

_DENIED = re.compile(
    r"(?P<rights>[A-Z][A-Z ,_]*?) command denied to user '.*?'@'.*?' for (?:table|column .*? in table) "
    r"'?(?P<table>.+?)'?$"
)
_NO_SCHEMA = re.compile(r"Access denied for user '.*?'@'.*?' to database '(?P<schema>.+)'")
_ROUTINE = re.compile(r"^(?P<kind>FUNCTION|PROCEDURE|PACKAGE(?: BODY)?) ", re.IGNORECASE)
_OPTION = re.compile(r" WITH (?:[A-Z_]+ [0-9]+ )*GRANT OPTION\b")
_LONGEST_GRANT = 1_000_000
_TARGET = re.compile(r"^(?P<schema>\*|`(?:[^`]|``)+`)\.(?P<table>\*|`(?:[^`]|``)+`)$")


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights on what `schema` (a LIKE pattern with backslash escapes) and `table` name; `*` is everything.

    `revoked`: on this schema the account has none of them by what it was granted on all schemas
    (`partial_revokes` of MySQL). `routine` is what a routine is, `FUNCTION` or the like; `option`: with the
    right to grant them to others.
    """

    rights: frozenset[str]
    schema: str
    table: str
    revoked: bool = False
    literal: bool = False
    routine: str = ""
    option: bool = False

    @property
    def target(self) -> str:
        """What the rights are on, as GRANT and REVOKE take it."""
        names = (name if name == "*" else f"`{_inner(name)}`" for name in (self.schema, self.table))
        return (f"{self.routine} " if self.routine else "") + ".".join(names)

    def covers(self, schema: str, table: str | None) -> bool:
        """Whether the grant is about this table, or, where it is None, about the whole schema."""
        if self.routine:
            return False
        if self.literal and self.schema not in ("*", schema):
            return False
        if not self.literal and self.schema != "*" and not _like(self.schema, schema):
            return False
        return self.table == "*" or (table is not None and self.table == table)


def parse_grants(lines: Iterable[str], *, literal: bool = False) -> tuple[Grant, ...]:
    """The grants of `SHOW GRANTS` that concern tables, routines and schemas; column grants count as none.

    What a role gives is listed there, by both vendors, exactly where the role is active. `literal`: names of
    schemas are no patterns on that server.
    """
    found = []
    for line in lines:
        verb, _, words = line.partition(" ")
        if verb not in ("GRANT", "REVOKE") or len(line) > _LONGEST_GRANT:
            continue
        words, on, rest = words.partition(" ON ")
        where, to, _ = rest.partition(" TO " if verb == "GRANT" else " FROM ")
        routine = _ROUTINE.match(where)
        target = _TARGET.match(where[routine.end() :] if routine else where) if on and to else None
        if target is None:
            continue
        rights = {word.strip().upper() for word in re.sub(r"\([^()]*\)", "(…)", words).split(",")}
        found.append(
            Grant(
                frozenset(r for r in rights if "(" not in r),
                target["schema"].strip("`").replace("``", "`"),
                target["table"].strip("`").replace("``", "`"),
                revoked=verb == "REVOKE",
                literal=literal,
                routine=routine["kind"].upper() if routine else "",
                option=_OPTION.search(rest) is not None,
            )
        )
    return tuple(found)


def missing(
    grants: Iterable[Grant], needed: Iterable[str], schema: str, table: str | None = None
) -> tuple[str, ...]:
    """Which of the needed rights none of the grants gives, in the order asked."""
    have, everywhere, revoked = set[str](), set[str](), set[str]()
    for grant in grants:
        if grant.covers(schema, table):
            (revoked if grant.revoked else everywhere if grant.schema == "*" else have).update(grant.rights)
    if have & ALL:
        return ()
    by_schema = tuple(r for r in needed if r not in have)
    if everywhere & ALL:
        return tuple(r for r in by_schema if r in revoked)
    return tuple(r for r in by_schema if r not in everywhere - revoked)


def shows_all(grants: Sequence[Grant], schema: str) -> bool:
    """Whether an account with these grants sees every table of a schema, so that what it does not see is not.

    Rights on single tables show these alone. Of several patterns that fit the schema's name a server takes
    one, so all of them have to show its tables.
    """
    patterns, revoked = dict[str, set[str]](), set[str]()
    for grant in grants:
        if grant.covers(schema, None):
            (revoked if grant.revoked else patterns.setdefault(grant.schema, set())).update(grant.rights)
    everywhere = patterns.pop("*", set())
    if (_SHOWING if everywhere & ALL else everywhere & _SHOWING) - ALL - revoked:
        return True
    return bool(patterns) and all(rights & _SHOWING for rights in patterns.values())


class Grantee(Protocol):
    """An account on a server, and how that server reads the names of schemas in its GRANTs."""

    @property
    def account(self) -> str:
        """`user@host` as CURRENT_USER() says."""

    @property
    def literal_names(self) -> bool:
        """Whether `_` and `%` stand for themselves there."""


def grant(rights: Iterable[str], schema: str, to: Grantee | str, table: str | None = None) -> str:
    """The GRANT statement to give to an administrator.

    `to` is an account, `user@host`; of a server that was not asked names of schemas are taken for patterns.
    """
    account, literal = (to, False) if isinstance(to, str) else (to.account, to.literal_names)
    if table is None:
        # in the schema's place of a GRANT, _ and % are wildcards
        pattern = schema if literal else escaped(schema)
        target = f"`{_inner(pattern)}`.*"
    else:
        target = f"`{_inner(schema)}`.`{_inner(table)}`"
    return f"GRANT {', '.join(rights)} ON {target} TO {account_name(account)};"


def revoke(rights: Iterable[str], given: Grant, holder: str) -> str:
    """The REVOKE statement that takes rights of a grant from an account, `user@host`, or from a role."""
    name = account_name(holder) if "@" in holder else quoted_text(holder)
    return f"REVOKE {', '.join(rights)} ON {given.target} FROM {name};"


def escaped(schema: str) -> str:
    """The pattern of a GRANT that means this schema alone, where names of schemas are patterns."""
    return schema.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


@dataclass(frozen=True, slots=True)
class Needed:
    """Rights that an account needs on one schema."""

    rights: tuple[str, ...]
    schema: str

    def granted_to(self, account: str) -> str:
        """The GRANT that gives them to an account (`user@host`)."""
        return grant(self.rights, self.schema, account)


def needs_of_link_user(
    sources: Iterable[str], outbound: str, owners: str | None = None, *, removing: bool = False
) -> tuple[Needed, ...]:
    """What the link user needs on a source's server: to read and hold, and to write outbound.

    `owners` is the schema of the owner's views, where there is one; `removing`: links are taken out too.
    """
    return (
        *(Needed(SOURCE_RIGHTS, schema) for schema in sources),
        Needed(OUTBOUND_RIGHTS + (REMOVAL_RIGHTS if removing else ()), outbound),
        *((Needed(OWNER_SCHEMA_RIGHTS, owners),) if owners is not None else ()),
    )


def needs_of_local_user(schemas: Iterable[str], *, removing: bool = False) -> tuple[Needed, ...]:
    """What the local user needs on the schemas that receive; `removing`: links are taken out too."""
    rights = LOCAL_RIGHTS + (REMOVAL_RIGHTS if removing else ())
    return tuple(Needed(rights, schema) for schema in schemas)


def needs_of_owner(owners: str) -> tuple[Needed, ...]:
    """What the owner of a source needs beside the rights on their own schemas; one GRANT for all links."""
    return (Needed(OWNER_RIGHTS, owners),)


def grant_for(message: str, to: Grantee | str) -> str | None:
    """The GRANT that mends an error message of a server, where the message names the right and the schema."""
    match = _DENIED.search(message)
    if match:
        name = match["table"].replace("`", "")
        schema, dot, _ = name.partition(".")
        return grant([r.strip() for r in match["rights"].split(",")], schema, to) if dot else None
    match = _NO_SCHEMA.search(message)
    if match:
        return grant(["ALL"], match["schema"], to)
    return None


def account_name(account: str) -> str:
    """An account, `user@host`, as SQL names it."""
    user, _, host = account.rpartition("@")
    return f"{quoted_text(user)}@{quoted_text(host or '%')}"


def _inner(name: str) -> str:
    return name.replace("`", "``")


def quoted_text(value: str) -> str:
    """A string in SQL, where backslashes escape."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _like(pattern: str, name: str) -> bool:
    """Whether a name is LIKE a pattern, whatever its case; in time that grows with the two lengths alone."""
    reached, chars, name = {0}, iter(pattern.lower()), name.lower()
    for char in chars:
        if char == "%":
            reached = set(range(min(reached), len(name) + 1)) if reached else reached
            continue
        literal = next(chars, "") if char == "\\" else None if char == "_" else char
        reached = {at + 1 for at in reached if at < len(name) and literal in (None, name[at])}
    return len(name) in reached
