"""What must hold of a manifest beyond the types of its values. Every problem is noted, none is raised."""

from __future__ import annotations

from djlink_manifest.manifest.checks.addresses import check_addresses
from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.checks.moves import check_moves
from djlink_manifest.manifest.checks.servers import check_servers
from djlink_manifest.manifest.checks.stores import check_stores
from djlink_manifest.manifest.checks.tables import check_tables
from djlink_manifest.manifest.checks.targets import check_targets
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.nodes import Fields
from djlink_manifest.manifest.text.problems import Problems


def check(manifest: Manifest, root: Fields, problems: Problems) -> None:
    """Note every problem of a manifest whose values all have the right type.

    `root` is the tree that it was made from.
    """
    at = Checked(manifest, root, problems)
    check_servers(at)
    check_stores(at)
    check_tables(at)
    check_targets(at)
    check_moves(at)
    check_addresses(at)


__all__ = ["check"]
