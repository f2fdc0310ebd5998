"""Options that several commands share, and the manifest that they name."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from djlink_manifest.cli.options.completing import selections
from djlink_manifest.cli.options.files import DEFAULT_MANIFEST, FILES_VARIABLE, chosen_if_any
from djlink_manifest.cli.options.trust_option import trust_option
from djlink_manifest.cli.terminal.debug_log import shown_on
from djlink_manifest.cli.terminal.screen import Screen, current
from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.link import Growth, Limit

MOST_PARALLEL = 64
GATES = ("drift", "review", "forgotten", "blocked")

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Scope:
    """The links that a command works on: the manifest, the selection, and how many at the same time.

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
        help="When to use colors; auto: on a terminal, unless NO_COLOR is set.  [default: auto]",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Log each statement with its duration and row count, without values, and show a traceback for "
        "errors.",
    )
    return colour(debug(command))


def file_option(command: _F) -> _F:
    """Give a command `-f`, any number of times, and `--trust`."""
    return manifest_option(trust_option(command))


def manifest_option(command: _F) -> _F:
    """Give a command `-f`, any number of times."""
    return click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        metavar="FILE",
        type=click.Path(),
        help="A manifest, or a folder of manifests. Repeatable: later ones override earlier ones.  "
        f"[default: {FILES_VARIABLE}, else {DEFAULT_MANIFEST}]",
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
        shell_complete=selections,
        help="Only this link (source.schema.Table, or a glob) and the links that it needs; anything that "
        "blocks it is reported. Repeatable.",
    )
    exclude = click.option(
        "--exclude",
        "excludes",
        multiple=True,
        metavar="ADDRESS",
        shell_complete=selections,
        help="Skip this link (source.schema.Table, or a glob) and the links that need it. Repeatable.",
    )
    parallel = click.option(
        "--parallelism",
        type=click.IntRange(1, MOST_PARALLEL),
        metavar="N",
        help="Maximum number of links to process at the same time.  [default: 2 to 4, by processors and "
        "sources]",
    )
    return file_option(target(exclude(parallel(with_scope))))


def server_options(command: _F) -> _F:
    """Give a command the options that describe a source that is not in a manifest."""
    for option in reversed(
        (
            click.option(
                "-f",
                "--file",
                "files",
                multiple=True,
                metavar="FILE",
                type=click.Path(),
                help=f"With --from: a manifest that declares the source.  [default: {FILES_VARIABLE}, else "
                f"{DEFAULT_MANIFEST} if it exists]",
            ),
            click.option("--host", metavar="HOST", help="The host of the source's server."),
            click.option(
                "--port",
                type=click.IntRange(1, 65535),
                metavar="PORT",
                help="The server's port.  [default: 3306]",
            ),
            click.option(
                "--user",
                metavar="USER",
                help="The link user, or a reference to it.  [default: ${env:LINK_USER}]",
            ),
            click.option(
                "--password",
                metavar="REF",
                help="A reference to the link user's password.  [default: ${env:LINK_PASS}]",
            ),
            click.option(
                "--ca", metavar="FILE", help="The certificate authority (PEM) of the server's certificate."
            ),
            click.option("--no-tls", "tls", flag_value=False, default=None, help="Connect without TLS."),
            click.option(
                "--outbound",
                metavar="SCHEMA",
                help="The outbound schema on the server.  [default: with --from the one on which the link "
                "user has all privileges, else ${env:LINK_OUTBOUND}]",
            ),
            click.option(
                "--local-host",
                metavar="HOST",
                help="The host of the local server; without --from also `datajoint`, for DataJoint's "
                "configuration.  [default: ${env:DJ_HOST}]",
            ),
            click.option(
                "--local-port",
                type=click.IntRange(1, 65535),
                metavar="PORT",
                help="The local server's port.  [default: that of DJ_PORT beside DJ_HOST, else 3306]",
            ),
            click.option("--name", metavar="NAME", help="The manifest's name.  [default: our-lab]"),
            click.option("--contact", metavar="TEXT", help="Whom the owners of sources can ask."),
        )
    ):
        command = option(command)
    return trust_option(command)


