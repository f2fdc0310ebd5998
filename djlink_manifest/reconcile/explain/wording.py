"""References as an explanation words them."""

from __future__ import annotations

from djlink_manifest.model.links.link import Link, Reference


def by_columns(link: Link, reference: Reference) -> str:
    """A reference by its columns, and by its part where it is a part's."""
    where = "" if reference.child_table == link.definition.name else f" of part {reference.child_table}"
    return f"({', '.join(reference.columns)}){where}"


def rows_naming(count: int) -> str:
    """How many rows name an entity."""
    return f"{count:,} row refers to it" if count == 1 else f"{count:,} rows refer to it"
