"""The command that prints the SQL with the privileges that each account needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options import completing
from djlink_manifest.cli.options.jobs import loaded
from djlink_manifest.cli.options.manifest_options import Scope, file_option, json_option, output_options
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.report.screen.terminal import plain

if TYPE_CHECKING:
    from djlink_manifest.reconcile.bootstrap.grants import AccountGrants


@click.command(short_help="Print the SQL that grants each account its privileges.")
@file_option
@click.option(
    "--owner", metavar="USER", help="Also print the privileges for this account of a source's owner."
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.servers,
    help="Print only this server: a source's name, or `local`. Repeatable.",
)
@json_option("Print the statements as JSON.")
@output_options
def grants(files: tuple[str, ...], owner: str | None, servers: tuple[str, ...], as_json: bool) -> None:
    """Print the SQL that an administrator must run on each server before djlink can work there.

    It grants the link users, the local user and, with --owner, the owners of the sources exactly the
    privileges they need. No server is contacted, and no password is read. The statements work on MySQL and
    MariaDB.

    Where the manifest names the tables of a schema, the link user gets privileges on these alone. Their names
    on the server and those of their parts are not in the manifest: a SELECT prints the GRANTs there. Where a
    glob chooses the tables, the privileges are on the schema.

    \b
    Examples:
      djlink grants
      djlink grants --owner princeton_lab
      djlink grants --server princeton --owner 'rig@10.0.0.%' > for_their_administrator.sql
    """
    from djlink_manifest.reconcile.bootstrap.grants import account_grants

    screen = current()
    manifest = loaded(Scope(files, (), (), None), screen, tell_files=not as_json)
    found = account_grants(manifest, os.environ, owner=owner, servers=servers)
    if as_json:
        screen.json({"format_version": 1, "accounts": [asdict(each) for each in found]})
    else:
        screen.data("".join(f"{each}\n" for each in script(found)))


def script(found: tuple[AccountGrants, ...]) -> Iterator[str]:
    """Yield the statements for each account as lines of SQL."""
    for number, each in enumerate(found):
        if number:
            yield ""
        yield f"-- {plain(each.server)} ({plain(each.host)}): the {each.role} {plain(each.account)}"
        if each.role == "owner":
            yield "-- in addition to the rights on their own schemas; grant no rights on the outbound schema"
        yield f"-- if it does not exist yet: {plain(each.create_user)}"
        yield from each.schemas
        if any("\\" in statement for statement in each.grants):
            yield "-- where SELECT @@partial_revokes says 1 (MySQL), write schema names without backslashes"
        yield from each.grants
        for one in each.by_table:
            tables = plain(", ".join(one.tables))
            yield f"-- {plain(one.schema)}: {tables}, and their parts; run this, and then what it prints"
            yield one.query
            yield "-- or, with all other tables that are there and will be:"
            yield f"-- {one.whole}"
