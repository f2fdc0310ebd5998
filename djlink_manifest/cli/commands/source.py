"""The owner's commands: view, request, withdraw, delete. They need no manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options.manifest_options import json_option, output_options
from djlink_manifest.cli.options.owner_options import (
    OwnerServer,
    check_terminal,
    dependents_option,
    restriction_options,
    server_options,
    yes_option,
)
from djlink_manifest.cli.terminal.confirm import confirmed
from djlink_manifest.cli.terminal.screen import Screen, current
from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from rich.text import Text

    from djlink_manifest.owner.desk import Desk

MOST_REASON = 1000  # characters that fit in the tables of requests


@click.group(short_help="For owners of a source: view, request, withdraw, delete.")
def source() -> None:
    """For the owner of source tables: view who holds rows, request their deletion, delete them.

    These commands use the owner's account on the source's server and need no manifest. They read every schema
    `…_owner` that the account can see. A row can be deleted when no lab holds it; a lab releases a requested
    row by approving the request.

    \b
    Examples:
      djlink source held
      djlink source held ephys.Recording subject=A001
      djlink source request ephys.Recording subject=A001 --reason 'broken probe'
      djlink source delete ephys.Recording
    """


@source.command(short_help="Show which lab holds which rows, and the state of requests.")
@restriction_options(required=False)
@dependents_option
@click.option(
    "--keys", is_flag=True, help="Also list the keys of the held rows and since when they are held."
)
@server_options
@json_option("Print the result as JSON.")
@output_options
def held(
    server: OwnerServer,
    table: str | None,
    where: Condition | None,
    no_dependents: bool,
    keys: bool,
    as_json: bool,
) -> int:
    """Show which rows each lab holds, which deletions are requested, and which are approved.

    Without TABLE, every linked table is shown. With TABLE, the selected rows and all rows that depend on them
    are shown; dependent rows must be deleted first. A row that any lab holds cannot be deleted.

    \b
    Examples:
      djlink source held
      djlink source held ephys.Recording subject=A001 session=3
      djlink source held Recording --where "recorded < '2024-01-01'" --keys
      djlink source held --json
    """
    from djlink_manifest.report.commands.owner import board_json, board_lines

    screen = current()
    with server.open() as desk:
        if table is None:
            if keys:
                raise UsageError(
                    "--keys requires a table", hint="`djlink source held ephys.Recording --keys`"
                )
            board, found = desk.board(), []
        else:
            with desk.gathered(desk.table(table), where, dependents=not no_dependents) as gathered:
                board, found = gathered.holdings(), gathered.held_keys() if keys else []
        if as_json:
            screen.json({**board_json(board, desk.unreadable), **({"keys": found} if keys else {})})
        else:
            screen.show(board_lines(board))
            screen.show(
                line(f"  {each['table']} {each['key']}: {each['manifest']} since {each['since']}")
                for each in found
            )
            if not board:
                screen.note(_nothing(table))
        return _unreadable(desk, screen)


@source.command(short_help="Request the deletion of rows from the labs that hold them.")
@restriction_options(required=True)
@click.option("--reason", required=True, help="Reason for the deletion, shown to the labs.")
@click.option(
    "--relay",
    is_flag=True,
    help="Select the rows whose deletion is requested by the source of TABLE, a local table of djlink.",
)
@dependents_option
@yes_option
@server_options
@json_option("Print the result as JSON; requires --yes.")
@output_options
def request(
    server: OwnerServer,
    table: str,
    where: Condition | None,
    reason: str,
    relay: bool,
    no_dependents: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Request the deletion of these rows, and of all rows that depend on them, from every lab that holds
    them.

    The command first shows how many rows of which tables are concerned and who holds them. Requested rows are
    not pulled again. A lab approves a request by deleting its copies; `djlink source held` shows the
    progress. If TABLE is a local table of djlink itself, --relay passes on what its own source requests.

    \b
    Examples:
      djlink source request ephys.Recording subject=A001 --reason 'broken probe'
      djlink source request Session --where "session_date < '2020-01-01'" --reason 'consent withdrawn' --yes
      djlink source request ours_ephys.Recording --relay --reason 'requested by princeton'
    """
    from djlink_manifest.report.commands.owner import done_json, done_lines, touched_lines

    screen = current()
    if not 0 < len(reason.strip()) <= MOST_REASON:
        raise UsageError(f"--reason takes 1 to {MOST_REASON:,} characters")
    check_terminal(yes, as_json)
    with server.open() as desk:
        place = desk.table(table)
        with desk.gathered(place, where, dependents=not no_dependents, relay=relay) as gathered:
            touched = gathered.holdings()
            screen.note(touched_lines(touched))
            if not gathered.named:
                screen.note([line("No such rows. Nothing was requested.")])
                return 1
            if not any(each.links for each in touched):
                screen.note([line("No lab has linked these tables: delete the rows with DataJoint.")])
                return 1
            if not yes and not confirmed("Request the deletion of these rows?"):
                screen.note([line("Not requested. Nothing was changed.")])
                return 1
            done = gathered.request(reason.strip())
        if as_json:
            screen.json({"format_version": 1, "requested": done_json(done)})
        else:
            screen.show(done_lines(done, "requested"))
        new = sum(each.count for each in done)
        screen.note([line("Everything was requested earlier." if not new else "Requested.")])
        return _unreadable(desk, screen)


