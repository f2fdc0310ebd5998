"""`local: datajoint` and its long form, `local: {datajoint: true}`: one tree for both."""

from __future__ import annotations

from dataclasses import replace

from djlink_manifest.manifest.text.nodes import Entry, Fields, Leaf

KEY = "datajoint"


def with_long_local(root: Fields) -> Fields:
    """Return a file's tree with the long form in place of the short one, at the same place."""
    entry = root.entries.get("local")
    if entry is None or not isinstance(entry.value, Leaf) or entry.value.value != KEY:
        return root
    spot = entry.value.spot
    value = Fields({KEY: Entry(KEY, spot, Leaf(True, spot))}, spot)
    return replace(root, entries={**root.entries, "local": replace(entry, value=value)})


def with_any_host(root: Fields) -> Fields:
    """Return a tree in which `local` has a host, an empty one where DataJoint's configuration names it."""
    entry = root.entries.get("local")
    local = entry.value if entry is not None else None
    flag = local.entries.get(KEY) if isinstance(local, Fields) else None
    if entry is None or not isinstance(local, Fields) or flag is None or "host" in local.entries:
        return root
    if not isinstance(flag.value, Leaf) or flag.value.value is not True:
        return root
    host = Entry("host", flag.spot, Leaf("", flag.value.spot))
    value = replace(local, entries={**local.entries, "host": host})
    return replace(root, entries={**root.entries, "local": replace(entry, value=value)})
