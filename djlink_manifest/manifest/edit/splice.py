"""Entries put into a list in the text of a manifest, or cut out of it, where the YAML parser finds them.

For what ruamel.yaml cannot write anew in `edit`: comments within brackets, `<<` at the top, tabs, a block
text that ends the file. All else stays as it is, to the character. The caller proves that the new text says
what it should.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import yaml

from djlink_manifest.manifest.text.compose import LOADER, mark

_FLOW = (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)


def added(text: str, key: str, entries: Sequence[str]) -> Iterator[str]:
    """Return the text with the first of the entries added below a top-level key, in one way after another.

    `entries` is all that the list is to hold, each on one line.
    """
    parsed = _parsed(text)
    if parsed is None:
        return
    root, tokens = parsed
    whole = f"[{', '.join(entries)}]"
    end = next((_at(t) for t in tokens if isinstance(t, yaml.DocumentEndToken)), len(text))
    if root is None or isinstance(root, yaml.ScalarNode):
        if root is not None and root.value:
            yield text[: _at(root)] + f"{{{key}: {whole}}}" + text[_end(root) :]
        else:
            yield _with_lines(text, end, f"{key}:\n" + "".join(f"  - {each}\n" for each in entries))
        return
    if not isinstance(root, yaml.MappingNode):
        return
    found = _entry(root, key)
    if found is not None:
        yield from _into(text, tokens, found, entries[0], whole)
    elif root.flow_style:
        at = text.index("{", _at(root)) + 1
        yield text[:at] + f"{key}: {whole}" + _comma(text[at:], root) + text[at:]
    else:
        first = root.value[0][0].start_mark
        pad = " " * first.column
        lines = f"{key}:\n" + "".join(f"{pad}  - {each}\n" for each in entries)
        yield _with_lines(text, end, pad + lines)
        yield text[: first.index] + lines + pad + text[first.index :]


def removed(text: str, key: str, gone: Collection[int]) -> Iterator[str]:
    """Return the text without some entries of the list below a top-level key; nothing where it cannot be."""
    found, cuts = _listed(text, key)
    if found is None:
        return
    for number in sorted(gone, reverse=True):
        text = _without(text, *cuts[number])
    if len(gone) == len(cuts) and not found[1].flow_style:
        at = text.index(":", _end(found[0])) + 1
        text = f"{text[:at]} []{text[at:]}"
    yield text


def places(text: str, key: str) -> list[range]:
    """The lines of each entry of the list below a top-level key, from 1; none where they cannot be told."""
    plain = text.removeprefix("\ufeff")
    _, cuts = _listed(plain, key)
    return [
        range(plain.count("\n", 0, start) + 1, plain.count("\n", 0, len(plain[:end].rstrip())) + 2)
        for start, end in cuts
    ]


_List = tuple[yaml.Node, yaml.SequenceNode]


def _listed(text: str, key: str) -> tuple[_List | None, list[tuple[int, int]]]:
    """The key and its list, and where each entry of it begins and ends."""
    root, tokens = _parsed(text) or (None, [])
    name, value = (_entry(root, key) if isinstance(root, yaml.MappingNode) else None) or (None, None)
    if name is None or not isinstance(value, yaml.SequenceNode):
        return None, []
    start, end = _at(value), _end(value)
    inside = [t for t in tokens if start <= _at(t) < end and _end(t) > _at(t)]
    cuts = list(_flow_cuts(inside) if value.flow_style else _block_cuts(inside))
    return ((name, value), cuts) if len(cuts) == len(value.value) else (None, [])


def _parsed(text: str) -> tuple[yaml.Node | None, list[yaml.Token]] | None:
    """The root and the tokens of a text; None where it is not YAML."""
    try:
        return yaml.compose(text, Loader=LOADER), list(yaml.scan(text, Loader=LOADER))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _into(
    text: str, tokens: Sequence[yaml.Token], found: tuple[yaml.Node, yaml.Node], entry: str, whole: str
) -> Iterator[str]:
    name, value = found
    if isinstance(value, yaml.SequenceNode) and value.flow_style:
        at = text.index("[", _at(value)) + 1
        yield text[:at] + entry + _comma(text[at:], value) + text[at:]
    elif isinstance(value, yaml.SequenceNode):
        dash = next((t for t in tokens if isinstance(t, yaml.BlockEntryToken) and _at(t) >= _at(value)), None)
        if dash is not None:
            at, pad = _at(dash), " " * dash.start_mark.column
            yield f"{text[:at]}- {entry}\n{pad}{text[at:]}"
    elif isinstance(value, yaml.ScalarNode) and value.value:
        yield text[: _at(value)] + whole + text[_end(value) :]
    elif isinstance(value, yaml.ScalarNode):
        at = text.index(":", _end(name)) + 1
        yield f"{text[:at]} {whole}{text[at:]}"


def _entry(root: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """The key and the value that stand there themselves: neither by an alias nor by `<<`."""
    for name, value in root.value:
        if isinstance(name, yaml.ScalarNode) and name.value == key:
            return (name, value) if _at(value) >= _end(name) else None
    return None


def _block_cuts(tokens: Sequence[yaml.Token]) -> Iterator[tuple[int, int]]:
    """Each entry of a block list, from its dash to its last token."""
    dashes = [n for n, t in enumerate(tokens) if isinstance(t, yaml.BlockEntryToken)]
    column = min((tokens[n].start_mark.column for n in dashes), default=0)
    own_dashes = [n for n in dashes if tokens[n].start_mark.column == column]
    for first, after in zip(own_dashes, [*own_dashes[1:], len(tokens)], strict=True):
        yield _at(tokens[first]), _end(tokens[after - 1])


def _flow_cuts(tokens: Sequence[yaml.Token]) -> Iterator[tuple[int, int]]:
    """Each entry of a list in brackets, with the comma behind it."""
    depth, first, last = 0, -1, -1
    for token in tokens:
        depth -= isinstance(token, yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken)
        is_end = depth == 0 and isinstance(token, yaml.FlowSequenceEndToken)
        if is_end or (depth == 1 and isinstance(token, yaml.FlowEntryToken)):
            if first >= 0:
                yield first, last if is_end else _end(token)
            first = -1
            if is_end:
                return
        elif depth >= 1:
            first, last = (_at(token) if first < 0 else first), _end(token)
        depth += isinstance(token, _FLOW)


def _without(text: str, start: int, end: int) -> str:
    """The text without a stretch, nor lines that are empty then."""
    line = text.rfind("\n", 0, start) + 1
    rest = re.compile(r"[ \t]*\n?").match(text, end)
    behind = rest.end() if rest else end
    if not text[line:start].strip() and text[behind - 1 : behind] == "\n":
        return text[:line] + text[behind:]
    return text[:start] + text[end:].lstrip(" ")


def _comma(rest: str, of: yaml.CollectionNode) -> str:
    """What stands between a new first entry and the rest of what is in the brackets."""
    if not of.value:
        return ""
    return "," if rest[:1].isspace() else ", "


def _with_lines(text: str, at: int, lines: str) -> str:
    before = text[:at] if not text[:at] or text[:at].endswith("\n") else text[:at] + "\n"
    return before + lines + text[at:]


def _at(place: yaml.Node | yaml.Token) -> int:
    return mark(place).index


def _end(place: yaml.Node | yaml.Token) -> int:
    return mark(place, end=True).index
