"""External values: what a column says of its store, what a row says of its object, where the object goes.

DataJoint keeps such a value in a store and, in the row, JSON with the store's name, the object's path and
what it knows of it. An object is found by the hash of its content (`<blob@>`, `<attach@>`, `<hash@>`), by a
path that names schema, table and key (`<object@>`, `<npy@>`), or where its owner put it (`<filepath@>`).
Everything here is a pure function of the row's JSON and the stores' layouts: the same row goes to the same
place in every run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from djlink_manifest.model.stores.path import BadPath, StorePath, store_path
from djlink_manifest.model.stores.store import ANY, DEFAULT, INLINE, Store
from djlink_manifest.model.tables.definition import Column, TableDefinition

HASHED = frozenset({"blob", "attach", "hash"})
INLINABLE = frozenset({"blob", "attach"})
_BUILT_IN = HASHED | {"object", "npy", "filepath"}

_COMMENT = re.compile(r":<(?P<codec>[^@>:]+)(?:@(?P<store>[^>:]*))?>:(?P<rest>.*)", re.DOTALL)
_LEGACY = re.compile(r":(?:(?:blob|attach|filepath)@[^:]*|external[^:]*):")
_CODEC = re.compile(r"\w[\w.-]{0,63}")
_HASH = re.compile(r"[a-z2-7]{26}")
_MOST_BYTES = 1 << 63  # no store holds more in one object


@dataclass(frozen=True, slots=True)
class External:
    """A column whose values are kept in a store. `store` is None where only the rows name it."""

    codec: str
    store: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """The table that an object belongs to, at the source and here."""

    source_schema: str
    source_table: str
    local_schema: str
    local_table: str


@dataclass(frozen=True, slots=True)
class Transport:
    """An object to be brought: from a path of a source's store to a path of a local one.

    Where the value goes into the row, `path` is the table's. `hash` is the content's, `size` what the row
    says; `shared` tells that the object's owner chose its path, so that another may stand there.
    """

    source: str
    source_path: str
    local: str
    path: str
    hash: str | None = None
    size: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a row says of its object, checked: `said` is the row's JSON, of which nothing else may be trusted.

    `size` is None for a folder, and where the row says none.
    """

    path: StorePath
    store: str
    hash: str | None
    size: int | None
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """How many external objects there are, their bytes, and how many of them say no size."""

    count: int = 0
    bytes: int = 0
    unsized: int = 0


NO_OBJECTS = ObjectCounts()


class BadObject(ValueError):
    """What a row says of its object cannot be followed; the message says why, and repeats no value."""


_NOT_WRITTEN = "its metadata is not in DataJoint's format"


def external_of(column: Column) -> External | None:
    """What the column says of its store, or None where its values stand in the row."""
    found = _COMMENT.match(column.comment)
    if found is None or column.base_type != "json":
        return None
    codec, store = found["codec"].strip(), found["store"]
    if store is None:
        # a codec of the lab's own may name a store by itself
        return None if codec in _BUILT_IN else External(codec, None)
    return External(codec, store.strip() or DEFAULT)


def is_codec(name: str) -> bool:
    """Whether the name of a column's codec may become part of paths."""
    return _CODEC.fullmatch(name) is not None


def is_legacy(column: Column) -> bool:
    """Whether the column's external values are as DataJoint before 2.0 kept them."""
    return _LEGACY.match(column.comment) is not None


def external_columns(table: TableDefinition) -> tuple[tuple[Column, External], ...]:
    """The columns of one table whose values are kept in stores."""
    found = [(column, external_of(column)) for column in table.columns]
    return tuple((column, external) for column, external in found if external is not None)


def is_plain_json(column: Column) -> bool:
    """Whether the column holds JSON of the lab's own, and no object's."""
    return column.base_type == "json" and external_of(column) is None


def is_inline(column: Column, local_table: TableDefinition) -> bool:
    """Whether an external column of the source stands in the row here."""
    return external_of(column) is not None and local_table.column(column.name).base_type != "json"


def housed(column: Column, external: External, local: str) -> Column:
    """The column as it stands here: with the local store's name, or with the values in the row (`inline`)."""
    found = _COMMENT.match(column.comment)
    assert found is not None, "asked of external columns alone"
    if local == INLINE:
        column = replace(column, charset=None, collation=None)
        return replace(column, type="longblob", comment=f":<{external.codec}>:{found['rest']}")
    return replace(column, comment=f":<{external.codec}@{local}>:{found['rest']}")


def target_of(stores: Sequence[tuple[str, str]], store: str) -> str | None:
    """Where a mapping sends a source store: a local store, `inline`, or None where it does not say."""
    found = dict(stores)
    return found.get(store, found.get(ANY))


