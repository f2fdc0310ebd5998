"""Accounts on a throwaway server, with the rights that people have on real ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from djlink_manifest.model.server.rights import Needed, needs_of_link_user, needs_of_owner
from djlink_manifest.sandbox.servers.server import SandboxServer


def grant_pattern(schema: str) -> str:
    """One schema's name as GRANT takes it: quoted, and with the wildcards `_` and `%` taken literally."""
    return quoted_name(re.sub(r"([\\_%])", r"\\\1", schema))


def quoted_name(name: str) -> str:
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
    removing: bool = True,
) -> None:
    """The account that djlink uses on a source server: it can read and reference, and write outbound alone.

    It has what `djlink grants` prints, and no more; with `removing` what it prints for a manifest that has
    `removed`. The schema `outbound` is made where it is missing; likewise `owner_schema`, the one that holds
    the owner's views, where it is named.
    """
    _create_user(server, user, password)
    for schema in filter(None, (outbound, owner_schema)):
        server.execute(f"CREATE DATABASE IF NOT EXISTS {quoted_name(schema)}")
    _give(server, needs_of_link_user(source_schemas, outbound, owner_schema, removing=removing), user)


def create_local_user(
    server: SandboxServer,
    user: str,
    password: str,
    schema_patterns: Iterable[str],
    rights: Iterable[str] = ("ALL",),
) -> None:
    """The account of the lab that pulls: rights on the schemas that meet a pattern, such as `ours\\_%`.

    All rights, as a lab has on its own server, unless `rights` names them.
    """
    _create_user(server, user, password)
    for pattern in schema_patterns:
        _grant(server, ", ".join(rights), quoted_name(pattern), user)


def create_owner(
    server: SandboxServer,
    user: str,
    password: str,
    source_schemas: Iterable[str],
    *,
    owner_schema: str | None = None,
) -> None:
    """The account of those who own the source tables: all rights on their schemas.

    On `owner_schema`, where it is named, they have what `djlink grants --owner` prints: they see what is
    held, ask for deletions and withdraw. The schema is made where it is missing.
    """
    _create_user(server, user, password)
    for schema in source_schemas:
        _grant(server, "ALL", grant_pattern(schema), user)
    if owner_schema is not None:
        server.execute(f"CREATE DATABASE IF NOT EXISTS {quoted_name(owner_schema)}")
        _give(server, needs_of_owner(owner_schema), user)


def _give(server: SandboxServer, needs: Iterable[Needed], user: str) -> None:
    for need in needs:
        server.execute(need.granted_to(f"{user}@%").replace("%", "%%"), ())


def _create_user(server: SandboxServer, user: str, password: str) -> None:
    server.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, password))


def _grant(server: SandboxServer, rights: str, schema: str, user: str) -> None:
    # The driver formats the statement: a literal % is written twice.
    server.execute(f"GRANT {rights} ON {schema.replace('%', '%%')}.* TO %s@'%%'", (user,))
