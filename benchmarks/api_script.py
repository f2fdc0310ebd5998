"""A pull by djlink's Python API, as in a notebook; prints seconds of the pull.

Arguments: port of the source, its schema, the outbound schema, the table's class; port and schema of the
local server. Both accounts have the password BENCH_PASS.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import datajoint as dj

from djlink_manifest import LazySchema, Link


def main(port: str, schema: str, outbound: str, name: str, to_port: str, to_schema: str) -> None:
    """Link the table and pull it."""
    password = os.environ["BENCH_PASS"]
    os.environ.update(LINK_USER="link", LINK_PASS=password, LINK_OUTBOUND=outbound)
    dj.config["safemode"] = False
    dj.config["database.host"], dj.config["database.port"] = "127.0.0.1", int(to_port)
    dj.config["database.user"], dj.config["database.password"] = "lab", password
    source = LazySchema(schema, host="127.0.0.1", port=int(port))
    linked: Any = Link(LazySchema(to_schema), source)(type(name, (), {}))
    started = time.monotonic()
    linked().pull(display_progress=False)
    print(f"seconds {time.monotonic() - started:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
