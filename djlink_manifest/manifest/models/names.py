"""Names in a manifest: what a server allows, what DataJoint allows, and which names mean one table."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from djlink_manifest.model.tables.naming import MAX_NAME, class_name, is_hidden, master_of

_GLOB = re.compile(r"[*?\[]")
_CLASS = re.compile(r"[A-Z][A-Za-z0-9_]*")
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f`/\\.\s]")
_SOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def is_glob(name: str) -> bool:
    """Whether a key below `tables` stands for any number of tables."""
    return bool(_GLOB.search(name))


def identifier_fault(name: str) -> str | None:
    """Why a server would not take the name of a column or schema, as the end of a sentence; else None."""
    if not name:
        return "is empty"
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    if found := _UNUSABLE.search(name):
        shown = {" ": "a space", ".": "a dot", "`": "a backtick"}.get(found[0], "an invalid character")
        return f"contains {shown}"
    if max(name) > "\uffff":
        return "contains a character that the server does not allow"
    return None


def source_fault(name: str) -> str | None:
    """Why a source cannot have this name, as the end of a sentence; else None."""
    if name == "local":
        return "is `local`, which is reserved for the local server"
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    if not _SOURCE.fullmatch(name):
        return "must consist of letters, digits, `_` and `-`, and start with a letter"
    return None


def table_fault(name: str) -> str | None:
    """Why a key below `tables` names no table that can be linked, as the end of a sentence; else None."""
    if is_hidden(name):
        return "starts with `~`, which is reserved for tables of DataJoint and djlink"
    if is_glob(name):
        return (
            None
            if not re.search(r"[\x00-\x1f`/\\.\s]", name)
            else "contains a character that is invalid in a table name"
        )
    master = name.split(".")[0] if re.fullmatch(r"[A-Z]\w*\.[A-Z]\w*", name) else master_of(name)
    if master is not None:
        return f"is a part; parts are linked with their master, `{master}`"
    if fault := identifier_fault(name):
        return fault
    return None


def unlinkable(table: str) -> str | None:
    """Why a table that a server has cannot be linked by its name, as the end of a sentence; else None."""
    if found := _GLOB.search(table):
        return f"contains `{found[0]}`, which is a glob character in a manifest"
    return table_fault(table)


def is_class(name: str) -> bool:
    """Whether a name is spelt as a DataJoint class (`Session`), not as a table (`__session`)."""
    return bool(_CLASS.fullmatch(name))


def same_table(one: str, other: str) -> bool:
    """Whether two exact names of one schema surely mean one table: `SpikeSorting` and `__spike_sorting`."""
    if one == other:
        return True
    if is_class(one) == is_class(other):
        return False
    return class_name(one) == class_name(other)


def spellings(name: str) -> list[str]:
    """Every name that a table known by one of its names may have: a class does not tell its tier."""
    if not is_class(name):
        return [name, class_name(name)]
    bare = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return [name, *(tier + bare for tier in ("", "#", "_", "__"))]


def matches(pattern: str, name: str) -> bool:
    """Whether a glob matches a name, capitals and all. `[!x]` is any character but `x`."""
    return fnmatchcase(name, pattern)


def may_match(pattern: str, name: str) -> bool:
    """Whether a glob matches a name as written, or the class of a table's name."""
    return matches(pattern, name) or matches(pattern, class_name(name))


def weight(pattern: str) -> int:
    """How many characters of a glob are literal; what stands in `[]` is not."""
    return len(re.sub(r"\[!?\]?[^\]]*\]|[*?]", "", pattern))


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that the glob `narrow` matches is surely matched by `wide` too.

    True is a proof; False says nothing.
    """
    first, second = _pieces(wide), _pieces(narrow)
    reached = {0}
    for piece in second:
        after: set[int] = set()
        for at in _past_stars(first, reached):
            if at < len(first) and first[at] == "*":
                after.add(at)
            elif at < len(first) and piece != "*" and first[at] in {"?", piece}:
                after.add(at + 1)
        reached = after
    return len(first) in _past_stars(first, reached)


def overlap(one: str, other: str) -> bool:
    """Whether some name may match both globs. False is a proof; two sets may overlap."""
    first, second = _pieces(one), _pieces(other)
    pending, seen = [(0, 0)], set[tuple[int, int]]()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        i, j = at
        if at == (len(first), len(second)):
            return True
        one_piece, other_piece = "".join(first[i : i + 1]), "".join(second[j : j + 1])
        # a star stands for nothing, or for what the other one has next
        if one_piece == "*":
            pending += [(i + 1, j), *([(i, j + 1)] if other_piece else [])]
        elif other_piece == "*":
            pending += [(i, j + 1), *([(i + 1, j)] if one_piece else [])]
        elif one_piece and other_piece and _agree(one_piece, other_piece):
            pending.append((i + 1, j + 1))
    return False


def _agree(one: str, other: str) -> bool:
    """Whether some character may match both pieces of globs."""
    if "?" in (one, other):
        return True
    if len(one) > 1 and len(other) > 1:
        return True  # two sets
    return fnmatchcase(other, one) if len(one) > 1 else fnmatchcase(one, other)


def _pieces(pattern: str) -> list[str]:
    """The pattern's characters, sets and wildcards; in a run of wildcards `?` comes first and `*` once."""
    found: list[str] = []
    for piece in re.findall(r"\[!?\]?[^\]]*\]|[*?]+|.", pattern, re.DOTALL):
        if piece.strip("*?"):
            found.append(piece)
        else:
            found += ["?"] * piece.count("?") + ["*"] * ("*" in piece)
    return found


def _past_stars(pieces: list[str], reached: set[int]) -> set[int]:
    result = set(reached)
    for at in sorted(reached):
        after_stars = at
        while after_stars < len(pieces) and pieces[after_stars] == "*":
            after_stars += 1
            result.add(after_stars)
    return result
