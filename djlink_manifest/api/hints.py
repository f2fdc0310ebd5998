"""Hints of the core, which speak of a manifest, for links that decorators made."""

from __future__ import annotations

import re

_STORES = re.compile(
    r"write `stores: \{(?P<store>\"(?:[^\"\\]|\\.)*\"|[^:}]+): <local store>\}`(?P<rest>.*)", re.DOTALL
)
_SETTINGS = re.compile(r"below `sources\..*\.store_settings` write `(?P<store>[^`]+):` with .*", re.DOTALL)
_MANIFESTS_ONLY = re.compile(
    r"(?:; (?:to take it over|if they are right[^:]*|moved here for good): djlink adopt .*"
    r"|\. To move it: .*)$"
)
_CALLED = {
    "leave it out (`exclude`), or let": "let",
    "take it out of the manifest, or let": "let",
    "take it out of the manifest if it is gone": "unlink it if it is gone",
    "take one of these links out of the manifest, or leave it out (`exclude`)": "unlink one of them",
    ", or leave it out (`exclude`)": "",
    ", or take it out of the manifest": "",
    "leave it out (`exclude`)": "it cannot be linked as it is",
    "take it out of the manifest": "it cannot be linked as it is",
    "choose another local schema with `schema_name`": "give Link another local schema",
    "choose another name with `outbound_table`, or another outbound schema": "give Link another `outbound`",
    "name another local schema (`schema_name`) or another local store (`stores`)": "give Link another local "
    "schema, or `stores` with another local store",
    ", or say where else in the manifest": ", or give Link `source_stores`",
    "or leave these entities out with `where`": "or leave these entities out by a restriction",
    "keep `schema_name` as it was": "give Link the local schema that it had",
    "work on the server it was made for, or give this manifest another name and outbound schema": "work on "
    "the server it was made for, or give Link another `outbound`",
    "or write `table: keep`": 'or say unlink(table="keep")',
    "write `table: keep`": 'say unlink(table="keep")',
}


def in_python(hint: str | None) -> str | None:
    """A hint in the words of `Link` and of a linked class."""
    if hint is None:
        return None
    if found := _STORES.fullmatch(hint):
        store = found["store"] if found["store"].startswith('"') else f'"{found["store"]}"'
        return f'give Link stores={{"<local store>": {store}}}{found["rest"]}'
    if found := _SETTINGS.fullmatch(hint):
        return (
            f'give Link source_stores={{"{found["store"]}": {{"protocol": ..., "location": ...}}}}, '
            "or there the name of a store of DataJoint's configuration"
        )
    hint = _MANIFESTS_ONLY.sub("", hint)
    for words, ours in _CALLED.items():
        hint = hint.replace(words, ours)
    return hint
