"""Accounts on a throwaway server, with the rights that people have on real ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from djlink_manifest.sandbox.server import SandboxServer


def grant_pattern(schema: str) -> str:
    """One schema's name as GRANT takes it: quoted, and with the wildcards `_` and `%` taken literally."""
    return quoted(re.sub(r"([\\_%])", r"\\\1", schema))


def quoted(name: str) -> str:
    """An identifier in backquotes."""
    return "`" + name.replace("`", "``") + "`"


def create_link_user(
    server: SandboxServer,
    user: str,
    password: str,
    source_schemas: Iterable[str],
    outbound: str,
    *,
    owner_schema: str | None = None,
) -> None:
    """The account that djlink uses on a source server: it can read and reference, and write outbound alone.

    It has SELECT, REFERENCES on each source schema and ALL on the schema `outbound`, which is made where it
    is missing; likewise on `owner_schema`, the one that holds the owner's views, where it is named.
    """
    _create_user(server, user, password)
    for schema in source_schemas:
        _grant(server, "SELECT, REFERENCES", grant_pattern(schema), user)
    for schema in filter(None, (outbound, owner_schema)):
        server.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(schema)}")
        _grant(server, "ALL", grant_pattern(schema), user)


def create_local_user(
    server: SandboxServer, user: str, password: str, schema_patterns: Iterable[str]
) -> None:
    """The account of the lab that pulls: all rights on schemas that meet a pattern, such as `ours\\_%`."""
    _create_user(server, user, password)
    for pattern in schema_patterns:
        _grant(server, "ALL", quoted(pattern), user)


def create_owner(
    server: SandboxServer,
    user: str,
    password: str,
    source_schemas: Iterable[str],
    *,
    owner_schema: str | None = None,
) -> None:
    """The account of those who own the source tables: all rights on their schemas.

    On `owner_schema`, where it is named, they see what is held, ask for deletions and withdraw (SELECT,
    INSERT, DELETE); the schema is made where it is missing.
    """
    _create_user(server, user, password)
    for schema in source_schemas:
        _grant(server, "ALL", grant_pattern(schema), user)
    if owner_schema is not None:
        server.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(owner_schema)}")
        _grant(server, "SELECT, INSERT, DELETE", grant_pattern(owner_schema), user)


def _create_user(server: SandboxServer, user: str, password: str) -> None:
    server.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, password))


def _grant(server: SandboxServer, rights: str, schema: str, user: str) -> None:
    # The driver formats the statement: a literal % is written twice.
    server.execute(f"GRANT {rights} ON {schema.replace('%', '%%')}.* TO %s@'%%'", (user,))
