"""What a shell offers for an argument: addresses, sources and schemas of the manifest. No server is asked.

A name goes from a file into a command line, so only those are offered that no shell takes for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from djlink_manifest.cli.options.files import chosen_if_any

if TYPE_CHECKING:
    from djlink_manifest.manifest.outline import Outline

_SAFE = re.compile(r"[\w.#*?-]+", re.ASCII)
_GLOB = re.compile(r"[*?\[]")


def addresses(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the addresses of tables that the manifest names."""
    return _offered((a for a in _addresses(_outline(context)) if not _GLOB.search(a)), incomplete)


def selections(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return what `--target` takes: addresses, and globs for what the manifest declares."""
    return _offered(_selections(_outline(context)), incomplete)


def places(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the schemas of the manifest's sources, as `source.schema`."""
    found = _outline(context)
    return _offered(
        (f"{source}.{each}" for source, schemas in found.sources.items() for each in schemas), incomplete
    )


def servers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the manifest's servers."""
    return _offered(["local", *_outline(context).sources], incomplete)


def _outline(context: click.Context) -> Outline:
    # late: YAML is not loaded for `djlink --help`
    from djlink_manifest.manifest.outline import outline

    return outline(chosen_if_any(tuple(context.params.get("files") or ())))


def _addresses(found: Outline) -> Iterator[str]:
    for source, schemas in found.sources.items():
        for schema, tables in schemas.items():
            yield from (f"{source}.{schema}.{table}" for table in tables)


def _selections(found: Outline) -> Iterator[str]:
    for source, schemas in found.sources.items():
        yield f"{source}.*"
        yield from (f"{source}.{schema}.*" for schema in schemas)
    yield from _addresses(found)


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    fitting = {name for name in names if name.startswith(incomplete) and _SAFE.fullmatch(name)}
    return sorted(fitting)
