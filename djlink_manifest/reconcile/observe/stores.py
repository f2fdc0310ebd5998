"""The stores of external objects for one job: read where a table needs them, open while the job is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from djlink_manifest.manifest.models.secrets import resolve_stores
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.stores.external import external_columns
from djlink_manifest.model.stores.store import Stores
from djlink_manifest.reconcile.observe.connect import Words
from djlink_manifest.servers.stores.settings import read_stores
from djlink_manifest.servers.stores.transport import StoreTransport

__all__ = ["StoreTransport", "open_store_transport"]


@contextmanager
def open_store_transport(
    manifest: Manifest, catalogs: Mapping[str, Catalog], environ: Mapping[str, str], report: Words
) -> Iterator[StoreTransport]:
    """The depot of a job over these sources; an empty one where no table has external objects.

    Raises SecretError, and StoreError where DataJoint's configuration cannot be read.
    """
    tables = (table for catalog in catalogs.values() for table in catalog.tables.values())
    stores = Stores()
    if any(external_columns(table) for table in tables):
        report("reading DataJoint's configuration")
        given = {source.name: resolve_stores(source, environ) for source in manifest.sources}
        stores = read_stores(given, from_files=not manifest.is_trusted)
    with closing(StoreTransport(stores)) as store_transport:
        yield store_transport
