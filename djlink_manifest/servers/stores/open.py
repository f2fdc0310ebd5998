"""One store, opened: what lies at a path, reading and writing in chunks. A write shows only when it is whole.

Folders of this machine are read and written directly (`folder`); all else goes through DataJoint's own
backends, which are fsspec's (`remote`). Whatever a path was made of, `OpenStore` checks it before either sees
it, and checks the names in listings before anybody joins them to a path.
"""

from __future__ import annotations

from djlink_manifest.model.stores.store import Store
from djlink_manifest.servers.stores.store import OpenStore


def open_store(store: Store, of: str) -> OpenStore:
    """The store, ready to use. Raises StoreError."""
    if store.settings.get("protocol") == "file":
        from djlink_manifest.servers.stores.folder import FolderStore

        return FolderStore(store, of)
    from djlink_manifest.servers.stores.object_store import remote_store  # which is made of what is here

    return remote_store(store, of)
