"""Members of JSON values, as SQL that MySQL and MariaDB read alike."""

from __future__ import annotations

from djlink_manifest.servers.sql import Sql, comma, sql


def member(value: Sql, key: str) -> Sql:
    """A member of a JSON object as text, NULL where there is none or it is null."""
    return sql("NULLIF(JSON_UNQUOTE(JSON_EXTRACT({}, {})), 'null')", value, f"$.{key}")


def same_object(value: Sql) -> Sql:
    """Text of an external value that is equal on two servers where the object is the same, wherever it lies.

    The hash where there is one; else the name, whose random part both have, and what the row says of it.
    """
    name = sql("SUBSTRING_INDEX({}, '/', -1)", member(value, "path"))
    what = [sql("COALESCE({}, {})", member(value, "hash"), name)]
    what += [sql("COALESCE({}, '~')", member(value, key)) for key in ("size", "dtype", "shape", "timestamp")]
    return sql(
        "CASE WHEN {} IS NULL THEN CAST({} AS CHAR) ELSE CONCAT_WS('|', {}) END",
        member(value, "path"),
        value,
        comma(what),
    )
