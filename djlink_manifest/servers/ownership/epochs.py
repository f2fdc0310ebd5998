"""Move the epochs of marks, and read them: each function is one statement of one side."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from djlink_manifest.model.server.epochs import EpochState, LocalServer
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.servers.session.checked_values import a_text, an_optional_text
from djlink_manifest.servers.session.session import Session, Writer
from djlink_manifest.servers.sql import Sql, comma, sql, table

Moves = Mapping[str, EpochState]  # by the links' ids, as their marks are expected


def announce(local: Writer, schema: str, moves: Moves, epoch: str) -> Collection[str]:
    """Say in local marks that this epoch comes next; the ids of the marks that were as expected."""
    taken = [link_id for link_id, state in moves.items() if state.source != state.local]
    # an apply died before the local mark took the epoch that the source's mark has
    settled = sql("IF(link_id IN ({}), epoch_next, epoch)", _listed(taken)) if taken else sql("epoch")
    expected = comma(
        [
            sql("({}, {}, {})", link_id, state.local or "", state.announced or "")
            for link_id, state in moves.items()
        ]
    )
    changed = local.execute(
        sql(
            "UPDATE {} SET epoch = {}, epoch_next = {} WHERE link_id IN ({})"
            " AND (link_id, COALESCE(epoch, ''), COALESCE(epoch_next, '')) IN ({})",
            table(schema, MARKS),
            settled,
            epoch,
            _listed(moves),
            expected,
        )
    )
    return moves if changed == len(moves) else _having(local, schema, moves, "epoch_next", epoch)


def take(source: Writer, schema: str, moves: Moves, epoch: str, holder: str) -> Collection[str]:
    """Write the epoch, and who applies, into marks at the source; the ids of those that were as expected."""
    expected = comma([sql("({}, {})", link_id, state.source or "") for link_id, state in moves.items()])
    changed = source.execute(
        sql(
            "UPDATE {} SET epoch = {}, holder = {} WHERE link_id IN ({})"
            " AND (link_id, COALESCE(epoch, '')) IN ({})",
            table(schema, MARKS),
            epoch,
            holder[:255],
            _listed(moves),
            expected,
        )
    )
    return moves if changed == len(moves) else _having(source, schema, moves, "epoch", epoch)


def settle(local: Writer, schema: str, link_ids: Collection[str], epoch: str) -> None:
    """Let local marks have the epoch that they announced, once the source has it."""
    local.execute(
        sql(
            "UPDATE {} SET epoch = {}, epoch_next = NULL WHERE link_id IN ({}) AND epoch_next = {}",
            table(schema, MARKS),
            epoch,
            _listed(link_ids),
            epoch,
        )
    )


def read_epoch(source: Session, schema: str, link_id: str) -> tuple[str | None, str | None]:
    """The epoch in a mark at the source, and who applied last; None for what it lacks, or without a mark."""
    rows = source.rows(
        sql("SELECT epoch, holder FROM {} WHERE link_id = {}", table(schema, MARKS), link_id),
        *(an_optional_text, an_optional_text),
    )
    return rows[0] if rows else (None, None)


def write_server(session: Writer, schema: str, link_id: str, server: LocalServer) -> None:
    """Say in a mark which server the local one is."""
    session.execute(
        sql(
            "UPDATE {} SET local_server = {}, fingerprint = {}, identity = {} WHERE link_id = {}",
            table(schema, MARKS),
            server.hostname,
            server.fingerprint,
            server.identity,
            link_id,
        )
    )


def _having(
    session: Session, schema: str, link_ids: Collection[str], column: str, epoch: str
) -> frozenset[str]:
    rows = session.rows(
        sql(
            "SELECT link_id FROM {} WHERE " + column + " = {} AND link_id IN ({})",
            table(schema, MARKS),
            epoch,
            _listed(link_ids),
        ),
        a_text,
    )
    return frozenset(row[0] for row in rows)


def _listed(link_ids: Collection[str]) -> Sql:
    return comma([sql("{}", each) for each in link_ids])
