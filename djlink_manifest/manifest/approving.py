"""Approvals in the text of a manifest: a new entry, entries taken out; all else of the text stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from djlink_manifest.errors import DjlinkError
from djlink_manifest.manifest.compose import LOADER
from djlink_manifest.manifest.values import Approval

KEY = "approvals"


class ApprovalsError(DjlinkError):
    """The approvals of a file cannot be changed by a program; nothing is written."""


def has_approvals(text: str) -> bool:
    """Whether the text has the top-level key `approvals`."""
    return _found(text) is not None


def with_approval(text: str, approval: Approval, file: str) -> str:
    """The text with one entry more, before the others. ApprovalsError where there is no place for it."""
    entry, node = entry_line(approval), _found(text)
    if node is None:
        gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
        changed = f"{text}{gap}{KEY}:\n  - {entry}\n"
    else:
        if not isinstance(node, yaml.SequenceNode):
            if not _is_empty(node):
                raise _unfit(file)
            changed = _over(text, node, f"\n  - {entry}\n" if not node.value else f"\n  - {entry}")
        elif node.flow_style:
            inner = f"[{entry}" + (", " if node.value else "")
            changed = text[: node.start_mark.index] + inner + text[node.start_mark.index + 1 :]
            if not node.value:
                changed = _over(text, node, f"\n  - {entry}")
        else:
            start = node.start_mark.index
            line_start = text.rfind("\n", 0, start) + 1
            if text[line_start:start].strip():
                raise _unfit(file)
            changed = text[:line_start] + text[line_start:start] + f"- {entry}\n" + text[line_start:]
    return _proved(text, changed, [entry_value(approval)], frozenset(), file)


def without_approvals(text: str, lines: Collection[int], file: str) -> str:
    """The text without the entries that begin at these lines, counted from 1."""
    node = _found(text)
    if node is None or not lines:
        return text
    if not isinstance(node, yaml.SequenceNode):
        raise _unfit(file)
    gone = {n for n, item in enumerate(node.value) if item.start_mark.line + 1 in lines}
    if not gone:
        return text
    if len(gone) == len(node.value):
        changed = _emptied(text, node)
    elif node.flow_style:
        raise _unfit(file)
    else:
        kept = text.splitlines(keepends=True)
        for number in sorted(gone, reverse=True):
            first, last = _span(node.value[number])
            del kept[first : last + 1]
        changed = "".join(kept)
    return _proved(text, changed, [], gone, file)


def entry_line(approval: Approval) -> str:
    """The entry as it is written, on one line."""
    words = []
    for name, value in entry_value(approval).items():
        if isinstance(value, dict):
            inner = ", ".join(f"{_scalar(k)}: {v}" for k, v in value.items())
            words.append(f"{name}: {{{inner}}}")
        else:
            plain = "true" if value is True else value if isinstance(value, int) else _scalar(str(value))
            words.append(f"{name}: {plain}")
    return f"{{{', '.join(words)}}}"


def entry_value(approval: Approval) -> dict[str, Any]:
    """The entry as the manifest's reader takes it."""
    return {
        "link": approval.link,
        **({"orphans": True} if approval.orphans else {}),
        "keys": approval.keys,
        "count": approval.count,
        **({} if approval.orphans else {"until": approval.until}),
        **({"with": dict(approval.along)} if approval.along else {}),
        "by": approval.by,
        "date": approval.date,
    }


def _scalar(text: str) -> str:
    """Text that YAML reads as this text, quoted where it would be read otherwise, or inside of braces."""
    plain = text.replace("_", "").replace("-", "").replace(".", "").isalnum() and text[:1].isalpha()
    if plain and text.lower() not in {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _found(text: str) -> yaml.Node | None:
    root = yaml.compose(text, Loader=LOADER)
    if not isinstance(root, yaml.MappingNode):
        return None
    return next((value for key, value in root.value if key.value == KEY), None)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value in {"", "~", "null"}


def _over(text: str, node: yaml.Node, words: str) -> str:
    """The text with `words` in the place of a node on one line, and no blank before them."""
    start, end = node.start_mark.index, node.end_mark.index
    return text[:start].rstrip(" ") + words + text[end:]


def _emptied(text: str, node: yaml.SequenceNode) -> str:
    if node.flow_style:
        return text[: node.start_mark.index] + "[]" + text[node.end_mark.index :]
    first, _ = _span(node.value[0])
    _, last = _span(node.value[-1])
    lines = text.splitlines(keepends=True)
    head = lines[:first]
    for number in range(len(head) - 1, -1, -1):
        if head[number].lstrip().startswith(KEY):
            bare, hash_, comment = head[number].rstrip("\n").partition("#")
            head[number] = f"{bare.rstrip()} []" + (f"  #{comment}" if hash_ else "") + "\n"
            break
    return "".join([*head, *lines[last + 1 :]])


def _span(item: yaml.Node) -> tuple[int, int]:
    """The first and the last line of an item, without the empty lines and comments behind it."""
    return item.start_mark.line, _last_line(item)


def _last_line(node: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return max(_last_line(each) for pair in node.value for each in pair)
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return max(_last_line(each) for each in node.value)
    end = node.end_mark
    return int(end.line if end.column else max(end.line - 1, node.start_mark.line))


def _proved(text: str, changed: str, added: list[dict[str, Any]], gone: Collection[int], file: str) -> str:
    """The changed text, proved to say what it shall and all else as before."""
    before, after = _data(text), _data(changed)
    old, new = before.pop(KEY, []), after.pop(KEY, [])
    entries = [e for n, e in enumerate(old) if n not in gone] if isinstance(old, list) else []
    if new != [_texts(e) for e in added] + entries or before != after:
        raise _unfit(file)
    return changed


def _data(text: str) -> dict[str, Any]:
    value = _texts(yaml.compose(text, Loader=LOADER))
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> Any:
    """A node, or plain data, with every scalar as its text; aliases are written out."""
    if isinstance(value, yaml.MappingNode):
        return {_texts(k): _texts(v) for k, v in value.value}
    if isinstance(value, yaml.SequenceNode):
        return [_texts(each) for each in value.value]
    if isinstance(value, yaml.ScalarNode):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): _texts(v) for k, v in value.items()}
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _unfit(file: str) -> ApprovalsError:
    return ApprovalsError(
        f"the `{KEY}` of {file} are written in a way that djlink does not change",
        hint="write them as a list, one entry a line: `- {link: …}`; or name another file with --into",
    )
