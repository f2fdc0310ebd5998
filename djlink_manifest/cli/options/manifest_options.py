"""Options that several commands share, and the manifest that they name."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from djlink_manifest.cli.terminal.debug_log import shown_on
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.link import Limit

DEFAULT_MANIFEST = "djlink.yaml"
MOST_PARALLEL = 64

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Scope:
    """The links that a command works on: which manifest, which part of it, how many at the same time.

    `limit` replaces every `max_deletions`.
    """

    files: tuple[str, ...]
    targets: tuple[str, ...]
    excludes: tuple[str, ...]
    parallelism: int | None
    limit: Limit | None = None


def output_options(command: _F) -> _F:
    """Give a command `--color` and `--debug`, which set up the screen."""
    colour = click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        expose_value=False,
        callback=_set_colour,
        help="Colours; auto: on a terminal, unless NO_COLOR is set.  [default: auto]",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Show each statement that is sent to a server, with its time and rows but no value, and where "
        "in djlink an error came from.",
    )
    return colour(debug(command))


def file_option(command: _F) -> _F:
    """Give a command `-f`, any number of times."""
    return click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        metavar="FILE",
        help=f"A manifest, or a folder of them; again: laid over the first.  [default: {DEFAULT_MANIFEST}]",
    )(command)


def scope_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command `-f`, `--target`, `--exclude` and `--parallelism`, as one argument `scope`."""

    @functools.wraps(command)
    def with_scope(
        files: tuple[str, ...],
        targets: tuple[str, ...],
        excludes: tuple[str, ...],
        parallelism: int | None,
        **others: Any,
    ) -> int:
        return command(scope=Scope(files, targets, excludes, parallelism), **others)

    target = click.option(
        "--target",
        "targets",
        multiple=True,
        metavar="ADDRESS",
        help="Only this link (source.schema.Table), or a glob of them, and all that it needs; what keeps it "
        "from being done is told. Repeatable.",
    )
    exclude = click.option(
        "--exclude",
        "excludes",
        multiple=True,
        metavar="ADDRESS",
        help="Leave out a link, or a glob of them, and all that need it. Repeatable.",
    )
    parallel = click.option(
        "--parallelism",
        type=click.IntRange(1, MOST_PARALLEL),
        metavar="N",
        help="How many links at the same time.  [default: by processors and sources, 2 to 4]",
    )
    return file_option(target(exclude(parallel(with_scope))))


def server_options(command: _F) -> _F:
    """Give a command the options that say how a source is reached which no manifest has."""
    for option in reversed(
        (
            click.option(
                "-f",
                "--file",
                "files",
                multiple=True,
                metavar="FILE",
                help="With --from: a manifest that has the source.  [default: djlink.yaml, where it is]",
            ),
            click.option("--host", metavar="HOST", help="With --from: the source's server."),
            click.option(
                "--port", type=click.IntRange(1, 65535), metavar="PORT", help="Its port.  [default: 3306]"
            ),
            click.option(
                "--user", metavar="USER", help="The link user, or a reference.  [default: ${env:LINK_USER}]"
            ),
            click.option(
                "--password",
                metavar="REF",
                help="A reference to its password.  [default: ${env:LINK_PASS}]",
            ),
            click.option("--ca", metavar="FILE", help="The authority (PEM) of its certificate."),
            click.option("--no-tls", "tls", flag_value=False, default=None, help="Do not encrypt."),
            click.option(
                "--outbound",
                metavar="SCHEMA",
                help="Our schema on it.  [default: the one on which the link user has all rights]",
            ),
            click.option(
                "--local-host",
                metavar="HOST",
                help="The server that receives.  [default: ${env:DJ_HOST}]",
            ),
            click.option(
                "--local-port",
                type=click.IntRange(1, 65535),
                metavar="PORT",
                help="Its port.  [default: 3306]",
            ),
            click.option("--name", metavar="NAME", help="The manifest's name.  [default: our-lab]"),
        )
    ):
        command = option(command)
    return command


def json_option(help: str) -> Callable[[_F], _F]:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def verify_option(command: _F) -> _F:
    """Give a command `--verify`."""
    return click.option(
        "--verify",
        is_flag=True,
        help="Compare the rows too, not only keys and counts; every page of the tables is read.",
    )(command)


def limit_option(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command with a scope `--max-deletions`, which becomes the scope's limit."""

    @functools.wraps(command)
    def with_limit(scope: Scope, most: Limit | None, **others: Any) -> int:
        return command(scope=replace(scope, limit=most), **others)

    return click.option(
        "--max-deletions",
        "most",
        metavar="N|P%",
        callback=_limit,
        help="Let so many entities of a link go without a review, instead of its `max_deletions`.",
    )(with_limit)


def _limit(context: click.Context, parameter: click.Parameter, value: str | None) -> Limit | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%|([1-9][0-9]*)", value)
    if not match or float(match[1] or 1) > 100:
        raise click.BadParameter("write a number of entities, or a percentage: 20, 5%")
    return Limit(float(match[1]), percent=True) if match[1] else Limit(float(match[2]), percent=False)


def chosen(files: tuple[str, ...]) -> tuple[str, ...]:
    """The files to read: those given, else `djlink.yaml` of this folder. Raises UsageError without either."""
    if files:
        return files
    if not Path(DEFAULT_MANIFEST).exists():
        raise UsageError(
            f"no manifest: there is no {DEFAULT_MANIFEST} in this folder",
            hint="`djlink init` writes a starter; `-f FILE` names another",
        )
    return (DEFAULT_MANIFEST,)


def _set_colour(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None:
        current().colour = value


def _set_debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not current().debug:
        current().debug = True
        context.with_resource(shown_on(current()))