def read_metadata(text: bytes, external: External) -> Metadata | None:
    """Read and check what a row says of its object; return None for a value that is no object's.

    Raises BadObject where an external column holds something else, or something that cannot be true.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    is_object = isinstance(found, dict) and isinstance(found.get("path"), str)
    if is_object and (external.store is not None or "store" in found):
        return _checked(found, external.codec)
    if external.store is None:
        return None
    raise BadObject(f"{_NOT_WRITTEN}: no path")


def _checked(said: Mapping[str, Any], codec: str) -> Metadata:
    path, store, hashed, size = said["path"], said.get("store"), said.get("hash"), said.get("size")
    if codec == "filepath":
        path = path.removesuffix("/")  # as people may write a folder
    try:
        checked = store_path(path)
    except BadPath as error:
        raise BadObject(f"its path {error}") from None
    if store is not None and not (isinstance(store, str) and store.isprintable() and len(store) <= 255):
        raise BadObject(f"{_NOT_WRITTEN}: no such store")
    is_hash = isinstance(hashed, str) and _HASH.fullmatch(hashed) is not None
    is_size = isinstance(size, int) and not isinstance(size, bool) and 0 <= size < _MOST_BYTES
    if codec not in _BUILT_IN:
        # a codec of the lab's own may call other things so: the size of a picture, a hash of its own kind
        hashed, size = hashed if is_hash else None, size if is_size else None
    elif hashed and not is_hash:
        raise BadObject(f"{_NOT_WRITTEN}: no such hash")
    elif size is not None and not is_size:
        raise BadObject(f"{_NOT_WRITTEN}: no such size")
    return Metadata(checked, store or DEFAULT, hashed or None, None if said.get("is_dir") else size, said)


def transport(
    metadata: Metadata,
    external: External,
    place: Place,
    stores: Sequence[tuple[str, str]],
    prefix: str,
    local: Mapping[str, Store],
) -> tuple[Transport, dict[str, Any]]:
    """How the object of a row is brought, and what the row shall say of it here.

    `stores` is the link's mapping, `prefix` the section of the source's store where paths by schema and table
    begin, `local` the stores here by name. Raises BadObject.
    """
    source, path, hashed, size = metadata.store, metadata.path, metadata.hash, metadata.size
    target = target_of(stores, source)
    inline = external.store is not None and target_of(stores, external.store) == INLINE
    if target is None or (target == INLINE) != inline:
        where = f"it is in the store `{source}` of the source"
        raise BadObject(f"{where}, but `stores` has no local store for this column")
    if inline:
        return Transport(
            source, path, INLINE, _joined(place.local_schema, place.local_table), hash=hashed, size=size
        ), {}
    store, shared = local[target], external.codec == "filepath"
    if shared:
        goal = _shared_path(store, path)
    elif hashed is not None:
        goal = _hashed_path(store, hashed, place.local_schema, external.codec)
    else:
        goal = _keyed_path(store, path, place, prefix)
    try:
        local_path = store_path(goal)
    except BadPath as error:
        raise BadObject(f"its path in the local store {error}") from None
    end = "/" if metadata.said["path"].endswith("/") else ""  # as the source's row has it
    local_value = {**metadata.said, "path": local_path + end, "store": target}
    if hashed is not None and "schema" in local_value:
        local_value["schema"] = place.local_schema
    local_value.pop("url", None)  # of the source's object; DataJoint makes it anew
    return Transport(source, path, target, local_path, hash=hashed, size=size, shared=shared), local_value


def _hashed_path(store: Store, hashed: str, schema: str, codec: str) -> str:
    """As DataJoint's `build_hash_path`. A codec of the lab's own gets another file name, see below."""
    folds, rest = list[str](), hashed
    for length in store.settings.get("subfolding") or ():
        folds.append(rest[:length])
        rest = rest[length:]
    # DataJoint's garbage collection does not know that the rows of such a codec refer to objects, and would
    # delete them; it leaves alone what is not called like a hash
    name = hashed if codec in HASHED else f"{hashed}.{codec}"
    return _joined(store.prefix("hash"), schema, *folds, name)


def _keyed_path(store: Store, path: str, place: Place, prefix: str) -> str:
    """The source's path with the local section, schema and table.

    The random part of its name is kept: the same object comes to the same place, and no other one does. What
    a partition pattern puts before the schema goes behind the table, where garbage collection looks.
    """
    steps = path.split("/")
    before = prefix.split("/") if prefix else []
    if steps[: len(before)] == before:
        steps = steps[len(before) :]
    source_steps = [place.source_schema, place.source_table]
    for at in range(len(steps) - 2):
        if steps[at : at + 2] == source_steps:
            steps = steps[:at] + steps[at + 2 :]
            break
    return _joined(store.prefix("schema"), place.local_schema, place.local_table, *steps)


def _shared_path(store: Store, path: str) -> str:
    """The source's path, below the local store's `filepath_prefix` where it has one."""
    own = store.prefix("filepath")
    local_path = path if not own or path.startswith(own + "/") else f"{own}/{path}"
    for section in ("hash", "schema"):
        kept = store.prefix(section)
        # a file in the place of the section's folders would bar it; some filesystems ignore capitals
        prefix, others = f"{local_path}/".casefold(), f"{kept}/".casefold()
        if kept and (prefix.startswith(others) or others.startswith(prefix)):
            raise BadObject(f"its path is in `{kept}/`, a section of the local store that DataJoint reserves")
    return local_path


def _joined(*steps: str) -> str:
    return "/".join(step for step in steps if step)
