# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""A source with every kind of external value, written through DataJoint, and stores to hold them.

What DataJoint 2.3.5 cannot write itself is written around: a default store is also configured under the name
that it asks for, and on MariaDB rows with `<blob@>` and `<attach@>` are completed in SQL.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.demo import pipeline
from tests.support.rig import PASSWORD, Rig

BUCKET = "lab-bucket"
KEYS = {"access_key": "AKIATESTKEY", "secret_key": "test/secret+key"}


@cache
def codecs() -> None:
    """Codecs of a lab's own: one that stores by hash, one by schema, one that names its store by itself."""
    pipeline.load_datajoint()
    import datajoint as dj
    from datajoint.builtin_codecs import SchemaCodec

    class GraphCodec(dj.Codec):
        name = "graph"

        def get_dtype(self, is_store: bool) -> str:
            return "<blob>"

        def encode(self, value: Any, *, key: Any = None, store_name: Any = None) -> Any:
            return {"edges": sorted(value)}

        def decode(self, stored: Any, *, key: Any = None) -> Any:
            return {tuple(edge) for edge in stored["edges"]}

    class OwnGraphCodec(dj.Codec):
        name = "owngraph"

        def get_dtype(self, is_store: bool) -> str:
            return "<blob@raw>"

        def encode(self, value: Any, *, key: Any = None, store_name: Any = None) -> Any:
            return {"own": value}

        def decode(self, stored: Any, *, key: Any = None) -> Any:
            return stored["own"]

    class NoteCodec(SchemaCodec):
        name = "note"

        def validate(self, value: Any) -> None:
            pass

        def encode(self, value: Any, *, key: Any = None, context: Any = None, store_name: Any = None) -> Any:
            schema, table, field_name, primary = self._extract_context(key, context)
            config = self._codec_config(key, context)
            path, _ = self._build_path(
                schema, table, field_name, primary, ext=".txt", store_name=store_name, config=config
            )
            self._get_backend(store_name, config=config).put_buffer(value.encode(), path)
            return {"path": path, "store": store_name, "letters": len(value)}

        def decode(self, stored: Any, *, key: Any = None, context: Any = None) -> Any:
            config = self._codec_config(key, context)
            return self._get_backend(stored["store"], config=config).get_buffer(stored["path"]).decode()


def connection(server: SandboxServer, stores: Mapping[str, Any], *login: str, **settings: Any) -> Any:
    """A DataJoint connection with stores of its own."""
    found = pipeline.connect(server, *login)
    found._config.stores = dict(stores)
    for key, value in settings.items():
        setattr(found._config, key, value)
    return found


