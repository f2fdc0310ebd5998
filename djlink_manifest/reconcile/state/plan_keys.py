"""The sets of keys that a plan counted, kept while its job is open: what came later is told from them."""

from __future__ import annotations

import hashlib
import secrets
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeAlias

Key: TypeAlias = "tuple[bytes | None, ...]"  # a primary key, as servers send it
SALT = secrets.token_bytes(16)  # of this process: nobody can aim at a key of the set


def _text(key: Key) -> bytes:
    """A key as bytes that no other key gives."""
    return b"".join(b"~" if value is None else b"%d:%b" % (len(value), value) for value in key)


def _digest(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=SALT).digest(), "big")


class KeyDigests:
    """Some keys of one link, eight bytes each: a digest of each key, in order.

    `digest` is one of the whole set, in hex: the same in every process, and whatever the order of the keys.
    It is empty for no keys.
    """

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        short, whole = array("Q"), list[bytes]()
        for key in keys:
            text = _text(key)
            short.append(_digest(text))
            whole.append(hashlib.blake2b(text, digest_size=32).digest())
        self._digests = array("Q", sorted(short))
        self.digest = _of_all(whole)

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, key: Key) -> bool:
        digest = _digest(_text(key))
        place = bisect_left(self._digests, digest)
        return place < len(self._digests) and self._digests[place] == digest

    def within(self, *others: KeyDigests) -> bool:
        """Whether each key is in one of the other sets."""
        missing = set(self._digests)
        for other in others:
            missing.difference_update(other._digests)
        return not missing

    def among(self, keys: Sequence[Key]) -> list[Key]:
        """Those of some keys that are in the set, in their order."""
        return [key for key in keys if key in self]


def _of_all(digests: list[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest() if digests else ""


NO_KEYS = KeyDigests()


@dataclass(frozen=True, slots=True)
class ClosureKeys:
    """Entities of a link that can go, and by link the others that go along with them."""

    own: KeyDigests = NO_KEYS
    along: Mapping[str, KeyDigests] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.own)

    @property
    def digest(self) -> str:
        """One digest of all that goes, of every link; empty where nothing of the link goes."""
        if not self.own:
            return ""
        each = sorted((address, keys.digest) for address, keys in self.along.items() if keys)
        words = [self.own.digest, *("\0".join(pair) for pair in each)]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()

    def strangers(self, going: Mapping[str, Sequence[Key]]) -> list[str]:
        """The links of which other entities than these would go along."""
        return [a for a, keys in going.items() if len(self.along.get(a, NO_KEYS).among(keys)) < len(keys)]


NO_CLOSURE = ClosureKeys()


@dataclass(frozen=True, slots=True)
class PlanKeys:
    """What a plan saw of one link, by what its actions do with it.

    `granted` and `requested` are the requested entities that can go, claimed or not, `earlier` those of
    `requested` that were asked for up to a moment that an approval names; `unwanted` those that go
    as they are no longer wanted, `unwanted_alone` those of them to which no row refers; `gone` the requested
    ones that are gone locally; `released` those held, gone locally and not to come again; `lost` those that a
    table made anew lacks and that cannot come; `mended` those approved, yet held; `orphans` the local rows
    without a source row that can go.
    """

    granted: ClosureKeys = NO_CLOSURE
    requested: ClosureKeys = NO_CLOSURE
    unwanted: KeyDigests = NO_KEYS
    unwanted_alone: KeyDigests = NO_KEYS
    gone: KeyDigests = NO_KEYS
    released: KeyDigests = NO_KEYS
    lost: KeyDigests = NO_KEYS
    mended: KeyDigests = NO_KEYS
    orphans: ClosureKeys = NO_CLOSURE
    earlier: Mapping[str, ClosureKeys] = field(default_factory=dict)

    def requested_until(self, until: str | None) -> ClosureKeys:
        """The requested entities that can go, as far as they were asked for up to a moment."""
        return self.earlier.get(until or "", self.requested)

    @property
    def lets_go(self) -> bool:
        """Whether outbound rows go of what is gone locally, and so what hangs on these may go."""
        return any(map(len, (self.gone, self.released, self.lost, self.mended)))


NOTHING_SEEN = PlanKeys()


def joined(one: PlanKeys, other: PlanKeys) -> PlanKeys:
    """The sets of two observations of a link that looked at different ones."""
    return PlanKeys(**{f.name: getattr(one, f.name) or getattr(other, f.name) for f in fields(PlanKeys)})


def requested_set(until: str | None) -> str:
    """The name of the set of what was requested up to a moment that an approval names."""
    return f"requested until {until}"


def set_digests(keys: PlanKeys) -> dict[str, str]:
    """The digests of the sets that are not empty, by name. No key can be read from them."""
    found = {f.name: getattr(keys, f.name).digest for f in fields(PlanKeys) if f.name != "earlier"}
    found |= {requested_set(until): each.digest for until, each in keys.earlier.items()}
    return {name: digest for name, digest in found.items() if digest}
