"""Look at a source's schema, and at the schemas of its parents, for a manifest that is to be written."""

from __future__ import annotations

from collections.abc import Mapping

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.models.secrets import resolve_server
from djlink_manifest.manifest.models.servers import ServerSpec
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.server.rights import grant
from djlink_manifest.reconcile.bootstrap.draft import merged, unread_parents
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session


def prospect(spec: ServerSpec, schema: str, environ: Mapping[str, str]) -> Catalog:
    """The catalogue of a schema and of every schema that its tables refer to, near or far.

    Raises SecretError, ServerError, UsageError where the account sees no such schema.
    """
    session = open_session(resolve_server(spec, environ), Session)
    try:
        catalog = read_catalog(session, [schema])
        if schema not in catalog.all_schemas:
            close = nearest(schema, sorted(catalog.all_schemas))
            rights = grant(["SELECT", "REFERENCES"], schema, catalog.identity)
            raise UsageError(
                f"{spec.name} has no schema `{schema}`, or the link user has no privilege on it",
                hint=f"did you mean `{close}`?" if close else f"ask its administrator to run: {rights}",
            )
        read = {schema}
        while more := unread_parents(catalog, read):
            catalog = merged(catalog, read_catalog(session, more))
            read |= more
        return catalog
    finally:
        session.close()
