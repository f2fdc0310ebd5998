"""The columns and functions that a checked condition names, to be compared with a table and a vendor."""

from __future__ import annotations

from djlink_manifest.manifest.conditions.tokens import (
    Token,
    bare,
    folded_name,
    is_literal,
    is_number,
    is_opening,
    is_operator,
    is_other,
    neighbors,
    spelled,
    tokens_of,
)
from djlink_manifest.model.vendors.condition_words import GROUPING


def column_names(text: str) -> tuple[Token, ...]:
    """The names of columns that a checked condition uses, each once; qualifiers before a `.` are left out."""
    found = dict[str, Token]()
    for before, token, following in neighbors(list(tokens_of(text))):
        if token.kind not in {"word", "name"} or is_opening(following) or is_other(following, "."):
            continue
        if token.kind == "word" and is_number(token):
            continue
        if token.kind == "word" and not is_other(before, "."):
            introduces = token.text.startswith("_") and following.kind in {"string", "word"}
            if introduces or is_literal(token, following) or is_operator(before, token):
                continue
        found.setdefault(folded_name(bare(token)), Token("name", bare(token), token.at))
    return tuple(found.values())


def functions_called(text: str) -> tuple[Token, ...]:
    """The functions that a checked condition calls, as its words."""
    return tuple(
        token
        for _, token, following in neighbors(list(tokens_of(text)))
        if token.kind == "word" and is_opening(following) and spelled(token) not in GROUPING
    )
