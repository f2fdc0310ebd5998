"""Commands that need no server: init (without --from), validate, fmt."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from djlink_manifest.cli.options import completing
from djlink_manifest.cli.options.files import DEFAULT_MANIFEST
from djlink_manifest.cli.options.manifest_options import (
    Scope,
    chosen,
    file_option,
    json_option,
    output_options,
    server_options,
)
from djlink_manifest.cli.options.trust_option import trust_file
from djlink_manifest.cli.terminal.files import check_not_led_out, read_text, replace_file
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.errors import UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.diagnostics import count_words, diagnostic_lines, diagnostics_json
from djlink_manifest.report.screen.figures import counted, listed
from djlink_manifest.report.screen.terminal import line

NOT_FORMATTED = 3
MOST_WARNINGS = 20


@click.command(short_help="Write a starter manifest.")
@click.argument("path", required=False)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--from",
    "place",
    metavar="SOURCE.schema",
    shell_complete=completing.places,
    help="Generate it from this schema of a source's server and the parents in other schemas.",
)
@server_options
@output_options
def init(path: str | None, force: bool, place: str | None, **server: Any) -> None:
    """Write a starter manifest to PATH (default: djlink.yaml), or to stdout if PATH is `-`.

    Unless PATH is `-`, manifest.schema.json is written to the same folder, which lets editors complete and
    check the manifest.

    With --from, the manifest is generated from the server's catalog and is ready to plan: it lists each table
    that can be linked, parents in other schemas as `pull: needed`, and a comment with the reason for each
    table that cannot be linked. If an existing manifest (djlink.yaml, or -f) declares the source, its
    settings are used and the new file (schema.yaml) is merged over it; otherwise --host is required.
    Passwords are written as references, never as text.

    \b
    Examples:
      djlink init
      djlink init manifests/atlas.yaml
      djlink init - | less
      djlink init --from princeton.ephys
      djlink init --from princeton.ephys -f atlas.yaml -
      djlink init --from princeton.ephys --host db.princeton.example --user ourlab_link
    """
    from djlink_manifest.manifest.edit.write import starter

    if place is not None:
        _init_from(path, force, place, server)
        return
    _check_no_server(server)
    path = path or DEFAULT_MANIFEST
    screen = current()
    if path == "-":
        screen.data(starter())
        return
    beside = _schema_beside(path)
    _write_all({Path(path): starter(), **beside}, force)
    [schema] = beside
    check = command("validate", *([] if path == DEFAULT_MANIFEST else ["-f", path]))
    screen.note(
        [
            line(f"Wrote {path}. Enter your servers and tables in it, then run: {check}"),
            line(f"Wrote {schema}, which lets editors complete and check the manifest."),
        ]
    )


def _schema_beside(path: str) -> dict[Path, str]:
    """Return the path of the JSON Schema that the first line of a manifest names."""
    from djlink_manifest.manifest.edit.write import SCHEMA
    from djlink_manifest.manifest.models.schema import manifest_schema, rendered

    return {Path(path).parent / SCHEMA: rendered(manifest_schema())}


def _write_all(texts: dict[Path, str], force: bool) -> None:
    """Write all files, or none if one exists with different text."""
    for target, text in texts.items():
        if target.exists() and not force and not _holds(target, text):
            hint = "choose another file, or overwrite it with --force"
            raise UsageError(f"{target} already exists", hint=hint)
    for target, text in texts.items():
        replace_file(target, text)


def _check_no_server(server: dict[str, Any]) -> None:
    given = [name for name, value in server.items() if value not in (None, ())]
    if given:
        option = "-f" if given[0] == "files" else "--" + given[0].replace("_", "-")
        raise UsageError(f"`{option}` requires --from", hint="`djlink init --from SOURCE.schema`")


def _init_from(path: str | None, force: bool, place: str, server: dict[str, Any]) -> None:
    from djlink_manifest.cli.commands.init import InitOptions, from_server

    screen = current()
    text, usual, options, left_out = from_server(InitOptions(place=place, **server))
    screen.note(
        [
            *(line(("warning", "yellow"), f": {each}") for each in left_out[:MOST_WARNINGS]),
            *([line(f"… and {len(left_out) - MOST_WARNINGS} more")] if len(left_out) > MOST_WARNINGS else []),
        ]
    )
    target = path or usual
    if target == "-":
        screen.data(text)
        return
    texts = {Path(target): text}
    if not options:
        texts |= _schema_beside(target)
    _write_all(texts, force)
    own = "" if not options and target == DEFAULT_MANIFEST else f"{options} -f {shlex.quote(target)}"
    words = f"Wrote {target}. Remove the tables that you do not need, then run: `djlink plan{own}`"
    screen.note([line(words)])


@click.command(short_help="Check the manifest without connecting to a server.")
@file_option
@json_option("Print the problems as JSON.")
@output_options
def validate(files: tuple[str, ...], as_json: bool) -> int:
    """Check the manifest without connecting to a server. Every problem is shown with its file, line and
    column.

    \b
    Examples:
      djlink validate
      djlink validate -f atlas.yaml -f this-machine.yaml
      djlink validate --json
      djlink validate --trust /etc/djlink/trust.yaml
    """
    from djlink_manifest.manifest.load import read

    screen = current()
    manifest, diagnostics = read(chosen(files), trust_file())
    if as_json:
        screen.json(diagnostics_json(diagnostics))
    else:
        screen.note(diagnostic_lines(diagnostics))
        if manifest is not None:
            rules = sum(len(schema.rules) for source in manifest.sources for schema in source.schemas)
            content = f"{counted(len(manifest.sources), 'source')}, {counted(rules, 'table rule')}"
            problems = f"; {count_words(diagnostics)}" if diagnostics else ""
            screen.show([line(f"{listed(manifest.files)}: valid ({content}{problems})")])
    return 0 if manifest is not None else 1


@click.command(short_help="Format manifests.")
@file_option
@click.option(
    "--check", is_flag=True, help="Change nothing; exit with 3 and list the files that are not formatted."
)
@click.option("--prune", is_flag=True, help="First remove spent approvals; this connects to the servers.")
@output_options
def fmt(files: tuple[str, ...], check: bool, prune: bool) -> int:
    """Format manifests: indentation, quotes and the order of keys. Comments are kept.

    \b
    Examples:
      djlink fmt
      djlink fmt -f manifests/
      djlink fmt --check
      djlink fmt --prune
    """
    from djlink_manifest.cli.commands.requests import prune as pruned
    from djlink_manifest.manifest.edit.write import formatted

    screen = current()
    if check and prune:
        raise UsageError("--check and --prune cannot be combined", hint="use one of them")
    if prune:
        for path in pruned(Scope(files, (), (), None)):
            screen.show([line(f"{path}: spent approvals removed")])
    changed: list[tuple[Path, str]] = []
    for path in _yaml_files(chosen(files)):
        text = read_text(path)
        new = formatted(text, str(path))
        if new != text:
            changed.append((path, new))
    # all files are read and formatted before the first is written, so that an error changes none
    for path, _ in changed if not check else ():
        check_not_led_out(path)
    for path, new in changed:
        if not check:
            replace_file(path, new)
        screen.show([line(str(path))])
    return NOT_FORMATTED if check and changed else 0


def _yaml_files(paths: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in path.glob("*.yaml") if not each.name.startswith("."))
        if not inside:
            raise UsageError(f"the folder {path} contains no `*.yaml` file")
        found += inside
    return list(dict.fromkeys(found))


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