def folder_store(folder: Path, **more: Any) -> dict[str, Any]:
    """A store in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return {"protocol": "file", "location": str(folder), **more}


def s3_store(endpoint: str, location: str, **more: Any) -> dict[str, Any]:
    """A store in the bucket of the tests' S3 server."""
    return {
        "protocol": "s3",
        "endpoint": endpoint,
        "bucket": BUCKET,
        "location": location,
        "secure": False,
        **KEYS,
        **more,
    }


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server of its own with a bucket; its host and port."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id=KEYS["access_key"],
            aws_secret_access_key=KEYS["secret_key"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield f"{host}:{port}"
    finally:
        server.stop()


@dataclass
class Archive:
    """The source's tables and what was put into them."""

    rig: Rig
    folder: Path
    stores: dict[str, Any]
    connection: Any
    table: Any = None
    rows: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    @property
    def raw(self) -> Any:
        """DataJoint's backend of the store `raw`."""
        from datajoint.hash_registry import get_store_backend

        return get_store_backend("raw", config=self.connection._config)

    def metadata(self, name: str, subject: str = "a/b c", number: int = 1) -> dict[str, Any]:
        """What a row says of its object."""
        rows = self.rig.run(
            "lab_a",
            f"SELECT `{name}` FROM {{lab}}.session WHERE subject = '{subject}' AND number = {number}",
        )
        found: dict[str, Any] = json.loads(rows[0][0])
        return found


DEFINITION = """
subject : varchar(30)
number : int32
---
plain : varchar(30)
b=null : <blob@raw>     # with a comment: all of it
a=null : <attach@raw>
h=null : <hash@raw>
n=null : <npy@raw>
o=null : <object@raw>
d=null : <object@raw>
f=null : <filepath@raw>
fd=null : <filepath@raw>
x=null : <blob@>
g=null : <graph@raw>
w=null : <owngraph>
t=null : <note@raw>
i=null : <blob>
j=null : json
"""

CLIP = """
-> master
clip : int32
---
data=null : <blob@raw>
frames : <npy@second>
"""


def open_archive(rig: Rig, stores: Mapping[str, Any]) -> Archive:
    """`Session` with its part `Clip`, filled. `stores` are the `raw` and `second` of the source."""
    codecs()
    pipeline.load_datajoint()
    import datajoint as dj

    folder = rig.folder / "archive"
    folder.mkdir()
    # DataJoint asks for the store '' where `<blob@>` means the default one
    configured = {**stores, "default": "raw", "": stores["raw"]}
    archive = Archive(rig, folder, dict(stores), connection(rig.servers.lab_a, configured))
    schema = dj.Schema(rig.names("lab"), connection=archive.connection)

    class Session(dj.Manual):
        definition = DEFINITION

        class Clip(dj.Part):
            definition = CLIP

    archive.table = schema(Session, context={})
    fill(archive)
    return archive


def fill(archive: Archive) -> None:
    """Three sessions: with every value, with other ones and one content twice, with none."""
    tree = archive.folder / "tree.zarr"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "y").write_text("yy")
    empty = archive.folder / "empty.zarr"
    empty.mkdir()
    (tree / "deep" / "er" / "z z").write_bytes(bytes(range(256)))
    attached = archive.folder / "näme 1.txt"
    attached.write_text("attached")
    clip = archive.folder / "clip.bin"
    clip.write_bytes(secrets.token_bytes(3000))
    archive.raw.put_buffer(b"rig's own file", "rig/2026 01/data.bin")
    archive.raw.put_buffer(b"one", "rig/run/one")
    archive.raw.put_buffer(b"two", "rig/run/sub/two")
    every = {
        "plain": "all",
        "b": {"x": np.arange(5), "y": "text"},
        "a": str(attached),
        "h": b"raw bytes",
        "n": np.arange(6.0).reshape(2, 3),
        "o": str(clip),
        "d": str(tree),
        "f": "rig/2026 01/data.bin",
        "fd": "rig/run",
        "x": ["default", 1],
        "g": {(1, 2), (2, 3)},
        "w": "names its store itself",
        "t": "a note",
        "i": {"in": "row"},
        "j": {"path": "no object", "k": [1, None]},
    }
    other = {
        "plain": "some",
        "b": every["b"],
        "n": np.zeros((0, 2), dtype="int16"),
        "o": b"",
        "h": b"other",
        "d": str(empty),
    }
    for key, values in ((("a/b c", 1), every), (("ü", 2), other), (("none", 3), {"plain": "none"})):
        insert(archive, key, values)
        archive.rows[key] = values
    for number in range(3):
        insert_clip(archive, ("a/b c", 1), number)


def insert(archive: Archive, key: tuple[str, int], values: Mapping[str, Any]) -> None:
    """Insert a session; where DataJoint cannot, the columns in question follow in SQL."""
    whole = {"subject": key[0], "number": key[1], **values}
    if archive.rig.servers.lab_a.vendor == "mysql":
        archive.table.insert1(whole)
        return
    hashed = {name: whole.pop(name) for name in ("b", "a", "h", "x", "g", "w") if name in whole}
    archive.table.insert1(whole)
    for name, value in hashed.items():
        _update(archive, "session", name, value, f"subject = '{key[0]}' AND number = {key[1]}")


def insert_clip(archive: Archive, key: tuple[str, int], number: int) -> None:
    """Insert a row of the part."""
    row = {"subject": key[0], "number": key[1], "clip": number, "frames": np.full(4, number)}
    if archive.rig.servers.lab_a.vendor == "mysql":
        archive.table.Clip.insert1({**row, "data": {"clip": number % 2}})
        return
    archive.table.Clip.insert1(row)
    _update(archive, "session__clip", "data", {"clip": number % 2}, f"clip = {number}")


