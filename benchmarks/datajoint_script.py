"""Fetch and insert, as a lab's own script does it.

Arguments: port, password and schema of the source, the same of the target, the table.
"""

from __future__ import annotations

import sys

import datajoint as dj

CHUNK = 10_000


def main(
    port: str, password: str, schema: str, to_port: str, to_password: str, to_schema: str, table: str
) -> None:
    """Copy a table in chunks."""
    dj.config["safemode"] = False
    source = dj.Connection("127.0.0.1", "root", password, port=int(port))
    local = dj.Connection("127.0.0.1", "root", to_password, port=int(to_port))
    source_side = dj.FreeTable(source, f"`{schema}`.`{table}`")
    local_side = dj.FreeTable(local, f"`{to_schema}`.`{table}`")
    rows = source_side.to_dicts(order_by="KEY")
    for first in range(0, len(rows), CHUNK):
        local_side.insert(rows[first : first + CHUNK], allow_direct_insert=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
