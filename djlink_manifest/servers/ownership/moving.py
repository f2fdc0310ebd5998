"""Marks of a link that has another name now: announced at the new place, changed, settled.

Of a mark only the fields that a move changes are written; whatever else stands in its row stays. Each step
can be repeated.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.server.catalog import Mark, TableName
from djlink_manifest.model.tables.naming import MARKS
from djlink_manifest.servers.ownership.made_tables import made_under
from djlink_manifest.servers.ownership.marks import write_mark
from djlink_manifest.servers.session.checked_values import a_name, a_text, an_optional_text, anything
from djlink_manifest.servers.session.session import Writer, first_values
from djlink_manifest.servers.sql import Sql, comma, ident, sql, table

Change = tuple[Mark, Mark]  # a mark as it stands and as it shall stand


def announce(session: Writer, mark: Mark, old: TableName) -> None:
    """Write the mark of a local table that is about to come from another place, if it is not there yet.

    Until the tables are there it counts as incomplete, and names where they come from.
    """
    schema, text = mark.local_schema, json.dumps(old, ensure_ascii=False)
    with session.transaction():
        write_mark(session, schema, mark)
        where = sql("link_id = {} AND definition IS NULL", mark.link_id)
        session.execute(sql("UPDATE {} SET moved_from = {} WHERE {}", table(schema, MARKS), text, where))


def change_mark(session: Writer, schema: str, change: Change) -> None:
    """Bring a mark to the link's present name where it is. Raises where it is another mark now."""
    before, after = change
    of = table(schema, MARKS)
    with session.transaction():
        epoch = Sql(
            "NULL" if before.epoch is None else "epoch"
        )  # an earlier version's marks have no such column
        query = "SELECT link_id, {} FROM {} WHERE link_id IN ({}, {}) FOR UPDATE"
        found = session.rows(sql(query, epoch, of, before.link_id, after.link_id), a_text, an_optional_text)
        if before.link_id not in first_values(found) and after.link_id in first_values(found):
            return  # done before the session was lost
        if [tuple(row) for row in found] != [(before.link_id, before.epoch)]:
            raise DjlinkError(
                f"the mark of {schema}.{before.table_name} has changed since the plan was made",
                server=session.name,
                hint="run `djlink plan` again",
            )
        values = _values(session, of, before, after)
        changed = comma([sql("{} = {}", ident(name), value) for name, value in values.items()])
        session.execute(sql("UPDATE {} SET {} WHERE link_id = {}", of, changed, before.link_id))


def settle(session: Writer, change: Change | None, arrived: Mark) -> None:
    """Take the mark of local tables that have arrived to their schema, in the place of the announced one.

    Without the former mark the announced one stays, as that of tables which are not complete.
    """
    new = table(arrived.local_schema, MARKS)
    with session.transaction():
        if change is None:
            session.execute(sql("UPDATE {} SET moved_from = NULL WHERE link_id = {}", new, arrived.link_id))
            return
        before, after = change
        old = table(before.local_schema, MARKS)
        query = sql(
            "SELECT link_id FROM {} WHERE link_id = {} AND table_name = {} FOR UPDATE",
            old,
            before.link_id,
            before.table_name,
        )
        if not session.rows(query, anything):
            return  # done before the session was lost
        session.execute(
            sql(
                "DELETE FROM {} WHERE link_id = {} AND table_name = {}",
                new,
                arrived.link_id,
                arrived.table_name,
            )
        )
        columns, values = _columns(session, before.local_schema), _values(session, old, before, after)
        taken = comma([sql("{}", values[name]) if name in values else ident(name) for name in columns])
        rows = sql("SELECT {} FROM {} o WHERE link_id = {}", taken, old, before.link_id)
        if before.local_schema == after.local_schema:
            changed = comma([sql("{} = {}", ident(name), value) for name, value in values.items()])
            session.execute(sql("UPDATE {} SET {} WHERE link_id = {}", old, changed, before.link_id))
            return
        named = comma([ident(name) for name in columns])
        session.execute(sql("INSERT INTO {} ({}) {}", new, named, rows))
        session.execute(sql("DELETE FROM {} WHERE link_id = {}", old, before.link_id))


def _values(session: Writer, of: Sql, before: Mark, after: Mark) -> dict[str, Any]:
    """The columns that differ, with the values that they shall have."""
    found = dict[str, Any]()
    for name in (field.name for field in fields(Mark)):
        value = getattr(after, name)
        if value == getattr(before, name):
            continue
        if name == "made" and value is not None:
            text = session.value(sql("SELECT made FROM {} WHERE link_id = {}", of, before.link_id), a_text)
            value = made_under(text, dict(zip(before.made or (), value, strict=True)))
        elif name == "check_names" and value is not None:
            value = json.dumps(value)
        found[name] = value
    return found


def _columns(session: Writer, schema: str) -> tuple[str, ...]:
    query = sql(
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}"
        " ORDER BY ORDINAL_POSITION",
        schema,
        MARKS,
    )
    return tuple(str(name) for name in first_values(session.rows(query, a_name)))
