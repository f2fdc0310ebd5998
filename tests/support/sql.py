"""Statements of root on a throwaway server, over one session that stays open: tests ask many small things."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pymysql.connections import Connection

from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.accounts import quoted_name
from tests.support.rig import Rig

LENIENT = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00'"


@cache
def root(server: SandboxServer) -> Connection[Any]:
    """The session, which takes every date."""
    connection = server.connect()
    with connection.cursor() as cursor:
        cursor.execute(LENIENT)
    return connection


def ask(server: SandboxServer, text: str, args: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Run a statement; its rows."""
    with root(server).cursor() as cursor:
        cursor.execute(text, args or None)
        return list(cursor.fetchall())


def run_all(rig: Rig, *texts: str, server: str = "lab_a") -> None:
    """Run statements; `{x}` in them is the test's schema x, `{{` a brace, as in str.format."""
    names = {name: quoted_name(rig.names(name)) for name in ("lab", "other", "outbound")}
    for text in texts:
        ask(rig.server(server), text.format(**names))


DEEP = "/*+ SET_VAR(cte_max_recursion_depth = 1000000) */"


def numbers(count: int) -> str:
    return f"WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
