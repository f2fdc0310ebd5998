"""What the owner's commands have in common: the server, the rows that are meant, the question."""

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

from djlink_manifest.errors import Location, SecretError, UsageError
from djlink_manifest.model.server.address import Tls

if TYPE_CHECKING:
    from djlink_manifest.owner.desk import Desk

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Server:
    """The server and account as the options say."""

    host: str
    port: str
    user: str
    password: str
    tls: bool | Tls | None
    name: str = "the source"

    def place_of(self, key: str) -> Location:
        """Where every option stands: relative files start from the folder that djlink runs in."""
        return Location(str(Path.cwd() / "command line"), 1, 1)

    def open(self) -> AbstractContextManager[Desk]:
        """A desk there."""
        from djlink_manifest.manifest.models.secrets import resolve_server
        from djlink_manifest.owner.desk import open_desk

        try:
            return open_desk(resolve_server(self, os.environ))
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
        if bool(tls_cert) != bool(tls_key):
            raise UsageError("--tls-cert and --tls-key go together")
        files = tls_ca or tls_cert
        if files and tls is False:
            raise UsageError("--no-tls and files for TLS do not go together")
        password = f"${{file:{password_file}}}" if password_file else f"${{env:{password_env}}}"
        asked = Tls(tls_ca, tls_cert, tls_key) if files else tls
        return command(server=Server(host, str(port), user, password, asked), **others)

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
            from djlink_manifest.manifest.models.restriction import restriction

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


def check_that_one_can_ask(yes: bool, as_json: bool) -> None:
    """Raise UsageError where a question is due and nobody can be asked."""
    if yes:
        return
    if as_json:
        raise UsageError("--json asks nothing", hint="say that you agree: --yes")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("there is no terminal to ask on, so nothing was done", hint="add --yes")


def agreed(question: str) -> bool:
    """Whether the person at the terminal types the word `yes`, and nothing else."""
    sys.stderr.write(f"\n{question} Only `yes` will do: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip() == "yes"
