"""Changes by a program in YAML that people wrote: the change is made, and all else stays as they wrote it.

ruamel.yaml reads the text with its comments, makes the change and writes it again. It normalizes layout as it
writes, so what the change did to its own output is then merged into the person's lines, as version control
does; where that cannot be, its output stands as it is. Either way the new text is read by the manifest's own
reader, and counts only where that finds the old values with the change and nothing else.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.emitter import Emitter
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from djlink_manifest.errors import Location
from djlink_manifest.manifest.text.compose import Composer, Stop
from djlink_manifest.manifest.text.layout import pieces
from djlink_manifest.manifest.text.nodes import Fields, Leaf, Node, plain
from djlink_manifest.manifest.text.problems import Problems, Spot
from djlink_manifest.manifest.text.scalars import written

Item = Callable[[dict[str, Any]], Any]
"""Makes an entry of a list what the text's writer takes for it."""
Change = Callable[[Any, Item], None]


def document(text: str) -> Fields | None:
    """The mapping that a text holds, as the manifest's reader takes it, keys with `x-` too.

    An empty document is an empty mapping; None where the text is no mapping, or not readable.
    """
    try:
        root: Node | None = Composer(text.removeprefix("\ufeff"), "text", Problems()).document()
    except (Stop, yaml.YAMLError, ValueError):
        return None
    if root is None or (isinstance(root, Leaf) and root.value is None):
        return Fields({}, Spot(Location("text", 1, 1)))
    return root if isinstance(root, Fields) else None


def values(text: str) -> dict[str, Any] | None:
    """The values of a text as dicts, lists and scalars; None where it is no mapping."""
    found = document(text)
    value = plain(found) if found is not None else None
    return value if isinstance(value, dict) else None


def same(one: object, other: object) -> bool:
    """Whether two values are equal, their types and the order of keys included."""
    return json.dumps(one) == json.dumps(other)


def edited(text: str, ways: Callable[[str], Iterator[str]], is_right: Callable[[str], bool]) -> str | None:
    """Return the text with a change made to it; None where no way of writing it is right.

    `ways` makes the change in one way after another, the first that is right being the best; it gets what the
    text says, with plain line ends. `is_right` says of a new text whether it holds what it should.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    ends = Counter(text[at - 1 : at + 1] == "\r\n" for at, c in enumerate(text) if c == "\n")
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n")
    head, body, tail = _parted(lines)
    for changed in ways(body):
        candidate = head + (changed if changed.endswith("\n") or not tail else f"{changed}\n") + tail
        whole = mark + (candidate.replace("\n", "\r\n") if ends[True] > ends[False] else candidate)
        if is_right(whole):
            return whole
    return None


def one_line(entry: dict[str, Any]) -> str:
    """An entry as it stands on one line of YAML."""
    return _dumped(_flow(entry), _writer("")).strip()


def _flow(entry: dict[str, Any]) -> CommentedMap:
    found = CommentedMap({_scalar(key): _written(value) for key, value in entry.items()})
    found.fa.set_flow_style()
    return found


def _parted(text: str) -> tuple[str, str, str]:
    """The lines of comments before what the text says, what it says, and the lines of comments behind."""
    try:
        found = [p for p in pieces(text) if (p.line, p.column) != (p.end_line, p.end_column)]
    except yaml.YAMLError:
        return "", text, ""
    if not found:
        return "", text, ""
    lines = text.splitlines(keepends=True)
    first, last = found[0].line, max(p.end_line if p.end_column else p.end_line - 1 for p in found)
    head, tail = lines[:first], lines[last + 1 :]
    return "".join(head), "".join(lines[first : last + 1]), "".join(tail)


def _written(value: object) -> object:
    if isinstance(value, dict):
        return _flow(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else _scalar(str(value))


def _scalar(text: str) -> str:
    return text if written(text) == text else DoubleQuotedScalarString(text)


def rewritten(text: str, change: Change) -> Iterator[str]:
    """Return the changed text, written in one way after another.

    `change` gets the mapping to be changed, and what makes entries of its lists.
    """
    if (as_json := _changed_json(text, change)) is not None:
        yield as_json
    try:
        writer, readable = _writer(text), _without_tabs(text)
        before, after = writer.load(readable), writer.load(readable)
        if before is None:  # comments alone
            changed = CommentedMap()
            change(changed, _flow)
            gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
            yield text + gap + _dumped(changed, writer)
            return
        change(after, _flow)
        for key in set(after) - set(before):
            if not after.fa.flow_style():
                after.yaml_set_comment_before_after_key(key, before="\n")
        old, new = _dumped(before, writer), _dumped(after, writer)
    except (YAMLError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError):
        return  # what ruamel.yaml cannot read or write
    merged = _merged(text, old, new)
    if merged is not None:
        yield merged
    yield new


def _changed_json(text: str, change: Change) -> str | None:
    """JSON, which ruamel.yaml would write on one line."""
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(root, dict):
        return None
    change(root, dict)
    second = text.lstrip().partition("\n")[2]
    width = second[: len(second) - len(second.lstrip(" \t"))] or None
    end = "\n" if text.endswith("\n") else ""
    return json.dumps(root, indent=width, ensure_ascii=False, default=str) + end


class _TextResolver(VersionedResolver):
    """Takes every plain scalar for text, so that it is written as it was: `no`, `1.10`, `0o17`, `~`."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node without one."""
        return super().resolve(kind, value, (False, False))


