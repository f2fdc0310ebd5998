"""One value written as YAML in the many ways that people and programs write it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

PLAIN = (
    "Session",
    "no",
    "1.10",
    "0o17",
    "1_000",
    "12:30",
    "2026-01-01",
    "~",
    "null",
    "Null",
    "true",
    "17",
    "0x1F",
    "a b",
)
QUOTED = (
    "",
    "no",
    "null",
    "1.10",
    "# x",
    "a: b",
    "{x}",
    "it's",
    'say "so"',
    "ünï ☃",
    "*",
    "&a",
    "- x",
    "?",
    "tab\there",
)


class Bare(str):
    """A scalar as it stands in the text, without quotes."""


KEYS = st.one_of(
    st.sampled_from(["name", "x-old", "sources", "local", "lab_a", "tables", "where"]).map(Bare),
    st.sampled_from(QUOTED[1:]),
)
SCALARS = st.one_of(st.sampled_from(PLAIN).map(Bare), st.sampled_from(QUOTED))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
ROOTS = st.dictionaries(KEYS.filter(lambda key: key != "approvals"), VALUES, max_size=4)


class Style:
    """How one text is written: a layout for all of it, and choices on the way."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.indent = draw(st.sampled_from([1, 2, 3, 4, 8]))
        self.offset = draw(st.sampled_from([0, 2, 4]))
        self.gap = draw(st.sampled_from([" ", "   "]))
        self.commented = draw(st.booleans())
        self.flowing = draw(st.sampled_from(["never", "sometimes", "always"]))
        self.number = 0

    def comment(self) -> str:
        """A comment of its own text, or none."""
        if not self.commented or not self.draw(st.booleans()):
            return ""
        self.number += 1
        return f"  # note {self.number}"

    def scalar(self, value: str) -> str:
        """A scalar in one of its spellings."""
        if isinstance(value, Bare):
            return str(value)
        if "\t" not in value and self.draw(st.booleans()):
            return "'" + value.replace("'", "''") + "'"
        return json.dumps(value, ensure_ascii=False)

    def flow(self, value: Any) -> str:
        """A value in brackets."""
        gap = self.draw(st.sampled_from(["", " ", "\n        "]))
        if isinstance(value, dict):
            inner = f",{gap or ' '}".join(f"{self.scalar(k)}: {self.flow(v)}" for k, v in value.items())
            return f"{{{gap}{inner}{gap}}}"
        if isinstance(value, list):
            return f"[{gap}" + f",{gap or ' '}".join(map(self.flow, value)) + f"{gap}]"
        return self.scalar(value)

    def block(self, value: Any, column: int) -> list[str]:
        """The lines of a mapping or list that is not empty."""
        lines = []
        before = " " * column
        for key, each in value.items() if isinstance(value, dict) else ((None, item) for item in value):
            head = f"{before}{self.scalar(key)}:" if key is not None else f"{before}-"
            if self.commented and self.draw(st.booleans()):
                self.number += 1
                lines.append(f"{before}# note {self.number}")
            if not isinstance(each, dict | list) or not each or self.is_flow():
                lines.append(f"{head} {self.flow(each)}{self.comment()}")
            elif key is None:
                below = self.block(each, column + 1 + len(self.gap))
                if below[0].lstrip().startswith("#"):
                    lines += [head, *below]
                else:
                    lines += [f"{head}{self.gap}{below[0].lstrip()}", *below[1:]]
            else:
                step = self.indent if isinstance(each, dict) else self.offset
                lines += [f"{head}{self.comment()}", *self.block(each, column + step)]
            if self.draw(st.integers(0, 5)) == 0:
                lines.append("")
        return lines

    def is_flow(self) -> bool:
        """Whether a mapping or list stands in brackets."""
        return self.flowing == "always" or (self.flowing == "sometimes" and bool(self.draw(st.booleans())))


@st.composite
def manifests(draw: Any, approvals: Any) -> str:
    """The text of a mapping, with what `approvals` draws below that key; without the key for `...`."""
    root, given = dict(draw(ROOTS)), draw(approvals)
    if given is not ...:
        items = list(root.items())
        items.insert(draw(st.integers(0, len(items))), (Bare("approvals"), given))
        root = dict(items)
    kind = draw(st.sampled_from(["block", "block", "block", "flow", "json"]))
    if kind == "json" and isinstance(given, str):
        root["approvals"] = None
    if kind == "json":
        indent = draw(st.sampled_from([None, 1, 2, 4]))
        end = str(draw(st.sampled_from(["", "\n"])))
        return json.dumps(root, indent=indent, ensure_ascii=draw(st.booleans())) + end
    style = Style(draw)
    lines = style.block(root, 0) if kind == "block" and root else style.flow(root).split("\n")
    if draw(st.booleans()):
        lines = ["# the top", draw(st.sampled_from(["", "---"])), *lines]
    lines += draw(st.sampled_from([[], ["# the end"], [""], ["..."], ["", "# the end", ""]]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text: str = "\n".join(lines).replace("\n", end) + draw(st.sampled_from(["", end]))
    return str(draw(st.sampled_from(["", "\ufeff"]))) + text
