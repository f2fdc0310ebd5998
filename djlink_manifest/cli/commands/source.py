"""The owner's commands: who holds what, asking, withdrawing, deleting. They need no manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options.manifest_options import json_option, output_options
from djlink_manifest.cli.options.owner_options import (
    Server,
    agreed,
    check_that_one_can_ask,
    dependents_option,
    restriction_options,
    server_options,
    yes_option,
)
from djlink_manifest.cli.terminal.screen import Screen, current
from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.report.screen.figures import counted
from djlink_manifest.report.screen.terminal import line

if TYPE_CHECKING:
    from rich.text import Text

    from djlink_manifest.owner.desk import Desk

MOST_REASON = 1000  # characters that the tables of requests take


@click.group(short_help="For owners of a source: see, ask, withdraw, delete.")
def source() -> None:
    """For the owner of source tables: see who holds rows, ask labs to let go of them, delete.

    These commands use the owner's own account on the source's server, and no manifest. They look through
    every schema `…_owner` that the account sees. A row can be deleted when no lab holds it; a lab that lets
    go of it says so by an approval.

    \b
    Examples:
      djlink source held
      djlink source held ephys.Recording subject=A001
      djlink source request ephys.Recording subject=A001 --reason 'broken probe'
      djlink source delete ephys.Recording
    """


@source.command(short_help="Who holds what, and how far requests are.")
@restriction_options(required=False)
@dependents_option
@click.option("--keys", is_flag=True, help="Also list the rows held: their keys, and since when.")
@server_options
@json_option("Print it as JSON.")
@output_options
def held(
    server: Server,
    table: str | None,
    where: Condition | None,
    no_dependents: bool,
    keys: bool,
    as_json: bool,
) -> int:
    """Show what each lab holds, what it was asked for and what it has approved.

    Without TABLE: of every linked table. With it: of these rows and all that hang on them, which have to go
    first; a row that any lab holds cannot be deleted.

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
                raise UsageError("--keys wants a table", hint="djlink source held ephys.Recording --keys")
            board, found = desk.board(), []
        else:
            with desk.gathered(desk.table(table), where, dependents=not no_dependents) as gathered:
                board, found = gathered.standings(), gathered.held_keys() if keys else []
        if as_json:
            screen.json({**board_json(board, desk.unreadable), **({"keys": found} if keys else {})})
        else:
            screen.show(board_lines(board))
            screen.show(
                line(f"  {each['table']} {each['key']}: {each['manifest']} since {each['since']}")
                for each in found
            )
            if not board:
                screen.tell(_nothing(table))
        return _unreadable(desk, screen)


