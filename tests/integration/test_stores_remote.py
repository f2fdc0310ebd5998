"""Large objects to and from S3: sent in parts, proved by its digest, read on after a broken connection."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs.core import S3File

from djlink_manifest.errors import StoreError
from djlink_manifest.model.stores.external import Transport
from djlink_manifest.model.stores.store import Store, Stores
from djlink_manifest.sandbox.demo import pipeline
from djlink_manifest.servers.stores import copy_object, object_store, transport
from djlink_manifest.servers.stores.transport import Brought, StoreTransport
from tests.support.faults.proxy import Proxy, Verdict, Wire
from tests.support.stores.case import client
from tests.support.stores.external import BUCKET, folder_store, s3_store

PARTS = 3
SIZE = 2 * (8 << 20) + 12345  # two whole parts and a rest


def bring(source: dict[str, Any], local: dict[str, Any], path: str, goal: str) -> list[Brought]:
    """Bring one object, as an apply does."""
    brought = list[Brought]()
    stores = Stores({"ours": Store("ours", local)}, "ours", {"lab": {"raw": Store("raw", source)}})
    with closing(StoreTransport(stores)) as store_transport:
        refused = store_transport.bring(
            "lab", [Transport("raw", path, "ours", goal)], "schema", threading.Event(), brought.append
        )
    assert not refused
    return brought


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Any]:
    """A store with a large object."""
    found = folder_store(tmp_path / "folder")
    (tmp_path / "folder" / "large").write_bytes(secrets.token_bytes(SIZE))
    return found


@pytest.fixture
def proxy(s3: str) -> Iterator[Proxy]:
    """A proxy before the S3 server."""
    host, port = s3.rsplit(":", 1)
    made = Proxy(host, int(port))
    try:
        yield made
    finally:
        made.close()


def place(store: dict[str, Any], name: str) -> Path:
    return Path(store["location"], name)


def test_a_large_object_is_sent_in_parts_and_proved_without_being_read_again(
    folder: dict[str, Any], s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source_store = s3_store(s3, secrets.token_hex(4))

    def read(*asked: Any) -> bytes:
        raise AssertionError("S3 knows the digest of its parts")

    with monkeypatch.context() as patched:
        patched.setattr(copy_object, "digest_of", read)
        assert bring(folder, source_store, "large", "up") == [Brought(1, SIZE)]
    head = client(s3).head_object(Bucket=BUCKET, Key=f"{source_store['location']}/up")
    assert head["ETag"].endswith(f'-{PARTS}"')
    back = folder_store(tmp_path / "back")
    assert bring(source_store, back, "up", "down") == [Brought(1, SIZE)]
    assert place(back, "down").read_bytes() == place(folder, "large").read_bytes()


def test_what_s3_holds_otherwise_than_it_was_sent_does_not_count(
    folder: dict[str, Any], s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_store = s3_store(s3, secrets.token_hex(4))
    whole = place(folder, "large").read_bytes()
    plain = object_store._RemoteUpload.commit

    def altered(upload: Any) -> str | None:
        tag = plain(upload)
        client(s3).put_object(Bucket=BUCKET, Key=f"{source_store['location']}/up", Body=b"x" * len(whole))
        return tag

    monkeypatch.setattr(object_store._RemoteUpload, "commit", altered)
    with pytest.raises(StoreError, match="differs from the data sent"):
        bring(folder, source_store, "large", "up")
    listed = client(s3).list_objects_v2(Bucket=BUCKET, Prefix=source_store["location"])
    assert listed["KeyCount"] == 0


def test_a_download_goes_on_where_its_connection_broke(
    folder: dict[str, Any], s3: str, proxy: Proxy, tmp_path: Path
) -> None:
    source_store = s3_store(s3, secrets.token_hex(4))
    bring(folder, source_store, "large", "up")
    cuts = list[int]()

    def down(wire: Wire, data: bytes) -> Verdict:
        if wire.received > SIZE // 3 and len(cuts) < 2:
            cuts.append(wire.received)
            return "cut"
        return "pass"

    proxy.down = down
    back = folder_store(tmp_path / "back")
    near = {**source_store, "endpoint": f"127.0.0.1:{proxy.port}"}
    assert bring(near, back, "up", "down") == [Brought(1, SIZE)]
    assert len(cuts) == 2
    assert place(back, "down").read_bytes() == place(folder, "large").read_bytes()


def test_an_object_written_anew_while_it_is_read_is_never_mixed(
    folder: dict[str, Any], s3: str, proxy: Proxy, tmp_path: Path
) -> None:
    source_store = s3_store(s3, secrets.token_hex(4))
    bring(folder, source_store, "large", "up")
    new = secrets.token_bytes(SIZE)
    cuts = list[int]()

    def down(wire: Wire, data: bytes) -> Verdict:
        if wire.received > SIZE // 3 and not cuts:
            cuts.append(wire.received)
            client(s3).put_object(Bucket=BUCKET, Key=f"{source_store['location']}/up", Body=new)
            return "cut"
        return "pass"

    proxy.down = down
    back = folder_store(tmp_path / "back")
    near = {**source_store, "endpoint": f"127.0.0.1:{proxy.port}"}
    assert bring(near, back, "up", "down") == [Brought(1, SIZE)]
    assert cuts
    assert hashlib.md5(place(back, "down").read_bytes()).digest() == hashlib.md5(new).digest()


@pytest.mark.parametrize("joined", [True, False])
def test_whether_parts_were_joined_is_looked_up_where_no_answer_came(
    folder: dict[str, Any], s3: str, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    source_store = s3_store(s3, secrets.token_hex(4))
    plain = S3File.commit

    def unanswered(file: Any) -> None:
        if joined:
            plain(file)
        raise TimeoutError("no answer")

    monkeypatch.setattr(S3File, "commit", unanswered)
    monkeypatch.setattr(transport, "AGAIN", replace(transport.AGAIN, tries=1))
    if joined:
        assert bring(folder, source_store, "large", "up") == [Brought(1, SIZE)]
        body = client(s3).get_object(Bucket=BUCKET, Key=f"{source_store['location']}/up")["Body"].read()
        assert body == place(folder, "large").read_bytes()
    else:
        with pytest.raises(StoreError, match="cannot be written to: no answer"):
            bring(folder, source_store, "large", "up")
        assert client(s3).list_objects_v2(Bucket=BUCKET, Prefix=source_store["location"])["KeyCount"] == 0
        assert "Uploads" not in client(s3).list_multipart_uploads(
            Bucket=BUCKET, Prefix=source_store["location"]
        )


def test_a_protocol_of_a_plugin_is_not_barred(
    folder: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipeline.load_datajoint()
    from datajoint import storage_adapter

    class Adapter(storage_adapter.StorageAdapter):  # type: ignore[misc]  # DataJoint ships no types
        protocol = "memory"

        def create_filesystem(self, spec: dict[str, Any]) -> Any:
            return MemoryFileSystem(global_store=True)

    monkeypatch.setitem(storage_adapter._adapter_registry, "memory", Adapter())
    source = {"protocol": "memory", "location": f"/{secrets.token_hex(4)}"}
    back = folder_store(tmp_path / "back")
    tree = Path(folder["location"], "tree")
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "x").write_text("x")
    (tree / "y").write_text("y")
    for name, files, size in (("large", 1, SIZE), ("tree", 2, 2)):
        assert bring(folder, source, name, f"there/{name}") == [Brought(files, size)]
        assert bring(source, back, f"there/{name}", name) == [Brought(files, size)]
    assert place(back, "large").read_bytes() == place(folder, "large").read_bytes()
    assert place(back, "tree/deep/x").read_text() == "x"
    altered = hashlib.md5(b"another").digest()
    with monkeypatch.context() as patched:
        patched.setattr(copy_object, "digest_of", lambda *asked: altered)
        with pytest.raises(StoreError, match="differs from the data sent"):
            bring(folder, source, "large", "again")
    assert not MemoryFileSystem().exists(f"{source['location']}/again")