def json_option(help: str) -> Callable[[_F], _F]:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def verify_option(command: _F) -> _F:
    """Give a command `--verify`."""
    return click.option(
        "--verify",
        is_flag=True,
        help="Compare whole rows, not only keys and counts. This reads every page of the tables.",
    )(command)


def fail_on_option(command: _F) -> _F:
    """Give a command `--fail-on`, names separated by commas, also more than once."""
    return click.option(
        "--fail-on",
        multiple=True,
        metavar="WHAT",
        callback=_gates,
        help=f"Exit with 1 if the plan has any of these: {', '.join(GATES)} (separated by commas).",
    )(command)


def lock_timeout_option(command: _F) -> _F:
    """Give a command `--lock-timeout`, in seconds."""
    return click.option(
        "--lock-timeout",
        metavar="DURATION",
        default="0",
        callback=_seconds,
        help="How long to wait for links that another djlink works on: 30s, 5m, 1h, or a "
        "number of seconds.  [default: not at all]",
    )(command)


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(s|m|h|)", value)
    if not match:
        raise click.BadParameter("write a duration: 30s, 5m, 1h, or a number of seconds")
    return float(match[1]) * {"h": 3600, "m": 60}.get(match[2], 1)


def growth_option(command: _F) -> _F:
    """Give a command `--max-growth`."""
    return click.option(
        "--max-growth",
        metavar="N|P%",
        callback=_growth,
        help="With --out: how many rows of a link may come beyond the plan's when it is applied: a number, "
        "or a percentage of the link's rows at the source.  [default: any number]",
    )(command)


def _growth(context: click.Context, parameter: click.Parameter, value: str | None) -> Growth | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,6})?) ?%|([0-9]{1,18})", value)
    if not match:
        raise click.BadParameter("write a number of rows, or a percentage: 0, 100, 5%")
    return Growth(float(match[1] or match[2]), percent=match[1] is not None)


def _gates(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    names = [name.strip() for each in value for name in each.split(",")]
    for name in names:
        if name not in GATES:
            fault = f"`{name}` is none of" if name else "a name is missing; write one of"
            raise click.BadParameter(f"{fault} {', '.join(GATES)}")
    return tuple(dict.fromkeys(names))


def detail_option(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command `--summary`, `--full` and `--quiet`, as one argument `detail`."""

    @functools.wraps(command)
    def with_detail(summary: bool, full: bool, quiet: bool, **others: Any) -> int:
        given = [name for name, on in (("--summary", summary), ("--full", full), ("--quiet", quiet)) if on]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} do not go together")
        detail = "closing" if quiet else "schemas" if summary else "full" if full else "links"
        return command(detail=detail, **others)

    return click.option("--summary", is_flag=True, help="Show one line per schema instead of links.")(
        click.option("--full", is_flag=True, help="List each new link, also where there are many.")(
            click.option("--quiet", "-q", is_flag=True, help="Show errors and the closing lines only.")(
                with_detail
            )
        )
    )


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
        help="Maximum rows per link to delete without approval, instead of `max_deletions`.",
    )(with_limit)


def _limit(context: click.Context, parameter: click.Parameter, value: str | None) -> Limit | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%|([1-9][0-9]*)", value)
    if not match or float(match[1] or 1) > 100:
        raise click.BadParameter("write a number of entities, or a percentage: 20, 5%")
    return Limit(float(match[1]), percent=True) if match[1] else Limit(float(match[2]), percent=False)


def chosen(files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files to read: those given, else those of DJLINK_FILE, else `djlink.yaml` of this folder.

    Raises UsageError if there are none.
    """
    if found := chosen_if_any(files):
        return found
    raise UsageError(
        f"there is no {DEFAULT_MANIFEST} in this folder",
        hint=f"run `djlink init` to write one, or name another file with `-f FILE` or {FILES_VARIABLE}",
    )


def _set_colour(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if (screen := context.find_object(Screen)) is not None:
        screen.context = context
    if value is not None:
        current().colour = value


def _set_debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not current().debug:
        current().debug = True
        context.with_resource(shown_on(current()))
