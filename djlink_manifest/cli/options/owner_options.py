"""Options that the owner's commands share: the server, the rows, the confirmation."""

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
class OwnerServer:
    """The server and account given by the options."""

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
        """Open a desk on the server."""
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
            raise UsageError("--tls-cert and --tls-key must be given together")
        files = tls_ca or tls_cert
        if files and tls is False:
            raise UsageError("--no-tls cannot be combined with TLS files")
        password = f"${{file:{password_file}}}" if password_file else f"${{env:{password_env}}}"
        requested = Tls(tls_ca, tls_cert, tls_key) if files else tls
        return command(server=OwnerServer(host, str(port), user, password, requested), **others)

    options = (
        click.option(
            "--host", default="${env:DJ_HOST}", help="The host of the source's server.  [default: DJ_HOST]"
        ),
        click.option(
            "--port",
            type=click.IntRange(1, 65535),
            default=lambda: os.environ.get("DJ_PORT") or 3306,
            show_default="DJ_PORT, else 3306",
            help="The port of the source's server.",
        ),
        click.option("--user", default="${env:DJ_USER}", help="The owner's account.  [default: DJ_USER]"),
        click.option("--password-file", metavar="FILE", help="A file that contains the password."),
        click.option(
            "--password-env",
            metavar="NAME",
            default="DJ_PASS",
            show_default=True,
            help="The environment variable that contains the password.",
        ),
        click.option(
            "--tls/--no-tls",
            default=None,
            help="Whether to encrypt the connection and verify the server.  [default: yes, except on this "
            "machine]",
        ),
        click.option(
            "--tls-ca", metavar="FILE", help="The certificate authority (PEM) to verify the server with."
        ),
        click.option("--tls-cert", metavar="FILE", help="The client certificate; requires --tls-key."),
        click.option("--tls-key", metavar="FILE", help="The private key of --tls-cert."),
    )
    made: Any = with_server
    for option in reversed(options):
        made = option(made)
    return made  # type: ignore[no-any-return]  # the decorators of click keep the command


def restriction_options(required: bool) -> Callable[[_F], _F]:
    """Give a command the table and the selected rows, as `table` and `where`."""

    def give(command: _F) -> _F:
        @wraps(command)
        def with_restriction(
            table: str | None, pairs: tuple[str, ...], texts: tuple[str, ...], every: bool, **others: Any
        ) -> Any:
            from djlink_manifest.manifest.models.restriction import restriction

            where = restriction(pairs, texts)
            if every and where is not None:
                raise UsageError("--all cannot be combined with a restriction")
            if required and where is None and not every and not others.get("relay"):
                raise UsageError(
                    "no rows selected",
                    hint="restrict the rows with subject=A001 or --where 'SQL', or select every row with "
                    "--all",
                )
            return command(table=table, where=where, **others)

        made: Any = click.option(
            "--all",
            "every",
            is_flag=True,
            help="Select every row of the table."
            if required
            else "Select every row of the table, which is the default.",
        )(with_restriction)
        made = click.option(
            "--where",
            "texts",
            multiple=True,
            metavar="SQL",
            help="A condition on the table's own columns. Repeatable: all conditions must hold.",
        )(made)
        made = click.argument("pairs", nargs=-1, metavar="[COLUMN=VALUE]...")(made)
        return click.argument("table", required=required)(made)  # type: ignore[no-any-return]  # likewise

    return give


dependents_option = click.option(
    "--no-dependents", is_flag=True, help="Ignore the rows of other tables that depend on these."
)
yes_option = click.option("--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask for confirmation.")


def check_terminal(yes: bool, as_json: bool) -> None:
    """Raise UsageError if a confirmation is required and nobody can be asked."""
    if yes:
        return
    if as_json:
        raise UsageError("--json cannot ask for confirmation", hint="add --yes")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "there is no terminal to ask for confirmation; nothing was changed", hint="add --yes"
        )
