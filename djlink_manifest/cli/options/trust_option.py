"""The option `--trust`, and the trust file that a command has to heed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from djlink_manifest.cli.terminal.next_steps import HIDDEN
from djlink_manifest.errors import UsageError

if TYPE_CHECKING:
    from djlink_manifest.manifest.trust.read import TrustFile

VARIABLE = "DJLINK_TRUST"

_KEY = f"{HIDDEN}trust"
_F = TypeVar("_F", bound=Callable[..., Any])


def trust_option(command: _F) -> _F:
    """Give a command `--trust`; `trust_file` has its value."""
    return click.option(
        "--trust",
        metavar="FILE",
        expose_value=False,
        callback=_keep,
        help="Refuse a manifest that uses a server, reference, file or store that this file does not list. "
        f"[default: {VARIABLE}, if set]",
    )(command)


def trust_file() -> TrustFile | None:
    """Return the trust file of the running command; None where neither the option nor the variable is set.

    Raises UsageError where it has no name or cannot be read, ManifestError with everything wrong in it.
    """
    path = click.get_current_context().meta.get(_KEY, os.environ.get(VARIABLE))
    if path is None:
        return None
    if not path:
        # a variable of a CI that is not there becomes an empty one: that must not mean to trust everything
        raise UsageError(
            f"the trust file has no name: --trust or {VARIABLE} is empty",
            hint=f"name a file, or unset {VARIABLE} to plan manifests that you have reviewed",
        )
    from djlink_manifest.manifest.trust.read import read_trust

    return read_trust(path)


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[_KEY] = value
