"""Hints of the core, which speak of a manifest, for links that decorators made."""

from __future__ import annotations

import re

from djlink_manifest.model.next_steps import COMMAND

_STORES = re.compile(
    r"write `stores: \{(?P<store>\"(?:[^\"\\]|\\.)*\"|[^:}]+): <local store>\}`(?P<rest>.*)", re.DOTALL
)
_SETTINGS = re.compile(r"below `sources\..*\.store_settings` write `(?P<store>[^`]+):` with .*", re.DOTALL)
_MANIFESTS_ONLY = re.compile(
    r"(?:; (?:to take it over|if they are correct[^:]*): `djlink adopt .*|\. To move the table: .*)$"
)
_ORPHANS = re.compile(
    r"`djlink approve [^`]* --orphans` lists (?:them )?and approves "
    r"(?:them|deleting (?:them locally|their local copies))"
)
_DROPPED = re.compile(r"write `removed: [^`]*`; else ask")
_RUN = re.compile(rf"(?:run )?{COMMAND.pattern}")
_CALLS = {
    "adopt": "call adopt()",
    "apply": "call pull()",
    "plan": "call status()",
    "status": "call status()",
    "requests": "`DeletionRequested`",
    "approve": "`delete()`",
}
_CALLED = {
    "link it again, run `djlink adopt ADDRESS` for it, then remove it": "call adopt(), then remove it",
    "`djlink doctor` names the missing privilege": "ask the administrator of the local server for it",
    "run `djlink doctor`, which prints the GRANT statements that are missing": "ask the server's "
    "administrator for the missing privilege",
    "run `djlink doctor`, which says what is wrong with the owner's views": "ask the server's administrator "
    "to look at the owner's views",
    " (`djlink doctor`)": "",
    "`djlink apply --verify` updates that row, and the next apply pulls them": "delete that row and pull it "
    "again, then pull these",
    "`djlink apply --verify` adds those rows, and the next apply pulls them": "delete those entities and "
    "pull them again, then pull these",
    "run `djlink apply` to update those links, then `djlink apply --verify` again": "pull those links first",
    "; once those rows are pulled, run `djlink apply --verify` again": "",
    ", then run `djlink apply --verify` again": "",
    "set `changed: mend` for this link; `djlink apply --verify` then updates them to the source's values": ""
    "delete them and pull them again, to have the source's values",
    "; or state `local: {identity: NAME}` in the manifest": "",
    "exclude it (`exclude`), or ask": "ask",
    "remove it from the manifest, or ask": "ask",
    "remove it from the manifest if it no longer exists": "unlink it if it no longer exists",
    "remove one of these links from the manifest, or exclude it (`exclude`)": "unlink one of them",
    ", or exclude it (`exclude`)": "",
    ", or remove it from the manifest": "",
    "exclude it (`exclude`)": "it cannot be linked in its present form",
    "remove it from the manifest": "it cannot be linked in its present form",
    "choose another local schema with `schema_name`": "give Link another local schema",
    "choose another name with `outbound_table`, or another outbound schema": "give Link another `outbound`",
    "name another local schema (`schema_name`) or another local store (`stores`)": "give Link another local "
    "schema, or `stores` with another local store",
    ", or name another store in the manifest": ", or give Link `source_stores`",
    "exclude these entities with `where`": "exclude these entities by a restriction",
    "restore the former `schema_name`": "give Link its former local schema",
    "use that server, or give this manifest another name and outbound schema": "use that server, or give "
    "Link another `outbound`",
    "or write `table: keep`": 'or call unlink(table="keep")',
    "write `table: keep`": 'call unlink(table="keep")',
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
            "or the name of a store of DataJoint's configuration"
        )
    hint = _MANIFESTS_ONLY.sub("", hint)
    hint = _DROPPED.sub("ask for the same privilege on the whole schema; else ask", hint)
    for words, python_words in _CALLED.items():
        hint = hint.replace(words, python_words)
    hint = _ORPHANS.sub("delete() deletes them locally", hint)
    return _RUN.sub(lambda found: _CALLS.get(found["verbs"], found[0]), hint)
