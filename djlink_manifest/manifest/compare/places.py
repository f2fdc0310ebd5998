"""Compare what two manifests say beside links: servers, stores, the name, approvals and removals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from djlink_manifest.errors import Location
from djlink_manifest.manifest.compare.changes import Change
from djlink_manifest.manifest.models.servers import ServerSpec, TlsSpec
from djlink_manifest.manifest.models.values import Approval, Manifest, Removed, SourceSpec
from djlink_manifest.model.counting import counted

_OTHER_SERVER = (
    "djlink connects to this server instead: links whose tables and marks are not there are refused, or made "
    "anew"
)
_SERVER = {
    "host": (_OTHER_SERVER, True),
    "port": (_OTHER_SERVER, True),
    "user": ("djlink logs in with this account, which needs the same privileges", True),
    "password": ("djlink logs in with the password that this names", True),
    "tls": ("how the connection is encrypted and verified changes", True),
    "identity": ("the marks know the local server by another name: see what the plan says of it", True),
    "datajoint": ("what is not written in `local` comes from DataJoint's configuration, or no longer", True),
    "outbound": (
        "djlink looks for the outbound tables in this schema: links whose tables are in the former one are "
        "blocked",
        True,
    ),
    "store_settings": ("the source's objects are read from these stores", True),
}


def place_changes(old: Manifest, new: Manifest) -> Iterator[Change]:
    """Yield what differs beside links."""
    yield from _head(old, new)
    yield from _server(
        "local", old.local, new.local, ("host", "port", "user", "password", "tls", "identity", "datajoint")
    )
    before, after = ({source.name: source for source in each.sources} for each in (old, new))
    for name in sorted({*before, *after}):
        yield from _source(f"sources.{name}", before.get(name), after.get(name))
    yield from _removals(old, new)
    yield from _approvals(old.approvals, new.approvals)


def _head(old: Manifest, new: Manifest) -> Iterator[Change]:
    top = new.local.origin.tree.spot.location
    if old.name != new.name:
        words = (
            "all that the manifest linked belongs to the former name: its tables are refused until "
            "`djlink adopt ADDRESS` takes them over"
        )
        yield Change(
            "changed", ("name",), words, "name", before=old.name, after=new.name, is_risky=True, location=top
        )
    if old.contact != new.contact:
        words = "the owners of the sources see this address beside what is held"
        yield Change(
            "changed",
            ("contact",),
            words,
            "contact",
            before=old.contact or None,
            after=new.contact or None,
            location=top,
        )


def _source(place: str, old: SourceSpec | None, new: SourceSpec | None) -> Iterator[Change]:
    if new is None:
        if old is not None:
            words = "djlink connects to this server no more; what is held there stays held"
            yield Change("removed", (place,), words, is_risky=True, location=old.location)
    elif old is None:
        words = f"djlink connects to {new.host} and logs in as {new.user}"
        yield Change("added", (place,), words, is_risky=True, location=new.location)
    else:
        keys = ("host", "port", "user", "password", "tls", "outbound", "store_settings")
        yield from _server(place, old, new, keys)


def _server(place: str, old: ServerSpec, new: ServerSpec, keys: Sequence[str]) -> Iterator[Change]:
    for key in keys:
        before, after = _shown(key, old), _shown(key, new)
        if getattr(old, key) == getattr(new, key):
            continue
        words, is_risky = _SERVER[key]
        yield Change(
            "changed",
            (place,),
            words,
            key,
            before=before,
            after=after,
            is_risky=is_risky,
            location=new.place_of(key),
        )


def _shown(key: str, server: ServerSpec) -> str | None:
    """A setting as it may be printed: references as they stand, and of stores only the names."""
    value: Any = getattr(server, key)
    if value is None or value == ():
        return None
    if key == "store_settings":
        return ", ".join(store.name for store in value)
    if isinstance(value, TlsSpec):
        return ", ".join(f"{name} {file}" for name, file in value.model_dump().items() if file)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _removals(old: Manifest, new: Manifest) -> Iterator[Change]:
    """What is no link that the old manifest declared, too: links that were forgotten, and parts."""
    before, after = ({entry.address: entry for entry in each.removed} for each in (old, new))
    for address in sorted({*before, *after}):
        one, other = before.get(address), after.get(address)
        if (one and one.table) == (other and other.table):
            continue
        if other is None:
            assert one is not None
            words = "nothing is taken out by it any more"
            yield Change("changed", (address,), words, "removed", before=one.table, location=one.location)
        else:
            yield Change(
                "changed",
                (address,),
                _removal_words(other),
                "removed",
                before=one.table if one else None,
                after=other.table,
                is_risky=other.table == "drop",
                location=other.location,
            )


def _removal_words(entry: Removed) -> str:
    if entry.master is not None:
        return "the local part, which the source has no more, " + (
            "is dropped with its rows" if entry.table == "drop" else "stays, as an ordinary table"
        )
    tables = (
        "the local tables are dropped" if entry.table == "drop" else "the local tables stay, as ordinary ones"
    )
    return f"the link is taken out: the source may delete its rows again, and {tables}"


def _approvals(old: Sequence[Approval], new: Sequence[Approval]) -> Iterator[Change]:
    before, after = ({_approval_key(each): each for each in some} for some in (old, new))
    for key in sorted({*before, *after}):
        if key in before and key in after:
            continue
        each = after.get(key) or before[key]
        along = "".join(f", with {count:,} of {address}" for address, count in each.along)
        noun = counted(each.count, "local row" if each.orphans else "row")
        what = f"{noun} without a source row" if each.orphans else f"{noun} whose deletion is requested"
        if key in after:
            words = f"the next apply deletes {what}{along}; approved by {each.by} on {each.date}"
            yield _approval(each, "added", words, each.location)
        else:
            words = f"the approval of {what}{along} is taken back, unless it was carried out"
            yield _approval(each, "removed", words, each.location)


def _approval(each: Approval, kind: Any, words: str, location: Location) -> Change:
    return Change(
        kind, (each.link,), words, "approvals", after=each.keys, is_risky=kind == "added", location=location
    )


def _approval_key(each: Approval) -> tuple[str, str, str, int, bool]:
    return each.link, each.keys, each.until, each.count, each.orphans