@source.command(short_help="Withdraw requests.")
@restriction_options(required=True)
@click.option(
    "--approved",
    is_flag=True,
    help="Also allow labs to pull again the rows whose deletion they approved; the rows stay.",
)
@dependents_option
@server_options
@json_option("Print the result as JSON.")
@output_options
def withdraw(
    server: OwnerServer,
    table: str,
    where: Condition | None,
    approved: bool,
    no_dependents: bool,
    as_json: bool,
) -> int:
    """Withdraw the requests for these rows and for the rows that depend on them.

    An approved request cannot be withdrawn, because the lab has deleted its copies; the command reports this
    and exits with 1. --approved allows the lab to pull such rows again. Each withdrawal is recorded in the
    ledger.

    \b
    Examples:
      djlink source withdraw ephys.Recording subject=A001
      djlink source withdraw ephys.Recording subject=A001 --approved
    """
    from djlink_manifest.report.commands.owner import done_json, done_lines

    screen = current()
    with server.open() as desk:
        with desk.gathered(desk.table(table), where, dependents=not no_dependents) as gathered:
            gathered.holdings()
            done = gathered.withdraw(approved=approved)
            late = () if approved else gathered.holdings()
        if as_json:
            screen.json({"format_version": 1, "withdrawn": done_json(done)})
        else:
            screen.show(done_lines(done, "withdrawn"))
        refused = [(t, s) for t in late for s in t.links if s.approved]
        for each, holding in refused:
            words = f"{counted(holding.approved, 'row')} of {each.name} cannot be withdrawn"
            screen.note(
                [
                    line(
                        (
                            f"{words}: {holding.link.lab} has already approved the deletion and deleted "
                            "its copies",
                            "yellow",
                        )
                    )
                ]
            )
        if refused:
            screen.note(
                [line(("  next: --approved allows the labs to pull them again; the rows stay", "dim"))]
            )
        if not any(each.count for each in done):
            screen.note([line("Nothing was withdrawn.")])
            return 1
        return _unreadable(desk, screen) or (1 if refused else 0)


@source.command(short_help="Delete rows that all labs have released.")
@restriction_options(required=False)
@yes_option
@server_options
@json_option("Print the result as JSON; requires --yes.")
@output_options
def delete(server: OwnerServer, table: str | None, where: Condition | None, yes: bool, as_json: bool) -> int:
    """Delete the requested rows of TABLE that no lab holds, and first the rows that depend on them.

    The command first shows how many rows of which tables it would delete. Rows that are still held, or that
    have held rows depending on them, stay; the command shows who holds them. All rows are deleted in one
    transaction. Files in external stores are not touched; DataJoint's garbage collection removes them.

    \b
    Examples:
      djlink source delete ephys.Recording
      djlink source delete ephys.Recording subject=A001 --yes
    """
    from djlink_manifest.report.commands.owner import board_lines, done_json, done_lines, touched_lines

    screen = current()
    if table is None:
        raise UsageError("no table given", hint="`djlink source held` shows the tables with approved rows")
    check_terminal(yes, as_json)
    with server.open() as desk:
        with desk.gathered(desk.table(table), where, requested=True) as gathered:
            before = gathered.holdings()
            gathered.free()
            if gathered.freed < gathered.named:
                stay = gathered.named - gathered.freed
                screen.note([line((f"{counted(stay, 'row')} of {table} cannot be deleted yet:", "yellow"))])
                screen.note(board_lines([each for each in before if each.held]))
            if not gathered.freed:
                screen.note([line("No requested row is free of holders. Nothing was deleted.")])
                return 1
            screen.note(touched_lines(gathered.holdings("free")))
            if not yes and not confirmed("Delete these rows from the source?"):
                screen.note([line("Not deleted. Nothing was changed.")])
                return 1
            done = gathered.delete()
        if as_json:
            screen.json({"format_version": 1, "deleted": done_json(done)})
        else:
            screen.show(done_lines(done, "deleted"))
        return _unreadable(desk, screen)


@source.command(short_help="Print the SQL that removes the links of a lab that has vanished.")
@click.argument("manifest")
@click.option("--table", "tables", multiple=True, metavar="TABLE", help="Print only this table. Repeatable.")
@server_options
@output_options
def detach(server: OwnerServer, manifest: str, tables: tuple[str, ...]) -> int:
    """Print the SQL with which the server's administrator removes the links of the lab MANIFEST.

    Use this for a lab that no longer answers requests. The command runs nothing, because the owner's account
    lacks the privileges. After the SQL has run, the rows are no longer held; the ledgers stay. The lab keeps
    its copies, and its next plan reports that the links are gone.

    \b
    Examples:
      djlink source detach hippocampus-atlas
      djlink source detach hippocampus-atlas --table ephys.Recording > for_the_administrator.sql
    """
    screen = current()
    with server.open() as desk:
        places = {desk.table(each) for each in tables}
        text = desk.way_out(manifest, places)
        screen.data(text)
        return _unreadable(desk, screen)


def _nothing(table: str | None) -> list[Text]:
    if table:
        return [line("No rows.")]
    return [
        line("No links: no schema with owner views is visible to this account."),
        line(
            (
                "  next: ask the lab for the output of `djlink grants --owner USER`, which grants the "
                "missing privilege",
                "dim",
            )
        ),
    ]


def _unreadable(desk: Desk, screen: Screen) -> int:
    """Report the schemas that cannot be read, and return the exit code."""
    from djlink_manifest.report.commands.owner import unreadable_lines

    screen.note(unreadable_lines(desk.unreadable))
    return 1 if desk.unreadable else 0
