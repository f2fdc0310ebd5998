"""One entity explained: where it is, what decides about it, what would be done and what is in the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeAlias

from djlink_manifest.model.links.entity import Presence

KeyText: TypeAlias = "tuple[tuple[str, str], ...]"
"""The key's columns and their values as text, in key order."""


@dataclass(frozen=True, slots=True)
class Records:
    """What stands beside the rows on the source's server; all in UTC."""

    pulled_at: datetime | None = None
    requested_at: datetime | None = None
    requested_by: str = ""
    reason: str = ""
    granted_at: datetime | None = None
    approved_at: datetime | None = None
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that has a say, and what it says.

    `rule` is the manifest's word or what the Literal names; `holds` tells whether it lets the
    entity be wanted (or pulled); `place` is where the manifest says so. A reason that comes of another
    entity names it (`parent`, `key`), and `because` has what decides there, unless that is told before it
    (`repeated`).
    """

    rule: Literal["where", "pull", "foreign key", "needed by", "request", "unique key", "local rule"]
    holds: bool
    words: str
    parent: str = ""
    key: KeyText = ()
    because: tuple[Reason, ...] = ()
    place: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """One entity of a link. `key` is as the server has it where it is anywhere, else as it was asked for.

    `equal` tells whether all its rows are the same on both sides, None where they are not on both. `step` is
    what the state table says; what an apply would do of it stands in a plan.
    """

    address: str
    key: KeyText
    presence: Presence
    state: str
    wanted: bool
    pullable: bool
    step: str
    equal: bool | None
    records: Records = field(default_factory=Records)
    reasons: tuple[Reason, ...] = ()


def distinct_reasons(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The reasons, each once, with what decides about another entity told at its first mention alone.

    Several ways lead to an ancestor, and their number doubles with each layer of diamonds.
    """
    return _distinct_reasons(reasons, set())


def _distinct_reasons(reasons: Iterable[Reason], told: set[tuple[str, str, KeyText]]) -> tuple[Reason, ...]:
    found, beside = list[Reason](), set[tuple[object, ...]]()
    for each in reasons:
        same = (each.rule, each.holds, each.words, each.parent, each.key, each.place)
        if same in beside:
            continue
        beside.add(same)
        mention = (each.rule, each.parent, each.key)
        if not each.because:
            found.append(each)
        elif mention in told:
            found.append(replace(each, because=(), repeated=True))
        else:
            told.add(mention)
            found.append(replace(each, because=_distinct_reasons(each.because, told)))
    return tuple(found)
