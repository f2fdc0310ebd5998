"""What must hold of a manifest beyond the types of its values. Every problem is noted, none is raised."""

from __future__ import annotations

from djlink_manifest.manifest.checks.addresses import check_addresses
from djlink_manifest.manifest.checks.servers import check_servers
from djlink_manifest.manifest.checks.stores import check_stores
from djlink_manifest.manifest.checks.tables import check_tables
from djlink_manifest.manifest.checks.targets import check_targets
from djlink_manifest.manifest.models.schema_models import ManifestModel
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.nodes import Fields
from djlink_manifest.manifest.text.problems import Problems


def check(manifest: Manifest, whole: ManifestModel, root: Fields, problems: Problems) -> None:
    """Note every problem of a manifest whose values all have the right type.

    `whole` and `root` are the model and the tree that `manifest` was built from.
    """
    check_servers(manifest, whole, root, problems)
    check_stores(whole, root, problems)
    check_tables(manifest, root, problems)
    check_targets(manifest, root, problems)
    check_addresses(manifest, whole, root, problems)


__all__ = ["check"]
