"""Names: DataJoint's classes and tables, and the tables that djlink makes.

DataJoint writes a table's tier into its name (`#lookup`, `_imported`, `__computed`) and joins a part to its
master with two underscores.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

MAX_NAME = 64  # MySQL's and MariaDB's limit for a table or schema, in characters
MAX_BASE = 40  # leaves room for the longest suffix, `_deletion_requested`

REQUESTED = "_deletion_requested"
APPROVED = "_deletion_approved"
HISTORY = "_history"
SUFFIXES = (REQUESTED, APPROVED, HISTORY)
LOCAL_REQUESTED_PART = "deletion_requested"
CONSTRAINT = "djlink_"  # what the names of djlink's foreign keys begin with
MARKS = "~djlink"
LINEAGE = "~lineage"

_WORD = r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*"
_PART = re.compile(rf"^(?P<master>(?:|#|_|__){_WORD})__(?P<part>{_WORD})$")
_TIER = re.compile(r"^(?:#|__|_)(?=[A-Za-z])")


def master_of(table: str) -> str | None:
    """The name of the master table where `table` is named like a part, else None."""
    match = _PART.match(table)
    return match["master"] if match else None


def plain_name(table: str) -> str:
    """The table's name without the prefix of its tier, as a Manual table would be called."""
    return _TIER.sub("", table)


def class_name(table: str) -> str:
    """The DataJoint class of a table: `__spike_sorting` → `SpikeSorting`, `session__trial` → `Session.Trial`.

    A table that DataJoint did not name (`MyTable`) keeps its name.
    """
    bare = plain_name(table)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", bare):
        return bare
    return ".".join(
        "".join(word[:1].upper() + word[1:] for word in each.split("_")) for each in bare.split("__")
    )


def is_hidden(table: str) -> bool:
    """Whether the table is DataJoint's or djlink's own bookkeeping."""
    return table.startswith("~")


def shortened(name: str, limit: int = MAX_NAME) -> str:
    """The name itself, or, where it is longer than `limit`, its start and 8 hex digits of its hash."""
    return name if len(name) <= limit else f"{name[: limit - 9]}_{_hash8(name)}"


def outbound_base(schema: str, table: str) -> str:
    """The base name of a link's outbound tables: `ephys` and `_recording` → `ephys_recording`.

    Runs of `_` are made single; over 40 characters it ends in 8 hex digits of the full name's hash.
    """
    base = re.sub(r"_+", "_", f"{schema}_{table.lstrip('#')}").strip("_")
    return base if len(base) <= MAX_BASE else _hashed(base, schema, table)


def outbound_names(
    tables: Iterable[tuple[str, str]], marked: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], str]:
    """Base names for (schema, table) pairs that share one outbound schema, none of them equal.

    `marked` holds the names already in use for some of the pairs; these stay. Of those that collide, all end
    in a hash, so that no name depends on the order.
    """
    pairs = sorted(set(tables))
    names = {pair: marked.get(pair) or outbound_base(*pair) for pair in pairs}
    taken = Counter(names.values())
    beside = {name + suffix for name in taken for suffix in SUFFIXES}

    def collides(name: str) -> bool:
        # `session_history` is a link's outbound table, or the ledger of the link `session`
        return taken[name] > 1 or name in beside or any(name + suffix in taken for suffix in SUFFIXES)

    return {
        pair: name if pair in marked or not collides(name) else _hashed(name, *pair)
        for pair, name in names.items()
    }


def constraint_name(*words: str) -> str:
    """A foreign key's name, the same for the same words, unique in its schema in practice (64 bits)."""
    return CONSTRAINT + hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def beside_source(table: tuple[str, str], key: str) -> Literal["held", "along"] | None:
    """What a foreign key named `key` of a table, (schema, table), makes of it, where a djlink made both.

    "held": it is an outbound table, whose rows keep those that they refer to; "along": a table of requests or
    approvals, whose rows go with them. None for any other table.
    """
    if key != constraint_name(*table):
        return None
    return "along" if table[1].endswith((REQUESTED, APPROVED)) else "held"


def source_of(address: str) -> str:
    """The source that a link's address names; in Python it is called like its host, and may have dots."""
    return address.rsplit(".", 2)[0]


Side = Literal["source", "local"]


def lock_name(link_id: str, side: Side) -> str:
    """The name of the advisory lock that a link has on a side.

    The two sides may be one server, where one session holds the one lock and another session the other. All
    djlinks of a link agree on which server is which side, so that they meet at the same two names.
    """
    begin = "djlink:" if side == "source" else "djlink-local:"
    return begin + hashlib.sha256(link_id.encode()).hexdigest()[:32]


def _hashed(base: str, schema: str, table: str) -> str:
    return f"{base[: MAX_BASE - 9].rstrip('_')}_{_hash8(f'{schema}.{table}')}"


def _hash8(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