def _update(archive: Archive, table: str, name: str, value: Any, where: str) -> None:
    from datajoint.codecs import resolve_dtype

    tables = {"session": archive.table, "session__clip": archive.table.Clip}
    attribute = tables[table].heading[name]
    _, chain, store = resolve_dtype(f"<{attribute.codec.name}>", store_name=attribute.store)
    for codec in chain:
        key = {"_schema": archive.rig.names("lab"), "_config": archive.connection._config}
        value = codec.encode(value, key=key, store_name=store)
    with archive.rig.servers.lab_a.connect() as session, session.cursor() as cursor:
        cursor.execute(
            archive.rig.sql(f"UPDATE {{lab}}.{table} SET `{name}` = %s WHERE {where}"), (json.dumps(value),)
        )


def dj_insert_small(case: Any) -> None:
    """A table `Small` beside the archive's, with values that can stand in the row."""
    import datajoint as dj

    schema = dj.Schema(case.rig.names("lab"), connection=case.archive.connection)

    class Small(dj.Manual):
        definition = """
        number : int32
        ---
        b : <blob@raw>
        a=null : <attach@>
        """

    small = schema(Small, context={})
    attached = str(case.archive.folder / "näme 1.txt")
    small.insert([{"number": n, "b": {"n": n % 2}, "a": attached if n < 4 else None} for n in range(5)])


@dataclass
class LocalLab:
    """The lab's own DataJoint over the linked schema."""

    connection: Any
    schema: Any
    session: Any

    def collected(self, store: str, *, dry_run: bool = False) -> dict[str, Any]:
        """What garbage collection finds in a store; unless it is a `dry_run`, the orphans are deleted."""
        from datajoint.gc import GarbageCollector

        found: dict[str, Any] = GarbageCollector(self.schema, store=store).collect(dry_run=dry_run)
        assert not found["errors"]
        return found


def open_local(rig: Rig, stores: Mapping[str, Any], downloads: Path, table: str = "Session") -> LocalLab:
    """A linked table through DataJoint, with the local account."""
    dj = pipeline.load_datajoint()
    name = rig.local_schema("lab_a", "lab")
    found = connection(rig.servers.local, stores, rig.names("lab"), PASSWORD, download_path=str(downloads))
    module = dj.VirtualModule("linked", name, connection=found)
    return LocalLab(found, dj.Schema(name, connection=found, create_schema=False), getattr(module, table))


def check_all(archive: Archive, local: LocalLab) -> None:
    """Every value of every session reads as it was put in, through the lab's DataJoint alone."""
    for (subject, number), values in archive.rows.items():
        row = (local.session & {"subject": subject, "number": number}).fetch1()
        for name in local.session.heading.names:
            if name not in {"subject", "number"}:
                check_value(name, row[name], values.get(name))
    for clip in local.session.Clip.to_dicts():
        assert clip["data"] == {"clip": clip["clip"] % 2}
        np.testing.assert_array_equal(clip["frames"].load(), np.full(4, clip["clip"]))


def check_value(name: str, found: Any, put: Any) -> None:
    """One value, as DataJoint gives it, is what was put in."""
    if put is None:
        assert found is None, name
    elif name in {"b", "x", "g", "w", "t", "h", "i", "j", "plain"}:
        np.testing.assert_equal(found, put)
    elif name == "a":
        assert Path(found).name.startswith("näme 1")
        assert Path(found).read_text() == "attached"
    elif name == "n":
        assert found.shape == put.shape
        np.testing.assert_array_equal(found.load(), put)
        assert found.load().dtype == put.dtype
    elif name == "o":
        assert found.read() == (Path(put).read_bytes() if isinstance(put, str) else put)
        assert found.verify()
    elif name == "d":
        assert found.verify()
        if found.item_count == 0:
            return
        assert found.open("deep/er/z z").read() == bytes(range(256))
        assert found.open("y").read() == b"yy"
    elif name == "f":
        assert found.read() == b"rig's own file"
    elif name == "fd":
        assert found.open("sub/two").read() == b"two"
        assert found.open("one").read() == b"one"
    else:
        raise AssertionError(name)
