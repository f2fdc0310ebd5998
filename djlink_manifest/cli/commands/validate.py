"""Commands that need no server: init (without --from), validate, fmt."""

from __future__ import annotations

import os
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
from djlink_manifest.cli.options.plan_output import format_option, one_output, show_annotations
from djlink_manifest.cli.options.trust_option import trust_file
from djlink_manifest.cli.terminal.ask import can_ask
from djlink_manifest.cli.terminal.files import check_not_led_out, read_text, replace_file
from djlink_manifest.cli.terminal.screen import current
from djlink_manifest.errors import SecretError, UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.screen.diagnostics import count_words, diagnostic_lines, diagnostics_json
from djlink_manifest.report.screen.figures import counted, listed
from djlink_manifest.report.screen.terminal import line

NOT_FORMATTED = 3
MOST_WARNINGS = 20


@click.command(short_help="Write a manifest: ask for it at a terminal, or from a server.")
@click.argument("path", required=False)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--from",
    "place",
    metavar="SOURCE.schema",
    shell_complete=completing.places,
    help="Generate it from this schema of a source's server and the parents in other schemas.",
)
@click.option(
    "--source", metavar="NAME", help="Without --from: the source's name, the first word of its addresses."
)
@click.option(
    "--schema",
    multiple=True,
    metavar="SCHEMA",
    help="Without --from: a schema of the source to link. Repeatable.",
)
@click.option("--starter", is_flag=True, help="Write an example to edit; ask nothing.")
@server_options
@output_options
def init(path: str | None, force: bool, place: str | None, starter: bool, **server: Any) -> None:
    """Write a manifest to PATH (default: djlink.yaml), or to stdout if PATH is `-`.

    At a terminal it asks for the local server, the source's host, account and schemas, and prints the
    statements that grant the accounts their privileges. Each question has an option; what is given is not
    asked. Without a terminal or any of these options, or with --starter, it writes an example to edit.

    With --from, the manifest is generated from the server's catalog and is ready to plan: it lists each table
    that can be linked, parents in other schemas as `pull: needed`, and a comment with the reason for each
    table that cannot be linked. If an existing manifest (djlink.yaml, or -f) declares the source, its
    settings are used and the new file (schema.yaml) is merged over it; otherwise --host is required.

    Passwords are never asked for, and are written as references, never as text. Unless PATH is `-`,
    manifest.schema.json is written to the same folder, which lets editors complete and check the manifest.

    \b
    Examples:
      djlink init
      djlink init --starter manifests/atlas.yaml
      djlink init --source princeton --host db.princeton.example --schema ephys --schema lab
      djlink init - | less
      djlink init --from princeton.ephys
      djlink init --from princeton.ephys -f atlas.yaml -
      djlink init --from princeton.ephys --host db.princeton.example --user ourlab_link
    """
    if place is not None:
        named = {name: server.pop(name) for name in ("source", "schema")}
        _check_only(named, "without --from", "omit it: --from names the source and the schema")
        _init_from(path, force, place, server)
        return
    _check_only({"files": server.pop("files")}, "with --from", "`djlink init --from SOURCE.schema`")
    is_given = any(value not in (None, ()) for value in server.values())
    if starter and is_given:
        raise UsageError("--starter takes no option of a server", hint="omit --starter, or the other options")
    if starter or (not is_given and (path == "-" or not can_ask())):
        _write_starter(path or DEFAULT_MANIFEST, force)
    else:
        _init_asking(path or DEFAULT_MANIFEST, force, server)


def _write_starter(path: str, force: bool) -> None:
    from djlink_manifest.manifest.edit.write import starter

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


def _init_asking(path: str, force: bool, options: dict[str, Any]) -> None:
    """Write a manifest from options and answers, and print the grants that it needs."""
    from djlink_manifest.cli.commands.grants import script
    from djlink_manifest.cli.commands.init_questions import from_answers
    from djlink_manifest.manifest.load import load
    from djlink_manifest.reconcile.bootstrap.grants import account_grants

    screen, is_file = current(), path != "-"
    if is_file and Path(path).exists() and not force:  # before anybody types anything
        raise UsageError(f"{path} already exists", hint="choose another file, or overwrite it with --force")
    text = from_answers(options, may_ask=can_ask())
    if not is_file:
        screen.data(text)
        return
    _write_all({Path(path): text, **_schema_beside(path)}, force)
    named = [] if path == DEFAULT_MANIFEST else ["-f", path]
    screen.note([line(f"Wrote {path}. Passwords are read when djlink connects: set the variables in it.")])
    try:
        statements = "".join(f"{each}\n" for each in script(account_grants(load([path]), os.environ)))
    except SecretError as error:  # a user or schema that a variable names, which is not set yet
        words = f"For the statements that grant the privileges ({error.message}), run: "
        screen.note([line(words, command("grants", *named))])
    else:
        screen.note([line("The administrators of the servers run:"), line()])
        screen.data(statements)
    screen.note([line("Then run: ", command("doctor", *named))])


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


def _check_only(options: dict[str, Any], when: str, hint: str) -> None:
    """Raise UsageError if one of these options is given, which exist only in the other case."""
    for name, value in options.items():
        if value not in (None, ()):
            option = "-f" if name == "files" else f"--{name}"
            raise UsageError(f"`{option}` exists only {when}", hint=hint)


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
@format_option
@output_options
def validate(files: tuple[str, ...], as_json: bool, service: str | None) -> int:
    """Check the manifest without connecting to a server. Every problem is shown with its file, line and
    column.

    \b
    Examples:
      djlink validate
      djlink validate -f atlas.yaml -f this-machine.yaml
      djlink validate --json
      djlink validate --format github
      djlink validate --trust /etc/djlink/trust.yaml
    """
    from djlink_manifest.manifest.load import read

    screen = current()
    output = one_output({"--json": as_json, "--format": service})
    manifest, diagnostics = read(chosen(files), trust_file())
    if service is not None:
        from djlink_manifest.report.screen.annotations import of_diagnostics

        show_annotations(screen, of_diagnostics(diagnostics), output)
    elif as_json:
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