@source.command(short_help="Ask labs to let go of rows.")
@restriction_options(required=True)
@click.option("--reason", required=True, help="Why; the labs read it.")
@dependents_option
@yes_option
@server_options
@json_option("Print what was done as JSON; needs --yes.")
@output_options
def request(
    server: Server,
    table: str,
    where: Condition | None,
    reason: str,
    no_dependents: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Ask every lab to let go of these rows and of all that hang on them, so that they can be deleted.

    Shown first: how many rows, of which tables, and who holds them. From then on no lab pulls them anew. A
    lab that has deleted its copies approves; `djlink source held` shows how far that is.

    \b
    Examples:
      djlink source request ephys.Recording subject=A001 --reason 'broken probe'
      djlink source request Session --where "session_date < '2020-01-01'" --reason 'consent withdrawn' --yes
    """
    from djlink_manifest.report.commands.owner import done_json, done_lines, touched_lines

    screen = current()
    if not 0 < len(reason.strip()) <= MOST_REASON:
        raise UsageError(f"--reason takes 1 to {MOST_REASON:,} characters")
    check_that_one_can_ask(yes, as_json)
    with server.open() as desk:
        place = desk.table(table)
        with desk.gathered(place, where, dependents=not no_dependents) as gathered:
            touched = gathered.standings()
            screen.tell(touched_lines(touched))
            if not gathered.named:
                screen.tell([line("No such rows. Nothing was asked for.")])
                return 1
            if not any(each.links for each in touched):
                screen.tell([line("No lab has linked these tables: delete the rows with DataJoint.")])
                return 1
            if not yes and not agreed("Ask for the deletion of these rows?"):
                screen.tell([line("Not asked for. Nothing was changed.")])
                return 1
            done = gathered.request(reason.strip())
        if as_json:
            screen.json({"format_version": 1, "requested": done_json(done)})
        else:
            screen.show(done_lines(done, "asked for"))
        new = sum(each.count for each in done)
        screen.tell([line("All of it had been asked for before." if not new else "Asked for.")])
        return _unreadable(desk, screen)


@source.command(short_help="Take requests back.")
@restriction_options(required=True)
@click.option(
    "--approved",
    is_flag=True,
    help="Also let labs pull again what they have approved and deleted; the rows stay.",
)
@dependents_option
@server_options
@json_option("Print what was done as JSON.")
@output_options
def withdraw(
    server: Server,
    table: str,
    where: Condition | None,
    approved: bool,
    no_dependents: bool,
    as_json: bool,
) -> int:
    """Take back the requests for these rows and for what hangs on them.

    What a lab has approved it has deleted: there is nothing left to withdraw, which is told and ends with an
    error. --approved lets the lab pull such rows again. Each withdrawal leaves an entry in the ledger.

    \b
    Examples:
      djlink source withdraw ephys.Recording subject=A001
      djlink source withdraw ephys.Recording subject=A001 --approved
    """
    from djlink_manifest.report.commands.owner import done_json, done_lines

    screen = current()
    with server.open() as desk:
        with desk.gathered(desk.table(table), where, dependents=not no_dependents) as gathered:
            gathered.standings()
            done = gathered.withdraw(approved=approved)
            late = () if approved else gathered.standings()
        if as_json:
            screen.json({"format_version": 1, "withdrawn": done_json(done)})
        else:
            screen.show(done_lines(done, "withdrawn"))
        refused = [(t, s) for t in late for s in t.links if s.approved]
        for each, standing in refused:
            words = f"{counted(standing.approved, 'row')} of {each.name} cannot be withdrawn"
            screen.tell(
                [line((f"{words}: {standing.link.lab} has approved and deleted its copies", "yellow"))]
            )
        if refused:
            screen.tell([line(("  next: --approved lets them be pulled again; the rows stay", "dim"))])
        if not any(each.count for each in done):
            screen.tell([line("Nothing was withdrawn.")])
            return 1
        return _unreadable(desk, screen) or (1 if refused else 0)


@source.command(short_help="Delete rows that all labs have let go of.")
@restriction_options(required=False)
@yes_option
@server_options
@json_option("Print what was done as JSON; needs --yes.")
@output_options
def delete(server: Server, table: str | None, where: Condition | None, yes: bool, as_json: bool) -> int:
    """Delete the rows of TABLE that were asked for and that no lab holds, what hangs on them first.

    Shown first: how many rows, of which tables. What is still held, or has something held hanging on it,
    stays, and is told with who holds it. All is done in one transaction. Files in external stores are not
    touched; DataJoint's garbage collection removes them.

    \b
    Examples:
      djlink source delete ephys.Recording
      djlink source delete ephys.Recording subject=A001 --yes
    """
    from djlink_manifest.report.commands.owner import board_lines, done_json, done_lines, touched_lines

    screen = current()
    if table is None:
        raise UsageError("which table?", hint="`djlink source held` shows the tables with approved rows")
    check_that_one_can_ask(yes, as_json)
    with server.open() as desk:
        with desk.gathered(desk.table(table), where, asked=True) as gathered:
            before = gathered.standings()
            gathered.free()
            if gathered.freed < gathered.named:
                stay = gathered.named - gathered.freed
                screen.tell([line((f"{counted(stay, 'row')} of {table} cannot be deleted yet:", "yellow"))])
                screen.tell(board_lines([each for each in before if each.held]))
            if not gathered.freed:
                screen.tell([line("No rows that were asked for and that nobody holds. Nothing was deleted.")])
                return 1
            screen.tell(touched_lines(gathered.standings("free")))
            if not yes and not agreed("Delete these rows from the source?"):
                screen.tell([line("Not deleted. Nothing was changed.")])
                return 1
            done = gathered.delete()
        if as_json:
            screen.json({"format_version": 1, "deleted": done_json(done)})
        else:
            screen.show(done_lines(done, "deleted"))
        return _unreadable(desk, screen)


@source.command(short_help="Print the way out of a lab that has vanished.")
@click.argument("manifest")
@click.option("--table", "tables", multiple=True, metavar="TABLE", help="Only this table. Repeatable.")
@server_options
@output_options
def detach(server: Server, manifest: str, tables: tuple[str, ...]) -> int:
    """Print the SQL by which the server's administrator takes the links of the lab MANIFEST apart.

    For a lab that is gone and answers no request. Nothing is run: the owner's account may not. Afterwards the
    rows are no longer held; the ledgers stay. The lab's copies stay with the lab, and it is told at its next
    plan that its links are gone.

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
        line("No links: no schema of owner's views is seen."),
        line(("  next: `djlink grants --owner USER` of the lab prints the right that is missing", "dim")),
    ]


def _unreadable(desk: Desk, screen: Screen) -> int:
    """Tell what cannot be read; the exit code."""
    from djlink_manifest.report.commands.owner import unreadable_lines

    screen.tell(unreadable_lines(desk.unreadable))
    return 1 if desk.unreadable else 0
