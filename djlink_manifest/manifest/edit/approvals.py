"""Approvals in the text of a manifest: add an entry, take entries out; all else of the text stays."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from itertools import chain
from typing import Any

from djlink_manifest.errors import DjlinkError
from djlink_manifest.manifest.edit.edit import Item, document, edited, one_line, rewritten, same, values
from djlink_manifest.manifest.edit.splice import added, places, removed
from djlink_manifest.manifest.edit.write import comments
from djlink_manifest.manifest.models.values import Approval
from djlink_manifest.manifest.text.nodes import Items

KEY = "approvals"


class ApprovalsError(DjlinkError):
    """The approvals of a file cannot be changed by a program; nothing is written."""


def has_approvals(text: str) -> bool:
    """Whether the text has the top-level key `approvals`."""
    found = document(text)
    return found is not None and KEY in found.entries


def name_in(text: str) -> str | None:
    """Return the `name` that a text gives, which says whose its approvals are; None where it gives none."""
    name = (values(text) or {}).get("name")
    return name if isinstance(name, str) else None


def empty_approvals(name: str) -> str:
    """Return the text of a file for the approvals of one manifest, without an entry."""
    head = "# Approved deletions, as `djlink approve ADDRESS` writes them; read with the manifest beside it."
    return f"{head}\n{one_line({'name': name}).strip('{}')}\n"


def with_approval(text: str, approval: Approval, file: str) -> str:
    """Return the text with one entry more, before the others.

    Replaces an entry of the same link for the same keys: it is void, since other rows are deleted with them
    now. Raises ApprovalsError where that cannot be.
    """
    entry, before = entry_value(approval), values(text)
    by_hand = f"add it by hand, or name another file with --into:\n{KEY}:\n  - {one_line(entry)}"
    if before is None:
        raise ApprovalsError(f"{file} is not a YAML mapping, so no approval can be added", hint=by_hand)
    old = before.get(KEY)
    if not isinstance(old, list | None):
        raise ApprovalsError(f"`{KEY}` of {file} is not a list", hint=by_hand)

    place = next((n for n, each in enumerate(old or []) if _is_about(each, entry)), None)
    if place is not None and old is not None:
        replaced = _replaced(text, entry, {**before, KEY: [*old[:place], entry, *old[place + 1 :]]}, place)
        if replaced is not None:
            return replaced

    def change(root: Any, item: Item) -> None:
        approvals = root.get(KEY)
        if not isinstance(approvals, list) or not approvals:
            root[KEY] = [item(entry)]
        elif _occurrences(root, approvals) > 1:
            # what has another name elsewhere stays as it is there
            root[KEY] = [item(entry), *deepcopy(approvals)]
        else:
            approvals.insert(0, item(entry))

    wanted = {**before, KEY: [entry, *(old or [])]}
    found = edited(
        text,
        lambda body: chain(
            rewritten(body, change), added(body, KEY, [one_line(each) for each in wanted[KEY]])
        ),
        lambda new: _is(new, wanted) and not _lost(text, new),
    )
    if found is None:
        words = f"`{KEY}` of {file} has a layout that djlink cannot edit"
        raise ApprovalsError(words, hint=by_hand)
    return found


def _is_about(each: object, entry: dict[str, Any]) -> bool:
    """Whether an entry of a file names the same keys of the same link."""
    return isinstance(each, dict) and all(each.get(k) == entry.get(k) for k in ("link", "keys", "orphans"))


def _replaced(text: str, entry: dict[str, Any], wanted: dict[str, Any], place: int) -> str | None:
    """Return the text with another entry at a place of the list; None where a comment would be lost."""

    def change(root: Any, item: Item) -> None:
        approvals = root[KEY]
        if _occurrences(root, approvals) > 1:
            root[KEY] = approvals = deepcopy(approvals)
        old, new = approvals[place], item(entry)
        if getattr(old, "fa", None) is not None and not old.fa.flow_style():
            for key in [key for key in old if key not in new]:
                del old[key]
            old.update(new)  # its comments stay
        else:
            approvals[place] = new

    return edited(
        text,
        lambda body: rewritten(body, change),
        lambda new: _is(new, wanted) and not _lost(text, new),
    )


def without_approvals(text: str, lines: Collection[int], file: str) -> str:
    """Return the text without the entries that begin at these lines, counted from 1.

    Raises ApprovalsError where that cannot be.
    """
    root, before = document(text), values(text)
    node = root.get(KEY) if root is not None else None
    if before is None or not isinstance(node, Items):
        return text
    gone = {n for n, item in enumerate(node.items) if item.spot.location.line in lines}
    if not gone:
        return text
    kept = [each for n, each in enumerate(before[KEY]) if n not in gone]

    def change(root: Any, item: Item) -> None:
        approvals = root[KEY]
        if not kept:
            root[KEY] = []
        elif _occurrences(root, approvals) > 1:
            root[KEY] = [each for n, each in enumerate(deepcopy(approvals)) if n not in gone]
        else:
            for number in sorted(gone, reverse=True):
                del approvals[number]

    spans = places(text, KEY)
    within = {line for number in gone for line in spans[number]} if spans else set[int]()
    found = edited(
        text,
        lambda body: chain(removed(body, KEY, gone), rewritten(body, change)),
        lambda new: _is(new, {**before, KEY: kept}) and not _lost(text, new, within),
    )
    if found is None:
        raise ApprovalsError(
            f"`{KEY}` of {file} has a layout that djlink cannot edit",
            hint=f"delete by hand the entries that begin in line {', '.join(map(str, sorted(lines)))}",
        )
    return found


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


def _is(text: str, wanted: dict[str, Any]) -> bool:
    """Whether a text says this; what `<<` brings along comes last there, so that order does not count."""
    found = values(text)
    return found is not None and same(sorted(found.items()), sorted(wanted.items()))


def _occurrences(root: Any, wanted: Any) -> int:
    """How often the very same list or mapping is below another: as itself, and by its aliases."""
    found, pending, seen = 0, [root], set[int]()
    while pending:
        each = pending.pop()
        below = list(each.values()) if isinstance(each, dict) else list(each)
        found += sum(child is wanted for child in below)
        fresh = [c for c in below if isinstance(c, dict | list) and id(c) not in seen]
        seen.update(map(id, fresh))
        pending += fresh
    return found


def _lost(text: str, new: str, but: Collection[int] = ()) -> bool:
    """Whether a comment is gone, but for those beside a value in these lines."""
    left = [each for _, each in comments(new)]
    for line, each in comments(text):
        if each in left:
            left.remove(each)
        elif line not in but:
            return True
    return False