class _TextEmitter(Emitter):
    """Writes nothing as `null` where brackets are around it, and where it would else be quotes."""

    def choose_scalar_style(self) -> Any:
        """The quotes of the scalar in hand, or none."""
        if self.flow_level and not self.event.value and not self.event.style and self.event.implicit[0]:
            self.event.value, self.analysis = "null", None
        return super().choose_scalar_style()


def _without_tabs(text: str) -> str:
    """The text with blanks for the tabs between its tokens, which ruamel.yaml refuses there."""
    if "\t" not in text:
        return text
    lines, at, column = text.split("\n"), 0, 0
    for piece in [*pieces(text)]:
        for number in range(at, piece.line + 1):
            first = column if number == at else 0
            last = piece.column if number == piece.line else len(lines[number])
            before, between, after = lines[number][:first], lines[number][first:last], lines[number][last:]
            if not between.strip():
                lines[number] = before + between.replace("\t", " ") + after
        at, column = piece.end_line, piece.end_column
    return "\n".join(lines)


def _writer(text: str) -> YAML:
    """Reads and writes in the layout of a text, as far as it has one."""
    writer = YAML()
    writer.Resolver = _TextResolver
    writer.Emitter = _TextEmitter
    writer.preserve_quotes = True
    writer.width = 1 << 30
    mappings, sequences, gaps = Counter[int](), Counter[int](), Counter[int]()
    columns: list[int] = []
    last: yaml.Token | None = None
    for piece in pieces(text):
        token = piece.token
        if isinstance(token, yaml.BlockMappingStartToken | yaml.BlockSequenceStartToken):
            if columns and isinstance(last, yaml.BlockEntryToken):
                gaps[piece.column - columns[-1]] += 1
            elif columns and isinstance(token, yaml.BlockMappingStartToken):
                mappings[piece.column - columns[-1]] += 1
            elif columns:
                sequences[piece.column - columns[-1]] += 1
            columns.append(piece.column)
        elif isinstance(token, yaml.BlockEndToken):
            columns.pop()
        elif isinstance(token, yaml.BlockEntryToken) and isinstance(last, yaml.ValueToken):
            sequences[0] += 1
        elif isinstance(token, yaml.DocumentStartToken):
            writer.explicit_start = True
        elif isinstance(token, yaml.DocumentEndToken) and token.end_mark.index > token.start_mark.index:
            writer.explicit_end = True
        elif isinstance(last, yaml.BlockEntryToken) and columns:
            gaps[piece.column - columns[-1]] += 1
        last = token
    mapping = mappings.most_common(1)[0][0] if mappings else 2
    offset = sequences.most_common(1)[0][0] if sequences else 2
    gap = max(2, gaps.most_common(1)[0][0]) if gaps else 2
    writer.indent(mapping=mapping, sequence=offset + gap, offset=offset)
    return writer


def _dumped(value: object, writer: YAML) -> str:
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue()


def _merged(text: str, old: str, new: str) -> str | None:
    """What changed from `old` to `new`, done to the lines of `text`; None where it has no such lines.

    Comments on lines of their own stay in any case.
    """
    lines, before, after = (each.splitlines() for each in (text, old, new))
    place: dict[int, int] = {}
    first, second = (["".join(line.split()) for line in each] for each in (before, lines))
    for a, b, size in SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks():
        place.update({a + n: b + n for n in range(size or 1)})  # the last one is empty, at both ends
    found, done = list[str](), 0
    for kind, a1, a2, b1, b2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        if a1 == a2:
            start = place[a1 - 1] + 1 if a1 - 1 in place else place.get(a1)
            end = start
        else:
            spots = [place.get(n) for n in range(a1, a2)]
            start = spots[0]
            end = None if start is None else start + len(spots)
            if start is None or spots != list(range(start, start + len(spots))):
                return None
        if start is None or end is None or start < done:
            return None
        found += [*lines[done:start], *after[b1:b2], *_kept(lines[start:end], after[b1:b2])]
        done = end
    return "\n".join([*found, *lines[done:]]) + "\n"


def _kept(gone: list[str], fresh: list[str]) -> Iterator[str]:
    """Of lines that go, the comments, and the empty lines behind them that do not come again."""
    ends = len(gone)
    while ends and (not gone[ends - 1].strip() or gone[ends - 1].lstrip().startswith("#")):
        ends -= 1
    for number, line in enumerate(gone):
        is_comment = line.lstrip().startswith("#")
        if line not in fresh and (is_comment or (not line.strip() and number >= ends)):
            yield line
