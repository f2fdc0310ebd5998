"""Whether a store can be used, tried out: a source's is looked into, a local one written to and read back."""

from __future__ import annotations

import secrets

from djlink_manifest.errors import StoreError
from djlink_manifest.servers.stores.errors import HINT, store_errors
from djlink_manifest.servers.stores.store import SCRATCH, OpenStore
from djlink_manifest.servers.stores.transport import StoreTransport


def probe(store_transport: StoreTransport, owner: str, name: str) -> str:
    """Look whether a store can be used, and say what it is; `owner` is `local` or a source.

    A local one gets a file of a few bytes, which is read and taken away again. Raises StoreError.
    """
    local = owner == "local"
    store = store_transport.local(name) if local else store_transport.source(owner, name)
    with store_errors(store, writing=local):
        store.check(writing=local)
        if not local:
            store.peek()
            return store.name
    _try_out(store)
    return store.name


def _try_out(store: OpenStore) -> None:
    # beside what djlink writes, so that what a kill leaves is found by DataJoint's garbage collection
    prefix = store.store.prefix("schema")
    with store_errors(store):
        found = store.look(prefix) if prefix else None
    scratch = "/".join(each for each in (prefix if found is not None else "", SCRATCH) if each)
    path, text = f"{scratch}/doctor-{secrets.token_hex(8)}", secrets.token_bytes(16)
    with store_errors(store, path, writing=True):
        upload = store.begin(path, len(text), scratch)
        try:
            upload.write(text)
            upload.commit()
        except BaseException:
            upload.discard()
            store.tidy(scratch)
            raise
        try:
            read = b"".join(store.read(path))
        finally:
            store.remove(path)
            store.tidy(scratch)
    if read != text:
        raise StoreError(f"the {store.name} does not return what was written to it", hint=HINT)
