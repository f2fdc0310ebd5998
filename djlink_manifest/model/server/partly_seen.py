"""What is said of a schema of which an account sees only the tables that it was granted one by one."""

from __future__ import annotations

from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.server.rights import SOURCE_RIGHTS, grant, missing
from djlink_manifest.model.tables.naming import LINEAGE


def partly_seen(source: Catalog, schema: str) -> tuple[str, str] | None:
    """What cannot be known of a source's schema, and the GRANT that ends it; None where all is seen."""
    if schema not in source.all_schemas or not source.is_partial(schema):
        return None
    words = (
        f"the link user of {source.server} has privileges on single tables of `{schema}`, not on the schema: "
        "other tables are not visible to it, and entities whose parts are among these would be pulled "
        "without them"
    )
    if missing(source.grants, ("SELECT",), schema, LINEAGE):
        words += f"; `{LINEAGE}`, by which DataJoint joins tables, is not visible either"
    rights = grant(SOURCE_RIGHTS, schema, source.identity)
    return words, (
        "no action needed if `djlink grants` printed the privileges and no part came since; to see all "
        f"tables, ask the source's administrator to run: {rights}"
    )
