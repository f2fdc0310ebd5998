"""The SQL that gives each account of a manifest what it needs, and no more. No server is asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.models.secrets import (
    from_datajoint,
    resolve_outbound,
    resolve_text,
)
from djlink_manifest.manifest.models.servers import ServerSpec
from djlink_manifest.manifest.models.values import Manifest, SourceSpec
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.server.address import is_loopback
from djlink_manifest.model.server.rights import (
    Needed,
    account_name,
    needs_of_link_user,
    needs_of_local_user,
    needs_of_owner,
)
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.bootstrap.table_grants import TableGrants, named_tables, table_grants
from djlink_manifest.reconcile.resolve.local_schemas import local_schemas, removed_schemas


@dataclass(frozen=True, slots=True)
class AccountGrants:
    """What an administrator of one server runs for one account.

    `role` is `link user`, `local user` or `owner`; `account` is `user@host`; `schemas` are to exist before,
    `create_user` is how the account is made where it is missing, `grants` the GRANT statements; `by_table`
    are the rights on tables that the manifest names, whose GRANTs the server prints.
    """

    server: str
    host: str
    role: str
    account: str
    create_user: str
    schemas: tuple[str, ...]
    grants: tuple[str, ...]
    by_table: tuple[TableGrants, ...] = ()


def account_grants(
    manifest: Manifest, environ: Mapping[str, str], *, owner: str | None = None, servers: tuple[str, ...] = ()
) -> tuple[AccountGrants, ...]:
    """What every account of the manifest needs: each source's link user, and the owner's, then the local one.

    `owner` is the account of the source's owner, `user` or `user@host`; `servers` restricts what is printed
    to these. The statements are the same on MySQL and MariaDB. Raises SecretError for a user that cannot be
    resolved (passwords are not), UsageError for a server that the manifest does not have.
    """
    known = (*(source.name for source in manifest.sources), "local")
    for name in servers:
        if name not in known:
            close = nearest(name, known)
            raise UsageError(
                f"--server {name}: this manifest has no such server",
                hint=f"did you mean `{close}`?" if close else f"the servers are {', '.join(known)}",
            )
    found = list[AccountGrants]()
    for source in manifest.sources:
        found += _of_source(source, environ, owner, manifest)
    found.append(_of_local(manifest, environ))
    return tuple(each for each in found if not servers or each.server in servers)


def _of_source(
    source: SourceSpec, environ: Mapping[str, str], owner: str | None, manifest: Manifest
) -> list[AccountGrants]:
    outbound = resolve_outbound(source, environ)
    owners = owner_schema(outbound)
    # a link that is taken out is looked at too: which local parts are the source's
    schemas = {*(schema.name for schema in source.schemas), *removed_schemas(manifest, source)}
    named = named_tables(manifest, source)
    needs = needs_of_link_user(
        sorted(schemas - named.keys()), outbound, owners, removing=bool(manifest.taken_out)
    )
    user = _account(_text(source, "user", environ))
    by_table = tuple(table_grants(schema, tables, user) for schema, tables in named.items())
    made = _made(source, environ, "link user", user, schemas=(outbound, owners), needs=needs)
    found = [replace(made, by_table=by_table)]
    if owner is not None:
        found.append(
            _made(source, environ, "owner", _account(owner), schemas=(owners,), needs=needs_of_owner(owners))
        )
    return found


def _of_local(manifest: Manifest, environ: Mapping[str, str]) -> AccountGrants:
    # a table that gets another name is dropped under the former one
    drops = bool(manifest.taken_out or manifest.moved)
    needs = needs_of_local_user(sorted(local_schemas(manifest)), removing=drops)
    local, _ = from_datajoint(manifest.local, environ, with_password=False)
    user = _account(_text(local, "user", environ))
    return _made(local, environ, "local user", user, schemas=(), needs=needs)


def _made(
    server: ServerSpec,
    environ: Mapping[str, str],
    role: str,
    account: str,
    schemas: tuple[str, ...],
    needs: tuple[Needed, ...],
) -> AccountGrants:
    host = _text(server, "host", environ)
    plain = is_loopback(host) if server.tls is None else server.tls is False
    made = f"CREATE USER {account_name(account)} IDENTIFIED BY '…'"
    return AccountGrants(
        server=server.name,
        host=host,
        role=role,
        account=account,
        create_user=f"{made};" if plain else f"{made} REQUIRE SSL;",
        schemas=tuple(f"CREATE SCHEMA IF NOT EXISTS `{s.replace('`', '``')}`;" for s in schemas),
        grants=tuple(need.granted_to(account) for need in needs),
    )


def _account(user: str) -> str:
    """The account of a user: from any host, unless the name says which."""
    return user if "@" in user else f"{user}@%"


def _text(server: ServerSpec, key: str, environ: Mapping[str, str]) -> str:
    place = server.place_of(key)
    written: str = getattr(server, key)
    return resolve_text(written, environ, place, f"`{key}` of server `{server.name}`", server.name).strip()
