"""YAML text → a tree of values that know their place. With `compose` the only module that reads YAML.

The tree is made from the parser's events, so that nesting is bounded before anything recurses, and every
value and key keeps file, line and column. Anchors, aliases and `<<` work; one aliased value is one node.
"""

from __future__ import annotations

import re

import yaml

from djlink_manifest.errors import Location
from djlink_manifest.manifest.text.compose import Composer, Stop
from djlink_manifest.manifest.text.nodes import Fields, Items, Leaf, Node
from djlink_manifest.manifest.text.problems import LINE_END, Problems, Spot, looks_secret
from djlink_manifest.manifest.text.syntax import explained

MAX_BYTES = 8_000_000

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse(content: bytes, file: str, problems: Problems) -> Fields | None:
    """The mapping that a file holds, with problems noted; None where it cannot be used at all.

    Top-level keys that start with `x-` are left out, once their anchors have been used. An empty file is an
    empty mapping.
    """
    start = Spot(Location(file, 1, 1))
    text = decoded(content, file, problems)
    if text is None:
        return None
    try:
        root = Composer(text, file, problems).document()
    except Stop:
        return None
    except yaml.MarkedYAMLError as error:
        summary, spot, help = explained(error, text, file)
        problems.error(summary, spot, help=help)
        return None
    except (yaml.YAMLError, ValueError, OverflowError):  # a reader's refusal has no mark
        problems.error("invalid YAML", start)
        return None
    if root is None or (isinstance(root, Leaf) and root.value is None):
        return Fields({}, start)
    if not isinstance(root, Fields):
        problems.error(
            "a manifest must be a mapping of keys to values", root.spot, help="start with `manifest: 1`"
        )
        return None
    kept = Fields(
        {k: e for k, e in root.entries.items() if not k.startswith("x-")}, root.spot, root.size, root.depth
    )
    _report_surprises(kept, problems)
    return kept


def decoded(content: bytes, file: str, problems: Problems) -> str | None:
    """The file's text without its byte order mark; None, with the problem noted, where it is none."""
    start = Spot(Location(file, 1, 1))
    if len(content) > MAX_BYTES:
        problems.error(
            f"the file is larger than {MAX_BYTES // 1_000_000} MB", start, help="is this a manifest?"
        )
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.error("the file is not UTF-8 text", Spot(Location(file, line, 1)), help="save it as UTF-8")
        return None
    problems.read(file, text)
    if strange := _UNPRINTABLE.search(text):
        before = LINE_END.split(text[: strange.start()])
        line, column = len(before), len(before[-1]) + 1
        code = f"U+{ord(strange[0]):04X}"
        problems.error(
            f"the file contains a character that YAML does not allow ({code})",
            Spot(Location(file, line, column)),
            help="is this a text file? Remove the character",
        )
        return None
    return text


def _report_surprises(root: Fields, problems: Problems) -> None:
    """Note every value that must be quoted, once, however often it is aliased."""
    seen: set[int] = set()
    pending: list[tuple[str, str, Node]] = [("", "", root)]
    while pending:
        path, key, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Fields):
            pending += [(f"{path}.{k}".lstrip("."), k, e.value) for k, e in node.entries.items()]
        elif isinstance(node, Items):
            pending += [(f"{path}[{i}]", key, item) for i, item in enumerate(node.items)]
        elif node.surprise is not None:
            name, quoted = (
                (f"`{node.value}`", f'"{node.value}"') if not looks_secret(key) else ("this value", '"..."')
            )
            problems.error(
                f"{name} {node.surprise.reason}",
                node.spot,
                path,
                f"quote it if it is text: {quoted}; otherwise write {node.surprise.meant}",
            )
