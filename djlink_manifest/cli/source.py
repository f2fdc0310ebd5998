"""The owner's commands: who holds what, asking, withdrawing, deleting. They need no manifest."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from djlink_manifest.cli.options import json_option, output_options
from djlink_manifest.cli.screen import Screen, current
from djlink_manifest.errors import SecretError, UsageError
from djlink_manifest.model.selection import Condition
from djlink_manifest.report.figures import counted
from djlink_manifest.report.terminal import line

if TYPE_CHECKING:
    from rich.text import Text

    from djlink_manifest.manifest.values import TlsSpec
    from djlink_manifest.owner.desk import Desk

_F = TypeVar("_F", bound=Callable[..., Any])
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


@dataclass(frozen=True, slots=True)
class _Server:
    """The server and account as the options say."""

    host: str
    port: str
    user: str
    password: str
    tls: bool | TlsSpec | None

    def open(self) -> AbstractContextManager[Desk]:
        """A desk there."""
        from djlink_manifest.manifest.restriction import server_spec
        from djlink_manifest.manifest.secrets import resolve_server
        from djlink_manifest.owner.desk import open_desk

        spec = server_spec(self.host, self.port, self.user, self.password, self.tls, Path.cwd())
        try:
            return open_desk(resolve_server(spec, os.environ))
        except SecretError as error:
            raise SecretError(error.message, hint=error.hint) from None


def server_options(command: _F) -> _F:
    """Give a command the options that name a server, as one argument `server`."""

    @wraps(command)
    def with_server(
        host: str,
        port: int,
        user: str,
        password_file: str | None,
        password_env: str,
        tls: bool | None,
        tls_ca: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        **others: Any,
    ) -> Any:
        from djlink_manifest.manifest.values import TlsSpec

        if bool(tls_cert) != bool(tls_key):
            raise UsageError("--tls-cert and --tls-key go together")
        files = tls_ca or tls_cert
        if files and tls is False:
            raise UsageError("--no-tls and files for TLS do not go together")
        password = f"${{file:{password_file}}}" if password_file else f"${{env:{password_env}}}"
        asked = TlsSpec(tls_ca, tls_cert, tls_key) if files else tls
        return command(server=_Server(host, str(port), user, password, asked), **others)

    options = (
        click.option("--host", default="${env:DJ_HOST}", help="The source's server.  [default: DJ_HOST]"),
        click.option("--port", type=click.IntRange(1, 65535), default=3306, show_default=True),
        click.option("--user", default="${env:DJ_USER}", help="The owner's account.  [default: DJ_USER]"),
        click.option("--password-file", metavar="FILE", help="A file that holds the password."),
        click.option(
            "--password-env",
            metavar="NAME",
            default="DJ_PASS",
            show_default=True,
            help="The environment variable that holds it.",
        ),
        click.option(
            "--tls/--no-tls",
            default=None,
            help="Encrypted and verified, or plain.  [default: plain on this machine only]",
        ),
        click.option("--tls-ca", metavar="FILE", help="The authority to verify the server by (PEM)."),
        click.option("--tls-cert", metavar="FILE", help="A certificate of one's own, with --tls-key."),
        click.option("--tls-key", metavar="FILE", help="The key of --tls-cert."),
    )
    made: Any = with_server
    for option in reversed(options):
        made = option(made)
    return made  # type: ignore[no-any-return]  # the decorators of click keep the command


def restriction_options(required: bool) -> Callable[[_F], _F]:
    """Give a command the table and the rows that it is about, as `table` and `where`."""

    def give(command: _F) -> _F:
        @wraps(command)
        def with_restriction(
            table: str | None, pairs: tuple[str, ...], texts: tuple[str, ...], every: bool, **others: Any
        ) -> Any:
            from djlink_manifest.manifest.restriction import restriction

            where = restriction(pairs, texts)
            if every and where is not None:
                raise UsageError("--all and a restriction do not go together")
            if required and where is None and not every:
                raise UsageError(
                    "which rows?", hint="name them: subject=A001, or --where 'SQL'; --all means every row"
                )
            return command(table=table, where=where, **others)

        made: Any = click.option(
            "--all",
            "every",
            is_flag=True,
            help="Every row of the table." if required else "Every row of the table, as without it.",
        )(with_restriction)
        made = click.option(
            "--where",
            "texts",
            multiple=True,
            metavar="SQL",
            help="A condition over the table's own columns. Repeatable: all must hold.",
        )(made)
        made = click.argument("pairs", nargs=-1, metavar="[COLUMN=VALUE]...")(made)
        return click.argument("table", required=required)(made)  # type: ignore[no-any-return]  # likewise

    return give


dependents_option = click.option(
    "--no-dependents", is_flag=True, help="Leave out the rows of other tables that hang on these."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@source.command(short_help="Who holds what, and how far requests are.")
@restriction_options(required=False)
@dependents_option
@click.option("--keys", is_flag=True, help="Also list the rows held: their keys, and since when.")
@server_options
@json_option("Print it as JSON.")
@output_options
def held(
    server: _Server,
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
    from djlink_manifest.report.owning import board_json, board_lines

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
            screen.show(line(f"  {each['table']} {each['key']} {each['manifest']}") for each in found)
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
    server: _Server,
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
    from djlink_manifest.report.owning import done_json, done_lines, touched_lines

    screen = current()
    if not 0 < len(reason.strip()) <= MOST_REASON:
        raise UsageError(f"--reason takes 1 to {MOST_REASON:,} characters")
    _check_that_one_can_ask(yes, as_json)
    with server.open() as desk:
        _no_unreadable(desk)
        place = desk.table(table)
        with desk.gathered(place, where, dependents=not no_dependents) as gathered:
            touched = gathered.standings()
            _no_unreadable(desk)
            screen.tell(touched_lines(touched))
            if not gathered.named:
                screen.tell([line("No such rows. Nothing was asked for.")])
                return 1
            if not any(each.links for each in touched):
                screen.tell([line("No lab has linked these tables: delete the rows with DataJoint.")])
                return 1
            if not yes and not _agreed("Ask for the deletion of these rows?"):
                screen.tell([line("Not asked for. Nothing was changed.")])
                return 1
            done = gathered.request(reason.strip())
        if as_json:
            screen.json({"format_version": 1, "requested": done_json(done)})
        else:
            screen.show(done_lines(done, "asked for"))
        new = sum(each.count for each in done)
        screen.tell([line("All of it had been asked for before." if not new else "Asked for.")])
    return 0


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
    server: _Server,
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
    from djlink_manifest.report.owning import done_json, done_lines

    screen = current()
    with server.open() as desk:
        _no_unreadable(desk)
        with desk.gathered(desk.table(table), where, dependents=not no_dependents) as gathered:
            done = gathered.withdraw(approved=approved)
            late = () if approved else gathered.standings()
            _no_unreadable(desk)
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
    return 1 if refused else 0


@source.command(short_help="Delete rows that all labs have let go of.")
@restriction_options(required=False)
@yes_option
@server_options
@json_option("Print what was done as JSON; needs --yes.")
@output_options
def delete(server: _Server, table: str | None, where: Condition | None, yes: bool, as_json: bool) -> int:
    """Delete the rows of TABLE that were asked for and that no lab holds, what hangs on them first.

    Shown first: how many rows, of which tables. What is still held, or has something held hanging on it,
    stays, and is told with who holds it. All is done in one transaction. Files in external stores are not
    touched; DataJoint's garbage collection removes them.

    \b
    Examples:
      djlink source delete ephys.Recording
      djlink source delete ephys.Recording subject=A001 --yes
    """
    from djlink_manifest.report.owning import board_lines, done_json, done_lines, touched_lines

    screen = current()
    if table is None:
        raise UsageError("which table?", hint="`djlink source held` shows the tables with approved rows")
    _check_that_one_can_ask(yes, as_json)
    with server.open() as desk:
        _no_unreadable(desk)
        with desk.gathered(desk.table(table), where, asked=True) as gathered:
            before = gathered.standings()
            gathered.free()
            _no_unreadable(desk)
            if gathered.freed < gathered.named:
                stay = gathered.named - gathered.freed
                screen.tell([line((f"{counted(stay, 'row')} of {table} cannot be deleted yet:", "yellow"))])
                screen.tell(board_lines([each for each in before if each.held]))
            if not gathered.freed:
                screen.tell([line("No rows that were asked for and that nobody holds. Nothing was deleted.")])
                return 1
            screen.tell(touched_lines(gathered.standings("free")))
            if not yes and not _agreed("Delete these rows from the source?"):
                screen.tell([line("Not deleted. Nothing was changed.")])
                return 1
            done = gathered.delete()
        if as_json:
            screen.json({"format_version": 1, "deleted": done_json(done)})
        else:
            screen.show(done_lines(done, "deleted"))
    return 0


@source.command(short_help="Print the way out of a lab that has vanished.")
@click.argument("manifest")
@click.option("--table", "tables", multiple=True, metavar="TABLE", help="Only this table. Repeatable.")
@server_options
@output_options
def detach(server: _Server, manifest: str, tables: tuple[str, ...]) -> int:
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
    from djlink_manifest.report.owning import unreadable_lines

    screen.tell(unreadable_lines(desk.unreadable))
    return 1 if desk.unreadable else 0


def _no_unreadable(desk: Desk) -> None:
    """Raise where a schema or a link tells nothing: who changes rows must know who holds them."""
    for each in desk.unreadable:
        raise UsageError(f"{each.schema} cannot be read: {each.reason}", hint=each.hint)


def _check_that_one_can_ask(yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json:
        raise UsageError("--json asks nothing", hint="say that you agree: --yes")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("there is no terminal to ask on, so nothing was done", hint="add --yes")


def _agreed(question: str) -> bool:
    """Whether the person at the terminal types the word `yes`, and nothing else."""
    sys.stderr.write(f"\n{question} Only `yes` will do: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip() == "yes"
