"""Compare a link's two marks: which local server it belongs to, and what its marks do not say yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from djlink_manifest.model.server.catalog import Catalog, Mark
from djlink_manifest.model.server.epochs import EpochState, LocalServer, judged
from djlink_manifest.model.server.rights import missing
from djlink_manifest.model.tables.naming import MARKS

Side: TypeAlias = Literal["source", "local"]
COLUMNS = frozenset({"epoch", "epoch_next", "identity"})
EARLIER = "its marks were made by an earlier version and cannot say which server applied last"


def epoch_state(
    source: Mark | None, local: Mark | None, server: LocalServer, without: Mapping[Side, bool]
) -> EpochState:
    """What two marks say of the link's local server.

    `without` are the sides whose table of marks has no columns for epochs, and whether this account may add
    them.
    """
    verdict = judged(source, local, server)
    return EpochState(
        verdict,
        source=source.epoch if source else None,
        local=local.epoch if local else None,
        announced=local.epoch_next if local else None,
        marked=source is not None and local is not None,
        lacks=frozenset(without),
        server=source.local_server if source else local.local_server if local else server.hostname,
        note=_note(source, local, server, without) if verdict == "own" and all(without.values()) else None,
    )


def missing_columns(source: Catalog, outbound: str, local: Catalog, schema: str) -> dict[Side, bool]:
    """The sides whose table of marks has no columns for epochs, and whether the account may add them."""
    found = dict[Side, bool]()
    sides: tuple[tuple[Side, Catalog, str], ...] = (("source", source, outbound), ("local", local, schema))
    for side, catalog, where in sides:
        table = catalog.tables.get((where, MARKS))
        if table is not None and not set(table.column_names) >= COLUMNS:
            found[side] = not missing(catalog.grants, ("ALTER",), where, MARKS)
    return found


def old_marks(source: Catalog, outbound: str) -> str | None:
    """Words for a table of marks at a source that an administrator has to complete; None for any other."""
    table = source.tables.get((outbound, MARKS))
    if table is None or set(table.column_names) >= COLUMNS or outbound not in source.marks:
        return None
    if not missing(source.grants, ("ALTER",), outbound, MARKS):
        return None
    schema = outbound.replace("`", "``")
    columns = ", ".join(f"ADD COLUMN {name} varchar(64)" for name in sorted(COLUMNS))
    return (
        f"the table of marks in `{outbound}` of {source.server} was made by an earlier version, so a copy of "
        "the local server cannot be told from it; ask the source's administrator to run: ALTER TABLE "
        f"`{schema}`.`{MARKS}` {columns}"
    )


def _note(
    source: Mark | None, local: Mark | None, server: LocalServer, without: Mapping[Side, bool]
) -> str | None:
    """Why the marks are to say anew which server this is; None where they say it."""
    if without:
        return EARLIER
    if source is None or local is None or all(map(server.noted_in, (source, local))):
        return None
    if server.noted_in(source):
        return "the local mark does not say so yet: an apply was interrupted"
    stated = f"the manifest states `identity: {server.identity}`"
    if server.is_named_by(source):
        return stated if server.identity else f"the manifest no longer states `identity: {source.identity}`"
    return f"{stated}: this server takes the place of `{source.local_server}`, which is refused from then on"
