"""Writing manifests: the starter of `djlink init` and the layout of `djlink fmt`."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from djlink_manifest.errors import DjlinkError
from djlink_manifest.manifest.text import layout
from djlink_manifest.manifest.text.checkout import leads_elsewhere
from djlink_manifest.manifest.text.compose import LOADER
from djlink_manifest.manifest.text.problems import Problems
from djlink_manifest.manifest.text.syntax import explained
from djlink_manifest.manifest.text.tree import decoded

SCHEMA = "manifest.schema.json"  # beside the manifest, where `djlink init` writes it
_ROUNDS = 8


class FormatError(DjlinkError):
    """The formatted text would not say the same as the original; nothing is to be written."""


def formatted(text: str, file: str = "manifest") -> str:
    """The text in the usual layout: indentation, blanks, the order of top-level keys; comments stay.

    Before it is returned it is proved to say the same: every value, quote, anchor and comment. Formatting
    twice changes nothing more. Raises ManifestError where the text is not YAML, FormatError where the proof
    fails.
    """
    text = text.removeprefix("\ufeff")
    _check(text, file)
    if any(strange in text for strange in "\x85\u2028\u2029"):
        return text  # line ends to YAML, and to nothing else
    result = text
    for _ in range(_ROUNDS):
        before = result
        for change in (layout.trimmed, layout.spaced, layout.indented):
            result = _tried(change, result, _meaning)
        result = _tried(layout.ordered, result, _content)
        if result == before:
            break
    else:
        raise FormatError("formatting does not converge", hint="keep the file as it is, and report this")
    if _content(result) != _content(text):
        raise FormatError("formatting would change the meaning", hint="keep the file as it is")
    return result


def _tried(change: Callable[[str], str], text: str, said: Callable[[str], object]) -> str:
    """The changed text where it says the same, else the text as it was: layout is never worth a value."""
    changed = change(text)
    if changed == text:
        return text
    try:
        return changed if said(changed) == said(text) else text
    except yaml.YAMLError:
        return text


def _check(text: str, file: str) -> None:
    problems = Problems()
    if (real := leads_elsewhere(file)) is not None:
        problems.withhold(file, real)
    if decoded(text.encode("utf-8", "surrogatepass"), file, problems) is not None:
        try:
            _content(text)
        except yaml.MarkedYAMLError as error:
            summary, spot, help = explained(error, text, file)
            problems.error(summary, spot, help=help)
    problems.raise_if_any()


def _meaning(text: str) -> tuple[list[tuple[object, ...]], list[str]]:
    """All that a text says, in order: its events with anchors, quotes and brackets, and its comments."""
    return [_said(event) for event in yaml.parse(text, Loader=LOADER)], [c for _, c in comments(text)]


def _content(text: str) -> tuple[list[object], list[str]]:
    """All that a text says, whatever the order of its top-level keys and their comments.

    An alias that stands before its anchor is part of it, so that an order that breaks one is not the same.
    """
    events = [_said(event) for event in yaml.parse(text, Loader=LOADER)]
    anchors: set[object] = set()
    broken = []
    for event in events:
        if event[0] == "AliasEvent" and event[1] not in anchors:
            broken.append(event[1])
        anchors.add(event[1])
    said = sorted(c for _, c in comments(text))
    return [sorted(map(repr, _top_level(events))), sorted(map(repr, broken))], said


def _said(event: yaml.Event) -> tuple[object, ...]:
    fields = ("anchor", "tag", "implicit", "value", "style", "flow_style", "explicit")
    return (type(event).__name__, *(getattr(event, name, None) for name in fields))


def _top_level(events: list[tuple[object, ...]]) -> list[list[tuple[object, ...]]]:
    """The events of each top-level key with its value, or all of them where the top level is no mapping."""
    body = events[2:-2]
    if not body or body[0][0] != "MappingStartEvent" or len(events) < 5:
        return [events]
    entries: list[list[tuple[object, ...]]] = [[events[0], events[1], body[0], *events[-2:]]]
    depth, nodes = 0, 0
    for event in body[1:-1]:
        if depth == 0 and nodes % 2 == 0:
            entries.append([])
        entries[-1].append(event)
        depth += str(event[0]).endswith("StartEvent") - str(event[0]).endswith("EndEvent")
        nodes += depth == 0
    return entries


def comments(text: str) -> list[tuple[int, str]]:
    """The comments, with their lines from 1: what stands between tokens, without the blanks around it."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    covered: list[list[tuple[int, int]]] = [[] for _ in lines]
    for piece in layout.pieces("\n".join(lines)):
        for number in range(piece.line, min(piece.end_line + 1, len(lines))):
            start = piece.column if number == piece.line else 0
            end = piece.end_column if number == piece.end_line else len(lines[number])
            covered[number].append((start, end))
    found = []
    for number, (line, spans) in enumerate(zip(lines, covered, strict=True), start=1):
        at = max((end for _, end in spans), default=0)
        rest = line[at:]
        if "#" in rest:
            found.append((number, rest[rest.index("#") :].rstrip()))
    return found


def starter(schema: str = SCHEMA) -> str:
    """The text of a starter manifest, valid as it is; `schema` is where editors find the JSON Schema."""
    return f"# yaml-language-server: $schema={schema}\n{_STARTER}"


_STARTER = """\
#
# The tables of other servers to link to the local server. Check this file with `djlink validate`, preview the
# changes with `djlink plan`, and make them with `djlink apply`. Secrets are references: ${env:NAME} or
# ${file:path}.
manifest: 1
name: our-lab                          # marks what this manifest owns on the servers
contact: data@ourlab.example           # shown to the owners of held rows

local:                                 # the server that receives the rows
  host: db.ourlab.example
  user: ${env:DJ_USER}
  password: ${env:DJ_PASS}

defaults:
  schema_name: "{source}_{schema}"     # the local schema; lab_a's `session` becomes `lab_a_session`
  # deletions: auto                    # carry out requested deletions without a review
  # unwanted: release                  # delete and release rows that are no longer wanted

sources:
  lab_a:                               # the first word of each address: lab_a.session.Session
    host: db.lab-a.example
    user: ${env:LINK_USER}
    password: ${env:LINK_PASS}
    outbound: ourlab_outbound          # our schema on their server: the rows that we hold
    schemas:
      lab:
        tables:
          "*": {pull: needed}          # only what the tables below refer to
      session:
        tables:
          Session:
            where: session_date >= '2020-01-01'
          SessionNote:
"""
